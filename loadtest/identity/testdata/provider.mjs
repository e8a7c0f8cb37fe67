// A provider made of the certified oidc-provider. Its access tokens are JWT for
// the resource https://api.test and opaque for https://opaque.test. It prints its
// issuer once it listens on a free port of loopback.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const server = createServer((request, response) => handle(request, response));
let handle;
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'client', client_secret: 'secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
      id_token_signed_response_alg: 'ES256',
    }],
    scopes: ['read', 'write'],
    jwks: { keys: [{ ...key, kid: 'es', alg: 'ES256', use: 'sig' }] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (context, resource) => ({
          scope: 'read write', audience: resource, accessTokenTTL: 3600,
          accessTokenFormat: resource === 'https://api.test' ? 'jwt' : 'opaque', jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  handle = provider.callback();
  console.log(issuer);
});
