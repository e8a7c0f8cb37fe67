package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"

	"github.com/golang-jwt/jwt/v5"

	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/signature"
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
	if valid, decided := key.Verify(u.Algorithm, u.signed, u.signature); decided {
		return valid
	}
	if public, ok := key.Material().(*rsa.PublicKey); ok && pssHash(u.Algorithm) != 0 {
		return isPSS(public, pssHash(u.Algorithm), u.signed, u.signature)
	}
	return method(u.Algorithm).Verify(string(u.signed), u.signature, key.Material()) == nil
}

// pssHash is the hash of an RSASSA-PSS algorithm; 0: it is another algorithm.
func pssHash(alg keyset.Algorithm) crypto.Hash {
	switch alg {
	case keyset.PS256:
		return crypto.SHA256
	case keyset.PS384:
		return crypto.SHA384
	case keyset.PS512:
		return crypto.SHA512
	default:
		return 0
	}
}

// isPSS verifies RSASSA-PSS with a salt as long as the hash, which is the only one that
// RFC 7518 section 3.5 has. golang-jwt takes a salt of any length.
func isPSS(public *rsa.PublicKey, hash crypto.Hash, signed, sig []byte) bool {
	h := hash.New()
	h.Write(signed)
	return rsa.VerifyPSS(public, hash, h.Sum(nil), sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
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
	case *signature.Ed448:
		return signature.Ed448Size
	case *signature.Secp256k1:
		return signature.Secp256k1Size
	case []byte:
		return macSize(alg)
	}
	return 0
}

// macSize is the length of the signatures of an HMAC algorithm; 0: it is another one.
func macSize(alg keyset.Algorithm) int {
	switch alg {
	case keyset.HS256:
		return 32
	case keyset.HS384:
		return 48
	case keyset.HS512:
		return 64
	default:
		return 0
	}
}

// HasWholeSignature reports whether some key could have made a signature of this length
// with alg. It tells most tokens that were cut off without a key. Of RSA it knows moduli
// of whole 64-bit words only, as every key in use has one.
func (u *Unverified) HasWholeSignature() bool {
	const shortestRSA, longestRSA, word = 2048 / 8, 8192 / 8, 64 / 8
	n := len(u.signature)
	switch u.Algorithm {
	case keyset.HS256, keyset.HS384, keyset.HS512:
		return n == macSize(u.Algorithm)
	case keyset.ES256, keyset.ES384, keyset.ES512, keyset.ES256K:
		return n == 2*len(orderOf(u.Algorithm.String()))
	case keyset.Ed25519:
		return n == ed25519.SignatureSize
	case keyset.Ed448:
		return n == signature.Ed448Size
	case keyset.EdDSA:
		return n == ed25519.SignatureSize || n == signature.Ed448Size
	case keyset.RS256, keyset.RS384, keyset.RS512, keyset.PS256, keyset.PS384, keyset.PS512:
		return n >= shortestRSA && n <= longestRSA && n%word == 0
	}
	return false
}

func method(alg keyset.Algorithm) jwt.SigningMethod { //nolint:ireturn // what golang-jwt calls its methods
	switch alg {
	case keyset.RS256:
		return jwt.SigningMethodRS256
	case keyset.RS384:
		return jwt.SigningMethodRS384
	case keyset.RS512:
		return jwt.SigningMethodRS512
	case keyset.ES256:
		return jwt.SigningMethodES256
	case keyset.ES384:
		return jwt.SigningMethodES384
	case keyset.ES512:
		return jwt.SigningMethodES512
	case keyset.EdDSA, keyset.Ed25519:
		return jwt.SigningMethodEdDSA
	case keyset.HS256:
		return jwt.SigningMethodHS256
	case keyset.HS384:
		return jwt.SigningMethodHS384
	case keyset.HS512:
		return jwt.SigningMethodHS512
	case keyset.PS256, keyset.PS384, keyset.PS512: // by isPSS
	case keyset.ES256K, keyset.Ed448: // by the key
	}
	panic("BUG: a parsed token has no algorithm")
}
