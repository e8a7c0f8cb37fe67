package keyset

import (
	"errors"
	"strings"
)

// Fault is one thing that is wrong with an issuer's keys.
type Fault struct { //nolint:errname // one of Faults
	// Field is the path inside the Issuer: "keys.pem[0]".
	Field string
	Err   error
}

// Error names the field and the cause. It never holds a secret.
func (f *Fault) Error() string { return f.Field + ": " + f.Err.Error() }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Faults are all things that are wrong with an issuer's keys.
type Faults []*Fault //nolint:errname // the plural of Fault

// Error lists the faults on one line.
func (f Faults) Error() string {
	parts := make([]string, len(f))
	for i, fault := range f {
		parts[i] = fault.Error()
	}
	return strings.Join(parts, "; ")
}

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
