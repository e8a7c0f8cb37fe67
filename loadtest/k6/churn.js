// Changes without a pause while tokens are checked: applications and subscriptions
// are made, and subscriptions paused and resumed, in ten transactions a second. The
// answer to each says that it is in force on every node. Samples are asked for before,
// and at once afterwards, when the first request must be decided in the new way.
//
//   go tool task load:churn -- CHANGES=20000
//
// Variables (those of lib/settings.js, and):
//   DURATION  1m
//   CHANGES   a second; 2000
//   RATE      repeated tokens a second of clients that nobody changes; 200. A quarter
//             as many requests must be refused.
//
// Thresholds: those of lib/load.js; the changes were made (within DROPPED).
import exec from 'k6/execution';

import { ask } from './lib/ask.js';
import { apply } from './lib/control.js';
import { atLeast, soon, steadily, suite, whole } from './lib/load.js';
import { number, seconds } from './lib/settings.js';
import { summary } from './lib/summary.js';
import { newToken } from './lib/tokens.js';
import { gateway, prepare } from './lib/traffic.js';
import { consumers, subscriptions } from './lib/world.js';

export { refused, repeated, cleanUp as teardown } from './lib/traffic.js';

const length = seconds('DURATION', '1m');
const perSecond = number('CHANGES', 2000);
const rate = number('RATE', 200);

const transactions = 10; // a second
const apis = 20;
const clients = Math.max(1, Math.round(perSecond / transactions / apis)); // of a transaction
const samples = 3;

export const options = suite({
  repeated: steadily('repeated', rate, length),
  refused: steadily('refused', rate / 4, length),
  change: steadily('change', transactions, length, { maxVUs: 30 }),
}, {
  'changes{scenario:change}': atLeast(transactions * clients * apis * length),
  in_force: soon,
  // A transaction of hundreds of changes takes longer than a request.
  'http_req_duration{scenario:change}': soon,
});

export const setup = () => prepare('churn', { apis });

let mine; // clients that only this virtual user changes

const any = (list) => list[Math.floor(Math.random() * list.length)];

async function pick({ world }) {
  const name = any(mine.names);
  mine.tokens[name] = mine.tokens[name] || await newToken(world.iss, world.keys[0], name);
  return { path: any(world.paths), token: mine.tokens[name] };
}

function askFor(picked, what) {
  const wanted = mine.paused ? 'subscription_inactive' : 'ok';
  picked.forEach(({ path, token }) => ask(gateway(), path, token, wanted, what));
}

function makeClients(world) {
  const names = Array.from({ length: clients }, (_, c) => `vu${exec.vu.idInTest}-${c}`);
  if (apply(consumers(world, names), 'new clients')) {
    mine = { names, tokens: {}, paused: false };
  }
  return mine !== undefined;
}

function changeClients(world) {
  const status = mine.paused ? 'ACCEPTED' : 'PAUSED';
  const ok = apply(mine.names.flatMap((name) => subscriptions(world, name, status)), 'changes');
  mine.paused = ok ? !mine.paused : mine.paused;
  return ok;
}

export const change = whole(async (data) => {
  if (!mine) {
    if (makeClients(data.world)) {
      askFor([await pick(data)], 'new client');
    }
    return;
  }
  const picked = [];
  for (let i = 0; i < samples; i += 1) {
    picked.push(await pick(data));
  }
  askFor(picked, 'about to change');
  if (changeClients(data.world)) {
    askFor(picked, 'just changed');
  }
});

export const handleSummary = summary('churn', `${transactions * clients * apis} changes a second while tokens are checked`, options);
