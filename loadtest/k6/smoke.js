// A run against a started Portcullis: an allowed and a refused stream of requests
// at the same time, and the control plane asked now and then.
//
//   GATEWAY     URL of an API on a gateway; required
//   TOKEN       a token that this API answers with 200; required
//   CONTROL     URL of a control plane; without it only the gateway is tried
//   ADMIN_TOKEN for CONTROL
//   RATE        requests per second with the token (200); a quarter as many without
//   DURATION    5s
//
//   go tool -modfile=deployments/tools/k6.mod k6 run -e GATEWAY=… -e TOKEN=… loadtest/k6/smoke.js
//
// `go tool task test:smoke` starts a standalone and does it; `go tool task load`
// does it for longer. A threshold that is missed makes k6 exit with 99. The limits
// are those of a small busy machine that also runs k6: they find a gateway that is
// broken or has become slower by far, and are no benchmark.
import http from 'k6/http';
import { check, fail } from 'k6';

const gateway = __ENV.GATEWAY;
const token = __ENV.TOKEN;
const control = __ENV.CONTROL;
const rate = Number(__ENV.RATE || 200);
const duration = __ENV.DURATION || '5s';

// A fixed rate, not as fast as can be: what is measured is how long an answer takes.
function steadily(exec, rate) {
  return { executor: 'constant-arrival-rate', exec, rate, timeUnit: '1s', duration, preAllocatedVUs: 10, maxVUs: 500 };
}

export const options = {
  scenarios: {
    allowed: steadily('allowed', rate),
    refused: steadily('refused', Math.max(1, Math.floor(rate / 4))),
    ...(control && { operator: steadily('operator', 2) }),
  },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    'http_req_duration{scenario:allowed}': ['med<50', 'p(95)<250'],
    'http_req_duration{scenario:refused}': ['med<50', 'p(95)<250'],
    'http_reqs{scenario:allowed}': [`rate>${rate / 2}`],
    'http_reqs{scenario:refused}': [`rate>${rate / 8}`],
    ...(control && { 'http_req_duration{scenario:operator}': ['p(95)<1000'] }),
  },
};

export function setup() {
  if (!gateway || !token) {
    fail('GATEWAY and TOKEN must be set');
  }
}

export function allowed() {
  const answer = http.get(gateway, { headers: { Authorization: `Bearer ${token}` } });
  check(answer, { 'with a token: 200': (r) => r.status === 200 });
}

export function refused() {
  const answer = http.get(gateway, { responseCallback: http.expectedStatuses(401) });
  check(answer, {
    'without a token: 401': (r) => r.status === 401,
    'and why': (r) => r.json('reason') === 'missing_credentials',
    'and how to do better': (r) => (r.headers['Www-Authenticate'] || '').startsWith('Bearer'),
  });
}

export function operator() {
  const answer = http.get(`${control}/v1/fleet`, { headers: { Authorization: `Bearer ${__ENV.ADMIN_TOKEN}` } });
  check(answer, { 'the fleet: 200': (r) => r.status === 200 });
}
