// The traffic of consumers that other things happen beside: tokens that come again
// and again, tokens that were never seen, and requests that must be refused.
import exec from 'k6/execution';

import { ask, askAll } from './ask.js';
import { must, step } from './control.js';
import { whole } from './load.js';
import { gateways } from './settings.js';
import { newKey, newToken } from './tokens.js';
import { consumers, makeWorld, orRemove, removeWorld, subscription } from './world.js';

// prepare makes the world of a suite with everything that the steps below need.
export async function prepare(suite, size) {
  const world = await makeWorld(suite, size);
  return orRemove(world, async () => {
    const tokens = [];
    for (const client of world.clients) {
      tokens.push(await newToken(world.iss, world.keys[0], client));
    }
    return { world, tokens, refusals: await refusals(world) };
  });
}

// refusals are tokens that must not pass, with the reason of the denial.
async function refusals(world) {
  const [key] = world.keys;
  must(consumers(world, ['paused'], 'PAUSED'), 'prepare');
  const client = world.clients[0];
  const anHourAgo = Math.floor(Date.now() / 1000) - 3600;
  const good = await newToken(world.iss, key, client);
  const foreign = await newKey('foreign');
  return [
    ['', 'missing_credentials'],
    ['nonsense', 'invalid_token'],
    [`${good.slice(0, -8)}AAAAAAAA`, 'invalid_token'],
    [await newToken(world.iss, foreign, client), 'invalid_token'],
    [await newToken(world.iss, { ...foreign, kid: key.kid }, client), 'invalid_token'],
    [await newToken(world.iss, key, client, { exp: anHourAgo }), 'token_expired'],
    [await newToken(world.iss, key, client, { nbf: anHourAgo + 7200 }), 'invalid_token'],
    [await newToken('https://nobody.test', key, client), 'invalid_token'],
    [await newToken(world.iss, key, 'unknown'), 'subscription_not_found'],
    [await newToken(world.iss, key, 'paused'), 'subscription_inactive'],
  ];
}

export const cleanUp = (data) => removeWorld(data.world);

// The number of this iteration among all of its scenario spreads requests evenly.
export const turn = () => exec.scenario.iterationInTest;
export const gateway = () => gateways[turn() % gateways.length];
const path = ({ world }) => world.paths[turn() % world.paths.length];

export const repeated = whole((data) => {
  ask(gateway(), path(data), data.tokens[turn() % data.tokens.length], 'ok', 'repeated token');
});

export const fresh = whole(async (data) => {
  const { world } = data;
  const token = await newToken(world.iss, world.keys[0], world.clients[turn() % world.clients.length]);
  ask(gateway(), path(data), token, 'ok', 'new token');
});

export const refused = whole((data) => {
  const [token, reason] = data.refusals[turn() % data.refusals.length];
  ask(gateway(), path(data), token, reason, 'refused');
});

let own; // a client that only this virtual user changes

// ownClient makes it, once.
export async function ownClient({ world }) {
  if (!own) {
    const name = `vu${exec.vu.idInTest}`;
    must(consumers(world, [name]), 'a client');
    own = { name, token: await newToken(world.iss, world.keys[0], name) };
  }
  return own;
}

// toggleAt pauses a subscription and resumes it, and finds each in force with the
// first request to each of the gateways that are present then.
export async function toggleAt(data, present) {
  const { world } = data;
  const { name, token } = await ownClient(data);
  const id = subscription(world, name, 0);
  askAll(present(), world.paths[0], token, 'ok', 'before a pause');
  if (step(id, 'pause')) {
    askAll(present(), world.paths[0], token, 'subscription_inactive', 'paused');
  }
  if (step(id, 'resume')) {
    askAll(present(), world.paths[0], token, 'ok', 'resumed');
  }
}

export const toggle = whole((data) => toggleAt(data, () => gateways));
