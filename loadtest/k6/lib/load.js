// Scenarios and thresholds. A threshold that is missed makes k6 exit with 99.
//
// Of every suite it is asked that
//   - every check holds: one wrong decision fails a run of any length
//   - the planned work was done: k6 did not drop more than DROPPED of it (1 %),
//     and each scenario sent its requests. Else the load was not the one that is
//     spoken of, because answers were too slow or k6 had no processor left.
//   - answers came within P95 (95 of 100; 250 ms), half of them within a fifth of it.
//     Changes are in force on every node within four times P95 (95 of 100).
//
// The bounds of latency are those of a small busy machine that runs k6 and
// everything else: they find what is broken or slower by far, and are no benchmark.
import { check } from 'k6';

import { dropped, p95 } from './settings.js';

const between = (low, value, high) => Math.ceil(Math.min(high, Math.max(low, value)));

// users are as many as a rate may need while answers are slow.
const users = (rate) => ({ preAllocatedVUs: between(2, rate / 20, 30), maxVUs: between(10, rate / 4, 200) });

// steadily starts `rate` iterations a second for `length` seconds, however slow the
// answers are: what is measured is how long an answer takes, not how patient k6 is.
export function steadily(exec, rate, length, more = {}) {
  return {
    executor: 'constant-arrival-rate', exec, duration: `${length}s`, ...users(rate),
    ...(rate < 1 ? { rate: 1, timeUnit: `${1 / rate}s` } : { rate: Math.round(rate), timeUnit: '1s' }), ...more,
  };
}

// once runs one iteration of one virtual user, which takes `length` seconds.
export function once(exec, length) {
  return { executor: 'per-vu-iterations', exec, vus: 1, iterations: 1, maxDuration: `${length + 60}s` };
}

// peak rises from a rate to a higher one within `edge` seconds, stays there for
// `length` seconds, and falls again.
export function peak(exec, rate, top, edge, length, more = {}) {
  return {
    executor: 'ramping-arrival-rate', exec, startRate: Math.round(rate), ...users(top), ...more,
    stages: [
      { target: Math.round(top), duration: `${edge}s` },
      { target: Math.round(top), duration: `${length}s` },
      { target: Math.round(rate), duration: `${edge}s` },
    ],
  };
}

// planned is the number of iterations of a scenario.
function planned({ rate, timeUnit, duration, startRate, stages, iterations }) {
  if (stages) {
    const [up, top] = stages;
    return (startRate + up.target) * parseFloat(up.duration) + top.target * parseFloat(top.duration);
  }
  return iterations || (rate / parseFloat(timeUnit)) * parseFloat(duration);
}

// soon is a threshold on the time until a change is in force everywhere.
export const soon = [`p(95)<${4 * p95}`];

// atLeast is a threshold on a counter of which `count` are planned.
export const atLeast = (count) => [`count>=${Math.floor(count * (1 - dropped))}`];

// suite makes the options of a script.
export function suite(scenarios, thresholds = {}) {
  const all = {
    checks: ['rate==1'],
    dropped_iterations: [`count<=${Math.ceil(dropped * Object.values(scenarios).reduce((sum, s) => sum + planned(s), 0))}`],
  };
  Object.entries(scenarios).forEach(([name, scenario]) => {
    all[`http_reqs{scenario:${name}}`] = atLeast(planned(scenario));
    all[`http_req_duration{scenario:${name}}`] = [`med<${p95 / 5}`, `p(95)<${p95}`];
  });
  return {
    scenarios,
    thresholds: { ...all, ...thresholds },
    summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max', 'count'],
    setupTimeout: '2m',
    teardownTimeout: '5m',
  };
}

// whole makes an exception in a step a failed check: k6 itself only logs it.
export function whole(step) {
  return async (data) => {
    try {
      await step(data);
    } catch (error) {
      check(error, { 'the script ran without exceptions': () => false });
      throw error;
    }
  };
}
