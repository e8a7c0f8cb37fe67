package keyset

import "errors"

// Skipped is a key of a JWK set that is not used.
type Skipped struct {
	// Index is the position in `keys`.
	Index int
	// KeyID is the key's `kid`, shortened if it is long.
	KeyID  string
	Reason string
}

var (
	errPrivate      = errors.New("it holds a private key; only the public key belongs here")
	errNoFit        = errors.New("none of the issuer's algorithms fits this key")
	errCurve        = errors.New("its curve is not P-256, P-384, P-521 or Ed25519")
	errEmpty        = errors.New("it is empty")
	errSmallOrder   = errors.New("the Ed25519 point has a small order: anybody can sign for it")
	errNotBase64URL = errors.New("not base64url without padding")
)
