package token

import "unicode/utf8"

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
	return newClaims(text, members), nil
}
