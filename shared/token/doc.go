// Package token reads JSON Web Tokens (RFC 7519) in compact serialisation (RFC 7515).
//
// Parse makes every check that needs no key, strictly: what two readers could
// understand differently is refused. That is a token of the wrong length or with
// other than three parts; base64url with padding, foreign characters, line breaks
// or set trailing bits; JSON that is not UTF-8, has a member twice (at any depth,
// escapes decoded), a lone surrogate or U+0000, or is deep or large without
// need; `crit`, `b64` and `zip` in the header; and registered claims of the wrong
// type. Member names are exact. Header members that point to keys (jku, x5u, jwk,
// x5c) are not read at all.
//
// Verify then finds the key and checks the signature. Which claims an issuer asks
// for is not decided here.
//
// Claims own their memory; nothing of them points into the parsed bytes.
package token
