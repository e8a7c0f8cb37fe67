// A few seconds of everything: tokens that pass, requests that are refused, a
// subscription that is paused and resumed, the state of the fleet.
//
//   go tool task load:smoke -- DURATION=30s
//
// Variables (those of lib/settings.js, and):
//   DURATION  5s
//   RATE      repeated tokens a second; 200. A quarter as many requests are refused,
//             and a tenth as many tokens are new.
//
// Thresholds: those of lib/load.js.
import { check } from 'k6';

import { get } from './lib/control.js';
import { soon, steadily, suite, whole } from './lib/load.js';
import { number, seconds } from './lib/settings.js';
import { summary } from './lib/summary.js';
import { prepare } from './lib/traffic.js';

export { fresh, refused, repeated, toggle, cleanUp as teardown } from './lib/traffic.js';

const length = seconds('DURATION', '5s');
const rate = number('RATE', 200);

export const options = suite({
  repeated: steadily('repeated', rate, length),
  fresh: steadily('fresh', rate / 10, length),
  refused: steadily('refused', rate / 4, length),
  toggle: steadily('toggle', 2, length),
  operator: steadily('operator', 2, length),
}, { in_force: soon });

export const setup = () => prepare('smoke');

export const operator = whole(() => {
  check(get('/v1/fleet', 'fleet'), {
    'the fleet: at least one node': (r) => r.status === 200 && r.json('nodes').length > 0,
  });
});

export const handleSummary = summary('smoke', 'a few seconds of everything', options);
