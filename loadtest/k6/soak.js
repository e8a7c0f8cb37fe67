// Hours of ordinary traffic with a change now and then, while the gateways' memory
// is watched.
//
//   go tool task load:soak -- DURATION=8h
//
// Variables (those of lib/settings.js, and):
//   DURATION  30m
//   RATE      repeated tokens a second; 100. A fiftieth as many tokens are new, and a
//             tenth as many requests are refused. Every 2 s a subscription is paused
//             and resumed.
//   METRICS   base URLs of the gateways' admin listeners, comma-separated; without
//             them memory is not watched
//   GROWTH    how much memory may grow; 1.25
//
// Thresholds: those of lib/load.js, and of the resident memory (samples every
// hundredth of the run, at least every 10 s): in the last third its median must not
// be above GROWTH times the most that the same gateway had in the first third, in
// which caches fill.
import http from 'k6/http';
import { check } from 'k6';
import { Trend } from 'k6/metrics';

import { steadily, suite, whole } from './lib/load.js';
import { addresses, number, seconds } from './lib/settings.js';
import { summary } from './lib/summary.js';
import { prepare, turn } from './lib/traffic.js';

export { fresh, refused, repeated, toggle, cleanUp as teardown } from './lib/traffic.js';

const length = seconds('DURATION', '30m');
const rate = number('RATE', 100);
const metrics = addresses('METRICS');
const every = Math.min(10, length / 100);

const memory = new Trend('memory_mib');
const growth = new Trend('memory_growth');

export const options = suite({
  repeated: steadily('repeated', rate, length),
  fresh: steadily('fresh', rate / 50, length),
  refused: steadily('refused', rate / 10, length),
  toggle: steadily('toggle', 0.5, length),
  ...(metrics.length && { watch: steadily('watch', 1 / every, length, { preAllocatedVUs: 1, maxVUs: 1 }) }),
}, metrics.length && { memory_growth: [`med<${number('GROWTH', 1.25)}`] });

export const setup = () => prepare('soak', { clients: 100 });

const first = {}; // the most of the first third, by gateway

export const watch = whole(() => {
  const third = Math.floor((3 * turn() * every) / length);
  metrics.forEach((address) => {
    const answer = http.get(`${address}/metrics`, { tags: { name: 'metrics' } });
    const [, bytes] = /^process_resident_memory_bytes (\S+)$/m.exec(answer.body) || [];
    if (!check(bytes, { 'the memory is known': (b) => Number(b) > 0 })) {
      return;
    }
    memory.add(bytes / 2 ** 20);
    if (third === 0) {
      first[address] = Math.max(first[address] || 0, bytes);
    } else if (third === 2) {
      growth.add(bytes / first[address]);
    }
  });
});

export const handleSummary = summary('soak', 'ordinary traffic for a long time', options);
