// What an operator says to the control plane.
import http from 'k6/http';
import { check, fail } from 'k6';
import { Counter, Trend } from 'k6/metrics';

import { adminToken, control } from './settings.js';

const Authorization = `Bearer ${adminToken}`;

// From a write to the answer that it is in force on every node.
export const inForce = new Trend('in_force', true);
export const changes = new Counter('changes');

const parameters = (name, type) => ({
  headers: { Authorization, ...(type && { 'Content-Type': type }) },
  tags: { name },
  timeout: '30s',
});

// awaited checks the answer to a write with wait=fleet.
function awaited(answer, name) {
  const fleet = answer.headers['Portcullis-Fleet'] || '';
  const ok = check(answer, { [`${name}: in force on every node`]: (r) => r.status >= 200 && r.status < 300 && fleet.startsWith('in_force') });
  if (ok) {
    inForce.add(answer.timings.duration);
  } else {
    console.error(`${name}: ${answer.status} ${fleet} ${answer.error} ${(answer.body || '').slice(0, 500)}`);
  }
  return ok;
}

// apply brings resources in force on every node, all or none of them.
export function apply(resources, name) {
  const body = resources.map((resource) => JSON.stringify(resource)).join('\n');
  const answer = http.post(`${control}/v1/apply?wait=fleet&timeout=20s`, body, parameters(name, 'application/x-ndjson'));
  const ok = awaited(answer, name);
  if (ok) {
    changes.add(answer.json('changes').filter((change) => change.action !== 'unchanged').length);
  }
  return ok;
}

// must is apply for preparations, without which there is no run.
export function must(resources, name) {
  const chunk = 1000;
  for (let i = 0; i < resources.length; i += chunk) {
    if (!apply(resources.slice(i, i + chunk), name)) {
      fail(`${name} failed, see the line above`);
    }
  }
}

const verbAddress = (subscription, verb) => `${control}/v1/subscriptions/${subscription}/${verb}`;

// step is a lifecycle verb of a subscription, in force on every node.
export function step(subscription, verb) {
  const ok = awaited(http.post(`${verbAddress(subscription, verb)}?wait=fleet&timeout=20s`, null, parameters(verb)), verb);
  if (ok) {
    changes.add(1);
  }
  return ok;
}

// hurriedStep is a step that waits for nobody: it is accepted, and nothing more.
export function hurriedStep(subscription, verb) {
  const answer = http.post(verbAddress(subscription, verb), null, parameters(verb));
  return check(answer, { [`${verb}: accepted`]: (r) => r.status === 200 });
}

// get reads.
export const get = (path, name) => http.get(control + path, parameters(name));

// remove removes resources, each with what refers to it.
export function remove(paths) {
  const atOnce = 20;
  for (let i = 0; i < paths.length; i += atOnce) {
    const answers = http.batch(paths.slice(i, i + atOnce).map((path) => (
      ['DELETE', `${control}${path}?cascade=true`, null, parameters('remove')])));
    check(answers, { 'remove: 204': (all) => all.every((answer) => answer.status === 204) });
  }
}
