// Package signature verifies RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2) and ECDSA
// P-256 (FIPS 186-5 section 6.4.2) signatures with what can be computed once per
// key kept with the key. It answers as crypto/rsa and crypto/ecdsa do, in about
// half the time.
//
// Where it has nothing to offer it does not decide, and the caller asks the
// standard library: for RSA keys of unusual sizes, for P-256 keys that are seldom
// used, and always when the process runs in FIPS 140-3 mode, since the arithmetic
// here is outside the validated module.
//
// It also has what the standard library lacks: Ed448 (RFC 8032) by cloudflare/circl, and
// ES256K (RFC 8812) by decred's secp256k1. In FIPS 140-3 mode package keyset takes no
// such keys.
//
// Keys, messages and signatures are public. Nothing here runs in constant time,
// and nothing here may ever see a private key.
package signature
