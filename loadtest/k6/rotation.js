// An issuer rolls its keys, again and again, while its tokens are checked. In a round
// of ROUND seconds n is the current key, and every client uses tokens of n:
//
//   at a quarter   key n+1 is published. Its tokens pass on every node, among them
//                  one that has just been refused because the key was unknown.
//   at a half      key n-1 is taken away. Its tokens, used a moment ago, are refused
//                  by every node, and so are tokens of it that nobody has seen.
//
// Beside it, for the whole run: tokens of the current key always pass; tokens of a
// key that is no more (n-2) or not yet (n+3) never do.
//
//   go tool task load:rotation -- ROUND=2s DURATION=5m
//
// Variables (those of lib/settings.js, and):
//   DURATION  1m
//   ROUND     4s; how long a key is the current one
//   RATE      tokens of the current key a second; 200. A quarter as many are of a key
//             that must be refused.
//
// Thresholds: those of lib/load.js; every round was gone through.
import exec from 'k6/execution';
import { sleep } from 'k6';
import { Counter } from 'k6/metrics';

import { ask, askAll } from './lib/ask.js';
import { apply } from './lib/control.js';
import { once, soon, steadily, suite, whole } from './lib/load.js';
import { gateways, number, seconds } from './lib/settings.js';
import { summary } from './lib/summary.js';
import { newToken } from './lib/tokens.js';
import { gateway, turn } from './lib/traffic.js';
import { issuer, makeWorld, removeWorld } from './lib/world.js';

const round = seconds('ROUND', '4s');
const rounds = Math.max(1, Math.floor(seconds('DURATION', '1m') / round));
const length = rounds * round;
const rate = number('RATE', 200);

const rolls = new Counter('rolls');

export const options = suite({
  current: steadily('current', rate, length),
  gone: steadily('gone', rate / 4, length),
  roll: once('roll', length),
}, {
  rolls: [`count==${rounds}`],
  in_force: soon,
});

export const setup = () => makeWorld('rotation', { keys: rounds + 3 });

export const teardown = removeWorld;

const elapsed = () => (Date.now() - exec.scenario.startTime) / 1000;
const present = () => Math.min(rounds - 1, Math.floor(elapsed() / round));

const tokens = {}; // of this virtual user, by key and client

async function token(world, key, client) {
  const name = `${key} ${client}`;
  tokens[name] = tokens[name] || await newToken(world.iss, world.keys[key], client);
  return tokens[name];
}

export const current = whole(async (world) => {
  const client = world.clients[turn() % world.clients.length];
  ask(gateway(), world.paths[0], await token(world, present(), client), 'ok', 'current key');
});

export const gone = whole(async (world) => {
  const n = present();
  const key = n >= 2 && turn() % 2 ? n - 2 : n + 3;
  ask(gateway(), world.paths[0], await token(world, key, world.clients[0]), 'invalid_token', 'key out of use');
});

const sleepUntil = (time) => sleep(Math.max(0, time - elapsed()));

export const roll = whole(async (world) => {
  const everywhere = async (key, client, wanted, what) => (
    askAll(gateways, world.paths[0], await token(world, key, client), wanted, what));
  const publish = (...keys) => apply([issuer(world, keys.map((key) => world.keys[key]))], 'roll');
  for (let n = 0; n < rounds; n += 1) {
    const before = n > 0 ? [n - 1] : [];
    sleepUntil((n + 1 / 4) * round);
    await everywhere(n + 1, 'c1', 'invalid_token', 'key not yet published');
    publish(...before, n, n + 1);
    await everywhere(n + 1, 'c1', 'ok', 'published key');
    sleepUntil((n + 1 / 2) * round);
    for (const key of before) {
      await everywhere(key, 'c1', 'ok', 'last use of a key');
      publish(n, n + 1);
      await everywhere(key, 'c1', 'invalid_token', 'removed key');
      await everywhere(key, 'c2', 'invalid_token', 'removed key, new token');
    }
    await everywhere(n, 'c1', 'ok', 'current key');
    rolls.add(1);
  }
  sleepUntil(length);
});

export const handleSummary = summary('rotation', `keys rolled every ${round} s while tokens are checked`, options);
