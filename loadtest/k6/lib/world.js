// The resources of a run: an Issuer whose keys are made here, Apis with a JWT plan
// each, and applications with a subscription to every one of them. All ids begin
// with that of the run, so that suites do not meet, and clean up after themselves.
import { check, fail } from 'k6';

import { ask } from './ask.js';
import { get, must, remove } from './control.js';
import { gateways, upstream } from './settings.js';
import { newKey, newToken, publicKey } from './tokens.js';

// makeWorld brings the resources in force and sees to it that every gateway decides
// by them. What it returns is plain data: { id, iss, keys, paths, clients }.
export async function makeWorld(suite, { apis = 1, clients = 20, keys = 1 } = {}) {
  const id = `load-${suite}-${Date.now().toString(36)}`;
  const world = { id, iss: `https://${id}.test`, keys: [], paths: [], clients: [] };
  for (let k = 0; k < keys; k += 1) {
    world.keys.push(await newKey(`${id}-${k}`));
  }
  for (let a = 0; a < apis; a += 1) {
    world.paths.push(`/${id}/${a}`);
  }
  for (let c = 0; c < clients; c += 1) {
    world.clients.push(`c${c}`);
  }
  must([issuer(world, [world.keys[0]]), ...plans(world), ...consumers(world, world.clients)], 'prepare');
  await orRemove(world, async () => {
    const token = await newToken(world.iss, world.keys[0], world.clients[0]);
    gateways.forEach((gateway) => {
      if (!ask(gateway, world.paths[0], token, 'ok', 'prepared')) {
        fail(`${gateway} does not let pass what ${world.id} allows: is it a gateway of this control plane, and does it reach UPSTREAM?`);
      }
    });
  });
  return world;
}

// orRemove removes the world if a step of the preparations fails: k6 calls teardown
// only after a setup that went well.
export async function orRemove(world, step) {
  try {
    return await step();
  } catch (error) {
    removeWorld(world);
    throw error;
  }
}

// issuer trusts the given keys and no others.
export function issuer(world, keys) {
  return {
    kind: 'Issuer', id: world.id, name: 'A load test', issuer: world.iss,
    client_id_claims: ['client_id'], keys: { jwks: { keys: keys.map(publicKey) } },
  };
}

function plans(world) {
  return world.paths.flatMap((path, a) => [
    { kind: 'Api', id: `${world.id}-${a}`, context_path: path, upstream: { targets: [{ url: upstream }] } },
    { kind: 'Plan', id: `${world.id}-${a}`, api: `${world.id}-${a}`, security: 'JWT', status: 'PUBLISHED', auto_accept: true, jwt: { issuers: [world.id] } },
  ]);
}

// consumers are applications, each with a client of its name and its subscriptions.
export function consumers(world, names, status = 'ACCEPTED') {
  return names.flatMap((name) => [
    { kind: 'Application', id: `${world.id}-${name}`, clients: [{ issuer: world.id, client_id: name }] },
    ...subscriptions(world, name, status),
  ]);
}

// subscriptions are those of one application, one for every Api.
export function subscriptions(world, name, status) {
  return world.paths.map((_, a) => (
    { kind: 'Subscription', id: subscription(world, name, a), application: `${world.id}-${name}`, plan: `${world.id}-${a}`, status }));
}

export const subscription = (world, name, api) => `${world.id}-${name}-${api}`;

// removeWorld removes everything but revocations, which end by themselves.
export function removeWorld(world) {
  const page = 500;
  for (;;) {
    const answer = get(`/v1/applications?issuer=${world.id}&limit=${page}`, 'list');
    if (!check(answer, { 'list: 200': (r) => r.status === 200 })) {
      return;
    }
    const items = answer.json('items');
    remove(items.map((application) => `/v1/applications/${application.id}`));
    if (items.length < page) {
      break;
    }
  }
  remove(world.paths.map((_, a) => `/v1/apis/${world.id}-${a}`));
  remove([`/v1/issuers/${world.id}`]);
}
