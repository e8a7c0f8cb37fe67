package signature

import (
	"crypto/sha256"
	"errors"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

const (
	// Secp256k1Size is the length of a signature in bytes: two numbers (RFC 8812 section 3.2).
	Secp256k1Size = 2 * halfSize

	halfSize = 32
)

// Secp256k1 is a public key on secp256k1 (SEC 2 section 2.4.1), for ES256K (RFC 8812).
// It is safe for concurrent use.
type Secp256k1 struct {
	public *secp256k1.PublicKey
	point  []byte
}

// NewSecp256k1 reads an uncompressed point (SEC 1 section 2.3.3) of 65 bytes.
func NewSecp256k1(point []byte) (*Secp256k1, error) {
	if len(point) != secp256k1.PubKeyBytesLenUncompressed || point[0] != 4 {
		return nil, errors.New("it is not an uncompressed point of secp256k1")
	}
	public, err := secp256k1.ParsePubKey(point)
	if err != nil {
		return nil, errors.New("its point is not on its curve")
	}
	return &Secp256k1{public: public, point: public.SerializeUncompressed()}, nil
}

// Verify reports whether signature, which is r and s of 32 bytes each, is that by ES256K
// of the message signed. A number that is 0 or not below the curve's order is refused
// (decred's package sees to the former);
// of s and n-s both are good, as RFC 8812 has no rule about that.
func (k *Secp256k1) Verify(signed, signature []byte) bool {
	if len(signature) != Secp256k1Size {
		return false
	}
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(signature[:halfSize]) || s.SetByteSlice(signature[halfSize:]) {
		return false
	}
	digest := sha256.Sum256(signed)
	return ecdsa.NewSignature(&r, &s).Verify(digest[:], k.public)
}

// Point returns the uncompressed point. It must not be changed.
func (k *Secp256k1) Point() []byte { return k.point }
