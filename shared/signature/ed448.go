package signature

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cloudflare/circl/ecc/goldilocks"
	"github.com/cloudflare/circl/sign/ed448"
)

// Ed448Size is the length of an Ed448 signature in bytes (RFC 8032 section 5.2.6).
const Ed448Size = ed448.SignatureSize

// Ed448 is a public key of Ed448 (RFC 8032 section 5.2). It is safe for concurrent use.
type Ed448 struct{ public ed448.PublicKey }

// NewEd448 reads a key of 57 bytes. The error says what is wrong with it: that it is no
// point of the curve, or one of small order, for which signatures exist that hold for many
// or all messages.
func NewEd448(public []byte) (*Ed448, error) {
	if len(public) != ed448.PublicKeySize {
		return nil, fmt.Errorf("an Ed448 key has %d bytes, not %d", ed448.PublicKeySize, len(public))
	}
	point, err := goldilocks.FromBytes(public)
	if err != nil {
		return nil, errors.New("it is not a point of Ed448")
	}
	// The cofactor is 4: a point of small order is the identity after two doublings.
	point.Double()
	point.Double()
	if point.IsIdentity() {
		return nil, errors.New("the Ed448 point has a small order: anybody can sign for it")
	}
	return &Ed448{public: bytes.Clone(public)}, nil
}

// Verify reports whether signature is that of the message signed, with an empty context
// (RFC 8037 section 3.1).
func (k *Ed448) Verify(signed, signature []byte) bool {
	return ed448.Verify(k.public, signed, signature, "")
}

// Bytes returns the key's 57 bytes. They must not be changed.
func (k *Ed448) Bytes() []byte { return k.public }
