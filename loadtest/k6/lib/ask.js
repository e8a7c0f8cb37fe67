// Requests of consumers, each with the answer that it must get.
import http from 'k6/http';
import { check } from 'k6';

const statuses = {
  ok: 200,
  missing_credentials: 401,
  invalid_token: 401,
  token_expired: 401,
  token_revoked: 401,
  subscription_not_found: 403,
  subscription_inactive: 403,
};
const callbacks = {}; // what k6 counts as failed is any other status
Object.values(statuses).forEach((status) => { callbacks[status] = http.expectedStatuses(status); });

const parameters = (token, wanted, what) => ({
  headers: token ? { Authorization: `Bearer ${token}` } : {},
  responseCallback: callbacks[statuses[wanted]],
  tags: { name: what },
  timeout: '10s',
});

function judge(answer, wanted, what) {
  return check(answer, {
    [`${what}: ${wanted}`]: (r) => r.status === statuses[wanted] && (wanted === 'ok' || r.json('reason') === wanted),
  });
}

// ask sends a request, without a token if that is empty. wanted is 'ok' or the
// reason of a denial; what names the request in the summary.
export function ask(gateway, path, token, wanted, what) {
  return judge(http.get(gateway + path, parameters(token, wanted, what)), wanted, what);
}

// askAll asks several gateways at the same moment.
export function askAll(gateways, path, token, wanted, what) {
  const requests = gateways.map((gateway) => ['GET', gateway + path, null, parameters(token, wanted, what)]);
  return http.batch(requests).map((answer) => judge(answer, wanted, what)).every((ok) => ok);
}
