package token

import "github.com/portcullis-gateway/portcullis/shared/denial/cause"

// Error is why a token is refused. Errors are constants: compare with ==. They
// never hold anything of the token.
type Error string

// Error returns the reason.
func (e Error) Error() string { return string(e) }

// Cause returns what an operator's metrics call it.
func (e Error) Cause() cause.Cause {
	switch e {
	case ErrSize:
		return cause.TooLong
	case ErrEncrypted:
		return cause.Encrypted
	case ErrSignatureLen, ErrSignature, ErrUntried:
		return cause.Signature
	case ErrAlgorithm:
		return cause.Algorithm
	case ErrCritical, ErrB64, ErrZip:
		return cause.HeaderExtension
	case ErrKeyID, ErrType, ErrIssuer, ErrSubject, ErrTokenID, ErrAudience, ErrDate:
		return cause.ClaimMalformed
	case ErrNoKey:
		return cause.KeyUnknown
	case ErrKeyDates:
		return cause.KeyOutdated
	case ErrParts, ErrBase64, ErrUTF8, ErrJSON, ErrDuplicate, ErrDepth, ErrMembers, ErrText, ErrNumber, ErrSpelling:
	}
	return cause.Malformed
}

// What Parse refuses.
const (
	ErrSize         Error = "the token is longer than allowed"
	ErrEncrypted    Error = "the token has five parts: encrypted tokens (JWE) are not supported"
	ErrParts        Error = "the token does not have three parts"
	ErrBase64       Error = "a part of the token is not strict base64url"
	ErrSignatureLen Error = "the signature is empty or has the wrong length"
	ErrUTF8         Error = "the token is not UTF-8"
	ErrJSON         Error = "a part of the token is not a JSON object"
	ErrDuplicate    Error = "the token has a JSON member twice"
	ErrDepth        Error = "the token's JSON is nested too deeply"
	ErrMembers      Error = "the token's JSON has too many members"
	ErrText         Error = "a JSON string has a control character, U+0000 or a lone surrogate"
	ErrNumber       Error = "a JSON number is out of range"
	ErrAlgorithm    Error = "alg is absent or not a supported signature algorithm"
	ErrCritical     Error = "the header has crit, and no extension is supported"
	ErrB64          Error = "the header has b64"
	ErrZip          Error = "the header has zip"
	ErrKeyID        Error = "kid is not a string of at most 256 bytes"
	ErrType         Error = "typ is not a string"
	ErrIssuer       Error = "iss is not a string"
	ErrSubject      Error = "sub is not a string"
	ErrTokenID      Error = "jti is not a string"
	ErrAudience     Error = "aud is not a string or a list of strings"
	ErrDate         Error = "exp, nbf or iat is not a number of seconds between 1970 and 9999"
)

// What OtherSpellings refuses: a JWT that nobody has issued as it is written.
const ErrSpelling Error = "the token is a JWT that is not spelled as issuers spell them: base64url without padding and spare bits, an ECDSA signature of the length and range of its curve"

// What Verify refuses.
const (
	ErrNoKey     Error = "no key of the issuer fits the token's kid and alg"
	ErrKeyDates  Error = "the key that fits is outside its dates, or its key set is too old"
	ErrSignature Error = "the signature is wrong"
	ErrUntried   Error = "none of the first 100 keys that fit has made the signature; others fit, too, but no more are tried (the issuer should write kid, and each kid once)"
)
