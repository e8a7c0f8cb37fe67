// Consumers as on an ordinary day, at a constant rate: most tokens are used again
// and again, some are new, some requests must be refused.
//
//   go tool task load:steady -- RATE=2000 DURATION=10m
//
// Variables (those of lib/settings.js, and):
//   DURATION  1m
//   RATE      repeated tokens a second; 500. A twentieth as many tokens are new, and
//             a tenth as many requests are refused.
//   CLIENTS   100, each with a token that is used again and again
//
// Thresholds: those of lib/load.js.
import { steadily, suite } from './lib/load.js';
import { number, seconds } from './lib/settings.js';
import { summary } from './lib/summary.js';
import { prepare } from './lib/traffic.js';

export { fresh, refused, repeated, cleanUp as teardown } from './lib/traffic.js';

const length = seconds('DURATION', '1m');
const rate = number('RATE', 500);

export const options = suite({
  repeated: steadily('repeated', rate, length),
  fresh: steadily('fresh', rate / 20, length),
  refused: steadily('refused', rate / 10, length),
});

export const setup = () => prepare('steady', { clients: number('CLIENTS', 100) });

export const handleSummary = summary('steady', 'consumers at a constant rate', options);
