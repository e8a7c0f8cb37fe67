package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"

	"github.com/golang-jwt/jwt/v5"

	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// Verify checks the signature with the keys of set that fit the token's kid and
// alg, at now (Unix seconds), and returns the key that made it. The set brings
// only keys that may be used with alg; at most keyset.MaxCandidates signatures are
// checked. The error is an Error.
func (u *Unverified) Verify(set *keyset.Set, now int64) (*keyset.Key, error) {
	outcome := ErrNoKey
	tried := 0
	for _, key := range set.Candidates(u.KeyID, u.Algorithm) {
		if !key.ValidAt(now) {
			if outcome == ErrNoKey {
				outcome = ErrKeyDates
			}
			continue
		}
		if len(u.signature) != signatureSize(key, u.Algorithm) {
			if outcome != ErrSignature {
				outcome = ErrSignatureLen
			}
			continue
		}
		if tried == keyset.MaxCandidates {
			return nil, ErrUntried
		}
		tried++
		outcome = ErrSignature
		if u.signedBy(key) {
			return key, nil
		}
	}
	return nil, outcome
}

// signedBy reports whether key made the signature. What is kept with the key answers
// fastest; what it does not decide, the standard library does.
func (u *Unverified) signedBy(key *keyset.Key) bool {
	valid, decided := key.Verify(u.Algorithm, u.signed, u.signature)
	if !decided {
		valid = method(u.Algorithm).Verify(string(u.signed), u.signature, key.Material()) == nil
	}
	return valid
}

// signatureSize is the one length that signatures of alg by key have (RFC 7518
// section 3, RFC 8037 section 3.1); 0 if they do not go together.
func signatureSize(key *keyset.Key, alg keyset.Algorithm) int {
	switch m := key.Material().(type) {
	case *rsa.PublicKey:
		return m.Size()
	case *ecdsa.PublicKey:
		return 2 * ((m.Params().BitSize + 7) / 8)
	case ed25519.PublicKey:
		return ed25519.SignatureSize
	case []byte:
		switch alg {
		case keyset.HS256:
			return 32
		case keyset.HS384:
			return 48
		case keyset.HS512:
			return 64
		default:
		}
	}
	return 0
}

func method(alg keyset.Algorithm) jwt.SigningMethod { //nolint:ireturn // what golang-jwt calls its methods
	switch alg {
	case keyset.RS256:
		return jwt.SigningMethodRS256
	case keyset.RS384:
		return jwt.SigningMethodRS384
	case keyset.RS512:
		return jwt.SigningMethodRS512
	case keyset.PS256:
		return jwt.SigningMethodPS256
	case keyset.PS384:
		return jwt.SigningMethodPS384
	case keyset.PS512:
		return jwt.SigningMethodPS512
	case keyset.ES256:
		return jwt.SigningMethodES256
	case keyset.ES384:
		return jwt.SigningMethodES384
	case keyset.ES512:
		return jwt.SigningMethodES512
	case keyset.EdDSA:
		return jwt.SigningMethodEdDSA
	case keyset.HS256:
		return jwt.SigningMethodHS256
	case keyset.HS384:
		return jwt.SigningMethodHS384
	case keyset.HS512:
		return jwt.SigningMethodHS512
	}
	panic("BUG: a parsed token has no algorithm")
}
