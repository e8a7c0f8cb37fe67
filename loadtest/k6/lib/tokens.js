// Keys and tokens. Keys are private JWKs, which is a form that passes from setup
// to the virtual users.
import encoding from 'k6/encoding';

import { algorithm } from './settings.js';

const algorithms = {
  ES256: {
    key: { name: 'ECDSA', namedCurve: 'P-256' },
    signature: { name: 'ECDSA', hash: 'SHA-256' },
    public: ['kty', 'crv', 'x', 'y'],
  },
  RS256: {
    key: { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
    signature: { name: 'RSASSA-PKCS1-v1_5' },
    public: ['kty', 'n', 'e'],
  },
};
const chosen = algorithms[algorithm];

const now = () => Math.floor(Date.now() / 1000);
const base64url = (data) => encoding.b64encode(data, 'rawurl');

// newKey makes a private key with the id `kid`.
export async function newKey(kid) {
  const pair = await crypto.subtle.generateKey(chosen.key, true, ['sign', 'verify']);
  const jwk = await crypto.subtle.exportKey('jwk', pair.privateKey);
  return { ...jwk, ...coordinates(jwk), kid };
}

// coordinates are x and y of a P-256 key in their full length, as RFC 7518 section
// 6.2.1.2 demands: k6 leaves out zeros in front, which one key of 128 has.
function coordinates(jwk) {
  const whole = {};
  ['x', 'y'].filter((name) => jwk[name]).forEach((name) => {
    const short = new Uint8Array(encoding.b64decode(jwk[name], 'rawurl'));
    const padded = new Uint8Array(32);
    padded.set(short, padded.length - short.length);
    whole[name] = base64url(padded.buffer);
  });
  return whole;
}

// publicKey is what an Issuer is told about a key.
export function publicKey(key) {
  const members = { kid: key.kid, alg: algorithm, use: 'sig' };
  chosen.public.forEach((name) => { members[name] = key[name]; });
  return members;
}

const imported = {}; // of this virtual user, by the private part

async function forSigning(key) {
  if (!imported[key.d]) {
    imported[key.d] = await crypto.subtle.importKey('jwk', key, chosen.key, false, ['sign']);
  }
  return imported[key.d];
}

// newToken signs a token of a client of the issuer, good for a day; claims are
// added, or replace the usual ones.
export async function newToken(issuer, key, client, claims = {}) {
  const header = { alg: algorithm, typ: 'at+jwt', kid: key.kid };
  const all = { iss: issuer, sub: client, client_id: client, iat: now(), exp: now() + 86400, jti: crypto.randomUUID(), ...claims };
  const text = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(all))}`;
  const bytes = Uint8Array.from(Array.from(text, (character) => character.charCodeAt(0)));
  const signature = await crypto.subtle.sign(chosen.signature, await forSigning(key), bytes);
  return `${text}.${base64url(signature)}`;
}
