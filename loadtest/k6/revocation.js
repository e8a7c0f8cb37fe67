// A storm of revocations while tokens are checked, in ten transactions a second.
// In each, beside many of ids that nobody uses, are four whose tokens have just been
// used: one by jti, one by the token's hash, one by subject, one by client and time
// of issue. When the answer says that it is in force on every node, these tokens
// must be refused by the first request, another token of the subject too, which
// nobody has seen; and one revoked earlier still. Next to each revoked token there is
// one that only just escapes, and must always pass.
//
//   go tool task load:revocation -- REVOCATIONS=5000
//
// Variables (those of lib/settings.js, and):
//   DURATION     1m
//   REVOCATIONS  a second; 500
//   RATE         repeated tokens a second that nobody revokes; 200
//
// Thresholds: those of lib/load.js; the revocations were made (within DROPPED).
//
// Revocations stay when the suite cleans up. They end with the tokens, ten minutes
// after the run.
import crypto from 'k6/crypto';
import exec from 'k6/execution';

import { ask } from './lib/ask.js';
import { apply } from './lib/control.js';
import { atLeast, soon, steadily, suite, whole } from './lib/load.js';
import { gateways, number, seconds } from './lib/settings.js';
import { summary } from './lib/summary.js';
import { newToken } from './lib/tokens.js';
import { gateway, ownClient, prepare, turn } from './lib/traffic.js';

export { refused, repeated, cleanUp as teardown } from './lib/traffic.js';

const length = seconds('DURATION', '1m');
const rate = number('RATE', 200);
const transactions = 10; // a second
const perTransaction = Math.max(4, Math.round(number('REVOCATIONS', 500) / transactions));

export const options = suite({
  repeated: steadily('repeated', rate, length),
  refused: steadily('refused', rate / 4, length),
  revoke: steadily('revoke', transactions, length, { maxVUs: 30 }),
}, {
  'changes{scenario:revoke}': atLeast(transactions * perTransaction * length),
  in_force: soon,
});

export const setup = () => prepare('revocation');

const now = () => Math.floor(Date.now() / 1000);
const iso = (time) => new Date(time * 1000).toISOString();

let round = 0; // of this virtual user
let earlier; // a token that it has revoked before

// An application can be revoked again and again, each time up to a later moment:
// here in steps of ten seconds that begin a day ago.
const cutoff = () => now() - 86400 + 10 * round;

async function specimens(data) {
  const { world } = data;
  const own = await ownClient(data);
  const exp = now() + length + 600;
  const make = (client, claims) => newToken(world.iss, world.keys[0], client, { exp, ...claims });
  const id = `${exec.vu.idInTest}-${round}`;
  const [client] = world.clients;
  const byHash = await make(client);
  return {
    exp,
    targets: [
      { jti: `jti-${id}` },
      { token_sha256: crypto.sha256(byHash, 'hex') },
      { subject: `subject-${id}` },
      { client_id: own.name, issued_before: iso(cutoff()) },
    ],
    revoked: {
      jti: await make(client, { jti: `jti-${id}` }),
      hash: byHash,
      subject: await make(client, { sub: `subject-${id}` }),
      client: await make(own.name, { iat: cutoff() - 5 }),
    },
    escaped: {
      jti: await make(client, { jti: `jti-${id}-` }),
      hash: await make(client),
      subject: await make(client, { sub: `subject-${id}-` }),
      client: await make(own.name, { iat: cutoff() + 5 }),
    },
    unseen: await make(client, { sub: `subject-${id}` }),
  };
}

export const revoke = whole(async (data) => {
  const { world } = data;
  const at = gateways[turn() % gateways.length];
  const all = (tokens, wanted, what) => (
    Object.entries(tokens).forEach(([by, token]) => ask(at, world.paths[0], token, wanted, `${what} by ${by}`)));
  round += 1;
  const { exp, targets, revoked, escaped, unseen } = await specimens(data);
  all(revoked, 'ok', 'to be revoked');
  all(escaped, 'ok', 'to escape');

  while (targets.length < perTransaction) {
    targets.push({ jti: `nobody-${exec.vu.idInTest}-${round}-${targets.length}` });
  }
  const ok = apply(targets.map((target, i) => ({
    kind: 'Revocation', id: `${world.id}-${exec.vu.idInTest}-${round}-${i}`, issuer: world.id, expires_at: iso(exp), reason: 'load test', ...target,
  })), 'revoke');
  if (!ok) {
    return;
  }
  all({ ...revoked, 'subject, new token': unseen }, 'token_revoked', 'revoked');
  all(escaped, 'ok', 'escaped');
  if (earlier) {
    ask(gateway(), world.paths[0], earlier, 'token_revoked', 'revoked earlier');
  }
  earlier = revoked[Object.keys(revoked)[round % 4]];
});

export const handleSummary = summary('revocation', `${transactions * perTransaction} revocations a second while tokens are checked`, options);
