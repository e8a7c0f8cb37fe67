// Several nodes at once. Requests are spread over all of them; subscriptions are
// paused and resumed, and every node must decide so with the first request after the
// answer. In the middle of the run the last node is taken out of the list, as a load
// balancer does it, and put back; meanwhile things change that it must know when it
// is back. No request may be answered wrongly, or not at all.
//
//   go tool task load:fleet -- DURATION=5m
//   go tool task load:fleet -- GATEWAYS=http://a:8080,http://b:8080 CONTROL=… ADMIN_TOKEN=… UPSTREAM=…
//
// Variables (those of lib/settings.js, and):
//   DURATION  1m
//   RATE      repeated tokens a second, over all nodes; 300. A third as many requests
//             must be refused.
//   TOGGLES   a second; 5
//   OPERATOR  URL that stops and starts nodes: POST OPERATOR/stop?gateway=URL and
//             /start?gateway=URL, which answer 200 when it has stopped, or is ready.
//             Without it the last node goes on running while it is not in the list.
//
// Thresholds: those of lib/load.js; the last node was away and came back. A node that
// leaves in good order is not waited for, so its stop must not be seen in the changes:
// 99 of 100 are in force everywhere within four times P95, not only 95.
import http from 'k6/http';
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { Counter } from 'k6/metrics';

import { ask } from './lib/ask.js';
import { get, hurriedStep, step } from './lib/control.js';
import { once, steadily, suite, whole } from './lib/load.js';
import { addresses, gateways, number, p95, seconds } from './lib/settings.js';
import { summary } from './lib/summary.js';
import { ownClient, prepare, toggleAt, turn } from './lib/traffic.js';
import { subscription } from './lib/world.js';

export { cleanUp as teardown } from './lib/traffic.js';

if (gateways.length < 2) {
  throw new Error('GATEWAYS must name at least two gateways');
}

const length = seconds('DURATION', '1m');
const rate = number('RATE', 300);
const toggles = number('TOGGLES', 5);
const [operator] = addresses('OPERATOR');
const last = gateways[gateways.length - 1];

// The last node is out of the list in this part of the run. What happens to it
// keeps a distance from both ends, so that requests in flight are not cut off.
const [from, to] = [0.3 * length, 0.7 * length];
const distance = Math.min(2, 0.1 * length);

const returns = new Counter('returns');

export const options = suite({
  calls: steadily('calls', rate, length),
  refused: steadily('refused', rate / 3, length),
  toggle: steadily('toggle', toggles, length, { maxVUs: 20 * toggles }),
  away: once('away', length),
}, {
  in_force: [`p(99)<${4 * p95}`],
  returns: ['count==1'],
  'http_req_duration{scenario:away}': ['max<60000'], // with the node's stop and start
});

export async function setup() {
  const data = await prepare('fleet');
  const answer = get('/v1/fleet', 'fleet');
  check(answer, { 'every gateway is a node of the fleet': (r) => r.status === 200 && r.json('nodes').filter((n) => n.live).length >= gateways.length });
  return data;
}

const elapsed = () => (Date.now() - exec.scenario.startTime) / 1000;
const sleepUntil = (time) => sleep(Math.max(0, time - elapsed()));

// present are the nodes in the list.
function present() {
  const now = elapsed();
  return now >= from && now < to ? gateways.slice(0, -1) : gateways;
}

function gateway() {
  const list = present();
  return list[turn() % list.length];
}

export const calls = whole((data) => {
  const turns = Math.floor(turn() / gateways.length);
  ask(gateway(), data.world.paths[0], data.tokens[turns % data.tokens.length], 'ok', 'repeated token');
});

export const refused = whole((data) => {
  const [token, reason] = data.refusals[Math.floor(turn() / gateways.length) % data.refusals.length];
  ask(gateway(), data.world.paths[0], token, reason, 'refused');
});

export const toggle = whole((data) => toggleAt(data, present));

function operate(verb) {
  if (!operator) {
    return true;
  }
  const answer = http.post(`${operator}/${verb}?gateway=${encodeURIComponent(last)}`, null, { tags: { name: verb }, timeout: '60s' });
  return check(answer, { [`${verb} a node: 200`]: (r) => r.status === 200 });
}

export const away = whole(async (data) => {
  const { name, token } = await ownClient(data);
  const [path] = data.world.paths;
  const id = subscription(data.world, name, 0);
  ask(last, path, token, 'ok', 'before it goes');
  sleepUntil(from + distance);
  operate('stop');
  hurriedStep(id, 'pause');
  sleepUntil((from + to) / 2);
  if (operate('start')) {
    ask(last, path, token, 'subscription_inactive', 'changed while it was away');
  }
  check(elapsed(), { 'it is back in time': (now) => now < to });
  sleepUntil(to + distance);
  step(id, 'resume');
  if (ask(last, path, token, 'ok', 'changed since it is back')) {
    returns.add(1);
  }
});

export const handleSummary = summary('fleet', `${gateways.length} nodes, one of which goes and comes back`, options);
