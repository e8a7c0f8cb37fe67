package signature

import (
	"bytes"
	"crypto"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"sync"

	"filippo.io/bigmod"
)

// RSA verifies the signatures of one RSA key. It is safe for concurrent use.
type RSA struct {
	size     int // of the modulus, in bytes
	exponent uint
	modulus  func() *bigmod.Modulus
}

// NewRSA prepares a key; nil if there is nothing to prepare: the modulus has
// neither 2048, 3072 nor 4096 bits or is even, or the exponent is even or outside
// 3 to 2^31-1. The key must not be changed afterwards.
//
// What takes time is done when the first signature comes.
func NewRSA(public *rsa.PublicKey) *RSA {
	if fips140.Enabled() {
		return nil
	}
	switch public.N.BitLen() {
	case 2048, 3072, maxBits:
	default:
		return nil
	}
	if public.N.Bit(0) == 0 || public.E < 3 || public.E%2 == 0 || public.E > 1<<31-1 {
		return nil
	}
	return &RSA{
		size:     public.Size(),
		exponent: uint(public.E),
		modulus: sync.OnceValue(func() *bigmod.Modulus {
			m, err := bigmod.NewModulus(public.N.Bytes())
			if err != nil {
				panic("BUG: an RSA modulus that was checked: " + err.Error())
			}
			return m
		}),
	}
}

const maxBits = 4096

// Verify reports whether signature is that of the message signed, by RFC 8017 section
// 8.2.2. It is not decided if k is nil or the hash is not SHA-256, SHA-384 or SHA-512.
func (k *RSA) Verify(hash crypto.Hash, signed, signature []byte) (valid, decided bool) {
	if k == nil {
		return false, false
	}
	var digest [sha512.Size]byte
	switch hash {
	case crypto.SHA256:
		sum := sha256.Sum256(signed)
		copy(digest[:], sum[:])
	case crypto.SHA384:
		sum := sha512.Sum384(signed)
		copy(digest[:], sum[:])
	case crypto.SHA512:
		digest = sha512.Sum512(signed)
	default:
		return false, false
	}
	return k.verify(hash, digest[:hash.Size()], signature), true
}

func (k *RSA) verify(hash crypto.Hash, digest, signature []byte) bool {
	// Step 1. A longer signature with zeros in front would be the same number.
	if len(signature) != k.size {
		return false
	}
	// Step 2. SetBytes refuses what is not less than the modulus.
	modulus := k.modulus()
	s, err := bigmod.NewNat().SetBytes(signature, modulus)
	if err != nil {
		return false
	}
	message := bigmod.NewNat().ExpShortVarTime(s, k.exponent, modulus).Bytes(modulus)
	// Steps 3 and 4: what it must be is built and compared as a whole. Who looks for
	// the hash in what was found can be given something else to find.
	var expected [maxBits / 8]byte
	return bytes.Equal(message, encode(expected[:k.size], hash, digest))
}

// encode fills em with EMSA-PKCS1-v1_5 of a digest (RFC 8017 section 9.2).
func encode(em []byte, hash crypto.Hash, digest []byte) []byte {
	// The DER of DigestInfo up to the digest (section 9.2, note 1).
	info := [...]byte{
		0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
	}
	switch hash { //nolint:exhaustive // Verify lets through these three
	case crypto.SHA384:
		info[1], info[14], info[18] = 0x41, 0x02, 0x30
	case crypto.SHA512:
		info[1], info[14], info[18] = 0x51, 0x03, 0x40
	}
	at := len(em) - len(digest)
	copy(em[at:], digest)
	at -= len(info)
	copy(em[at:], info[:])
	em[0], em[1], em[at-1] = 0, 1, 0
	for i := 2; i < at-1; i++ {
		em[i] = 0xff
	}
	return em
}
