// Package keyset holds the keys that an issuer's tokens are verified with.
//
// A key carries the algorithms it may be used with; a token only ever chooses
// among the keys that fit the algorithm it names. Keys come from PEM text, from
// shared secrets and from JWK sets (RFC 7517); nothing here does I/O.
//
// What is accepted:
//
//   - RSA of 2048 to 8192 bits with an odd public exponent from 65537 to 2^31-1
//     (smaller exponents, 3 among them, are refused as FIPS 186-5 section A.1.1 has it),
//     for RS256, RS384, RS512, PS256, PS384 and PS512;
//   - P-256 for ES256, P-384 for ES384, P-521 for ES512, secp256k1 for ES256K (RFC 8812),
//     and nothing across;
//   - Ed25519 and Ed448 for EdDSA (RFC 8037), and each for its own name of RFC 9864, but
//     for the points of small order;
//   - secrets of at least 32, 48 or 64 bytes for HS256, HS384 or HS512. A JWK
//     set never brings a secret.
//
// A key in a JWK set that is not accepted is skipped and named, so that one bad key
// takes nothing from the others. A configured set without any usable key, PEM text
// and secrets that are not accepted are errors.
//
// Sets and keys are immutable and safe for concurrent use.
package keyset
