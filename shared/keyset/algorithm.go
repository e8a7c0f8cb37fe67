package keyset

import (
	"errors"
	"fmt"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// Algorithm is a JWS signature algorithm (RFC 7518 section 3, RFC 8037, RFC 8812, RFC
// 9864). There is no value for `none`.
type Algorithm uint8

// The algorithms. The zero value is none of them. EdDSA is Ed25519 or Ed448, by the key;
// those of HMAC come last.
const (
	RS256 Algorithm = iota + 1
	RS384
	RS512
	PS256
	PS384
	PS512
	ES256
	ES384
	ES512
	ES256K
	EdDSA
	Ed25519
	Ed448
	HS256
	HS384
	HS512
)

const algorithmCount = int(HS512) + 1

// ParseAlgorithm finds an algorithm by its exact name; names are case-sensitive (RFC 7515 section 4.1.1).
func ParseAlgorithm(name string) (Algorithm, bool) {
	for a := RS256; a <= HS512; a++ {
		if a.String() == name {
			return a, true
		}
	}
	return 0, false
}

// String returns the name that a token's `alg` has.
func (a Algorithm) String() string {
	names := [algorithmCount]string{
		"", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
		"ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448", "HS256", "HS384", "HS512",
	}
	if int(a) < len(names) {
		return names[a]
	}
	return ""
}

// Algorithms is a set of algorithms. The zero value is empty. It has EdDSA if it has
// Ed25519 or Ed448.
type Algorithms uint32

// The algorithms that go with one kind of key.
const (
	rsaAlgorithms  = Algorithms(1<<RS256 | 1<<RS384 | 1<<RS512 | 1<<PS256 | 1<<PS384 | 1<<PS512)
	hmacAlgorithms = Algorithms(1<<HS256 | 1<<HS384 | 1<<HS512)
	eddsa          = Algorithms(1<<Ed25519 | 1<<Ed448)
	everyAlgorithm = Algorithms(1<<algorithmCount-1) &^ (1 | 1<<EdDSA)
)

// set are the algorithms that a name allows.
func (a Algorithm) set() Algorithms {
	if a == EdDSA {
		return eddsa
	}
	return 1 << a
}

// ParseAlgorithms reads a list of names. No names: every algorithm. The error
// says which name is wrong, and at which index.
func ParseAlgorithms(names []string) (Algorithms, error) {
	if len(names) == 0 {
		return everyAlgorithm, nil
	}
	var set Algorithms
	for i, name := range names {
		a, ok := ParseAlgorithm(name)
		if !ok {
			return 0, fault.Fault{Field: fmt.Sprintf("algorithms[%d]", i), Code: fault.Invalid, Message: unknownAlgorithm(name).Error()}
		}
		set |= a.set()
	}
	return set, nil
}

func unknownAlgorithm(name string) error {
	if strings.EqualFold(name, "none") {
		return errors.New("unsigned tokens are never accepted")
	}
	return fmt.Errorf("%q is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, ES256K, EdDSA, Ed25519, Ed448, HS256, HS384, HS512", name)
}

// Has reports whether a is in the set.
func (s Algorithms) Has(a Algorithm) bool { return a != 0 && s&a.set() != 0 }

// String lists the names, separated by commas.
func (s Algorithms) String() string {
	var b strings.Builder
	for a := RS256; a <= HS512; a++ {
		if !s.Has(a) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.String())
	}
	return b.String()
}
