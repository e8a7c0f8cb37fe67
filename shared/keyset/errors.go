package keyset

import (
	"errors"
	"fmt"
)

// Skipped is a key of a JWK set that is not used.
type Skipped struct {
	// Index is the position in `keys`.
	Index int
	// KeyID is the key's `kid`, shortened if it is long.
	KeyID  string
	Reason string
}

// String names the key, if it has a name, and says what is wrong with it.
func (s Skipped) String() string {
	if s.KeyID == "" {
		return s.Reason
	}
	return fmt.Sprintf("%s (kid %q)", s.Reason, s.KeyID)
}

var (
	errPrivate      = errors.New("it holds a private key; only the public key belongs here")
	errNoFit        = errors.New("none of the issuer's algorithms fits this key")
	errCurve        = errors.New("its curve is not P-256, P-384, P-521, secp256k1, Ed25519 or Ed448")
	errFIPS         = errors.New("keys of secp256k1 and Ed448 are not taken in FIPS 140-3 mode")
	errNoObject     = errors.New("it is not a JSON object")
	errEmpty        = errors.New("it is empty")
	errSmallOrder   = errors.New("the Ed25519 point has a small order: anybody can sign for it")
	errNotBase64URL = errors.New("not base64url without padding")
)
