package token

import (
	"slices"
	"unicode/utf8"
)

// MaxObject is the longest JSON that ParseObject reads, in bytes.
const MaxObject = 64 << 10

// ParseObject reads claims that stand alone, such as the answer of an
// introspection server (RFC 7662), as strictly as Parse reads those of a token.
// The registered claims' types are not checked: see Registered. The error is an
// Error.
func ParseObject(object []byte) (*Claims, error) {
	switch {
	case len(object) > MaxObject:
		return nil, ErrSize
	case !utf8.Valid(object):
		return nil, ErrUTF8
	}
	text := string(object)
	members, err := scanObject(text, nil)
	if err != nil {
		return nil, err
	}
	return &Claims{payload: text, members: members}, nil
}

// Without returns claims that lack the members for which drop holds. It is given
// each member's name and its JSON.
func (c *Claims) Without(drop func(name, value string) bool) *Claims {
	return &Claims{payload: c.payload, members: slices.DeleteFunc(slices.Clone(c.members), func(m member) bool { return drop(m.name, m.value) })}
}
