// The environment variables that all suites know. One that is missing or makes no
// sense ends the run before it begins.
//
//   GATEWAYS     base URLs of the gateways, comma-separated; GATEWAY for a single one
//   CONTROL      base URL of the control plane
//   ADMIN_TOKEN  opens it
//   UPSTREAM     URL that answers 200, as the gateways reach it
//   DURATION     such as 30s, 5m, 1h30m
//   ALG          ES256 (default) or RS256: how tokens are signed
//   P95          the bound of latency, see load.js; in milliseconds
//   DROPPED      the share of planned work that may be missing, see load.js
const units = { ms: 0.001, s: 1, m: 60, h: 3600 };

function required(name) {
  const text = __ENV[name];
  if (!text) {
    throw new Error(`${name} must be set, see loadtest/k6/README.md`);
  }
  return text;
}

const address = (text) => text.trim().replace(/\/+$/, '');

// addresses reads a list of base URLs; empty if the variable is not set.
export function addresses(name) {
  return (__ENV[name] || '').split(',').map(address).filter((text) => text !== '');
}

// number reads a number above 0.
export function number(name, fallback) {
  const text = __ENV[name];
  const value = Number(text);
  if (!text) {
    return fallback;
  }
  if (!(value > 0)) {
    throw new Error(`${name}=${text} is not a number above 0`);
  }
  return value;
}

// seconds reads a duration.
export function seconds(name, fallback) {
  const text = __ENV[name] || fallback;
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) {
    throw new Error(`${name}=${text} is not a duration (hint: 30s, 5m, 1h30m)`);
  }
  return [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce((sum, part) => sum + part[1] * units[part[2]], 0);
}

// share reads a number above 0 and at most 1.
export function share(name, fallback) {
  const value = number(name, fallback);
  if (value > 1) {
    throw new Error(`${name}=${__ENV[name]} is not a share (hint: above 0 and at most 1)`);
  }
  return value;
}

// choice reads one of some words; the first one is the default.
export function choice(name, ...known) {
  const text = __ENV[name] || known[0];
  if (!known.includes(text)) {
    throw new Error(`${name}=${text} is not one of ${known.join(', ')}`);
  }
  return text;
}

// url reads a URL that must be set.
const url = (name) => address(required(name));

// The runner (variables.go) finds the variables of a suite by these calls: a name in
// quotes first, then the default or the choices.
const several = addresses('GATEWAYS');
export const gateways = several.length > 0 ? several : addresses('GATEWAY');
if (gateways.length === 0) {
  throw new Error('GATEWAY or GATEWAYS must be set, see loadtest/k6/README.md');
}
export const control = url('CONTROL');
export const adminToken = required('ADMIN_TOKEN');
export const upstream = url('UPSTREAM');

export const algorithm = choice('ALG', 'ES256', 'RS256');
export const p95 = number('P95', 250);
export const dropped = share('DROPPED', 0.01);
