// Package assertion signs the JWTs by which upstreams learn who calls them
// (signed_jwt of a plan), and publishes the keys that verify them.
//
// An upstream that accepts these and nothing else cannot be called around the
// gateway, and need not understand the tokens of any identity provider. The key
// is the fleet's own and is used for nothing else. What a JWT says:
//
//   - iss, aud, iat, exp and a jti of its own; sub and client_id as the token has them;
//   - urn:portcullis:issuer, the iss of the token, without which sub means nothing;
//   - urn:portcullis:api, :plan, :application and :environment by their ids,
//     :plan_name and :application_name as they are called;
//   - the claims that the plan takes over, under their own names. None of them
//     can take the place of one of the above.
//
// Keys are RSA (RS256), EC on P-256 (ES256) or Ed25519 (EdDSA). Their kid is
// the thumbprint of RFC 7638. The package caches nothing: the pipeline keeps what
// it had signed together with the token it stands for.
package assertion
