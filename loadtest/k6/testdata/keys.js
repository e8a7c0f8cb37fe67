// Keys whose coordinates begin with a zero are whole, too: one of 128.
import { check } from 'k6';
import { newKey } from '../lib/tokens.js';

export const options = { thresholds: { checks: ['rate==1'] } };

export default async function main() {
  for (let i = 0; i < 1000; i += 1) {
    const key = await newKey('k');
    check(key, { 'x and y have 32 bytes': ({ x, y }) => x.length === 43 && y.length === 43 });
  }
}
