// A crowd that comes within a second, stays for a while and goes. Nobody may get a
// wrong answer meanwhile, and afterwards everything must be as before.
//
//   go tool task load:spike -- PEAK=10000
//
// Variables (those of lib/settings.js, and):
//   DURATION  15s, of the peak
//   QUIET     10s before it, and as long after it
//   RATE      requests a second before and after; 100
//   PEAK      requests a second in between; 1500. A tenth of the requests brings a new
//             token, a tenth must be refused.
//
// Thresholds: those of lib/load.js. In the peak, answers may take four times as
// long; after it they may not.
import { peak, steadily, suite, whole } from './lib/load.js';
import { number, p95, seconds } from './lib/settings.js';
import { summary } from './lib/summary.js';
import { fresh, prepare, refused, repeated, turn } from './lib/traffic.js';

export { cleanUp as teardown } from './lib/traffic.js';

const length = seconds('DURATION', '15s');
const rate = number('RATE', 100);
const quiet = seconds('QUIET', '10s');
const edge = 1;

export const options = suite({
  before: steadily('anybody', rate, quiet),
  peak: peak('anybody', rate, number('PEAK', 1500), edge, length, { startTime: `${quiet}s` }),
  after: steadily('anybody', rate, quiet, { startTime: `${quiet + length + 2 * edge}s` }),
}, { 'http_req_duration{scenario:peak}': [`med<${(4 * p95) / 5}`, `p(95)<${4 * p95}`] });

export const setup = () => prepare('spike', { clients: 100 });

const steps = [fresh, refused];

export const anybody = whole((data) => (steps[turn() % 10] || repeated)(data));

export const handleSummary = summary('spike', 'a crowd that comes and goes', options);
