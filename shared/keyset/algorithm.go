package keyset

import (
	"errors"
	"fmt"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// Algorithm is a JWS signature algorithm (RFC 7518 section 3, RFC 8037). There
// is no value for `none`.
type Algorithm uint8

// The algorithms. The zero value is none of them.
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
	EdDSA
	HS256
	HS384
	HS512
)

const algorithmCount = int(HS512) + 1

// ParseAlgorithm finds an algorithm by its exact name; names are case-sensitive (RFC 7515 section 4.1.1).
// Ed25519 (RFC 9864 section 2.2) is EdDSA, which here never has another curve.
func ParseAlgorithm(name string) (Algorithm, bool) {
	if name == "Ed25519" {
		return EdDSA, true
	}
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
		"ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
	}
	if int(a) < len(names) {
		return names[a]
	}
	return ""
}

// Algorithms is a set of algorithms. The zero value is empty.
type Algorithms uint16

// The algorithms that go with one kind of key.
const (
	rsaAlgorithms  = Algorithms(1<<RS256 | 1<<RS384 | 1<<RS512 | 1<<PS256 | 1<<PS384 | 1<<PS512)
	hmacAlgorithms = Algorithms(1<<HS256 | 1<<HS384 | 1<<HS512)
	everyAlgorithm = Algorithms(1<<algorithmCount-1) &^ 1
)

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
		set |= 1 << a
	}
	return set, nil
}

func unknownAlgorithm(name string) error {
	if strings.EqualFold(name, "none") {
		return errors.New("unsigned tokens are never accepted")
	}
	return fmt.Errorf("%q is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA (Ed25519), HS256, HS384, HS512", name)
}

// Has reports whether a is in the set.
func (s Algorithms) Has(a Algorithm) bool { return a != 0 && s&(1<<a) != 0 }

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
