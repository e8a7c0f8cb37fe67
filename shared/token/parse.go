package token

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"

	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// Sizes of tokens, in bytes of the compact serialisation.
const (
	// DefaultSize is the longest token that Parse accepts.
	DefaultSize = 16 << 10
	// MaxSize is the largest limit that may be set.
	MaxSize = 64 << 10
)

// Unverified is a well-formed token whose signature has not been checked.
type Unverified struct {
	Algorithm keyset.Algorithm
	// KeyID is the header's kid; empty if there is none.
	KeyID string
	// Type is the header's typ as it stands; empty if there is none.
	Type string
	// Claims and Registered are what the token says, which is not verified yet.
	Claims     *Claims
	Registered Registered

	signed    []byte // points into the parsed bytes
	signature []byte
}

// Parse reads a token of at most DefaultSize bytes and makes every check that
// needs no key. The error is an Error. The result points into compact, but for its Claims.
func Parse(compact []byte) (*Unverified, error) { return ParseLimit(compact, DefaultSize) }

// ParseLimit is Parse for tokens of at most size bytes; above MaxSize it is MaxSize.
func ParseLimit(compact []byte, size int) (*Unverified, error) {
	if len(compact) > min(size, MaxSize) {
		return nil, ErrSize
	}
	first, last, err := split(compact)
	if err != nil {
		return nil, err
	}
	header, payload, signature := compact[:first], compact[first+1:last], compact[last+1:]
	if len(signature) == 0 {
		return nil, ErrSignatureLen
	}
	buf := make([]byte, base64.RawURLEncoding.DecodedLen(len(compact)))
	h, err := decodePart(buf, header)
	if err != nil {
		return nil, err
	}
	p, err := decodePart(buf[h:], payload)
	if err != nil {
		return nil, err
	}
	s, err := decodePart(buf[h+p:], signature)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(buf[:h]) || !utf8.Valid(buf[h:h+p]) {
		return nil, ErrUTF8
	}
	// One string for all claims: their values are parts of it.
	text := string(buf[:h+p])
	u := &Unverified{signed: compact[:last], signature: buf[h+p : h+p+s]}
	if err := u.readHeader(text[:h]); err != nil {
		return nil, err
	}
	if err := u.readClaims(text[h:]); err != nil {
		return nil, err
	}
	return u, nil
}

// strict refuses set trailing bits. Made once, since Strict copies 300 bytes.
var strict = base64.RawURLEncoding.Strict() //nolint:gochecknoglobals // never changed

// split finds the two dots of a token that has exactly two.
func split(compact []byte) (first, last int, err error) {
	first = bytes.IndexByte(compact, '.')
	if first < 0 {
		return 0, 0, ErrParts
	}
	second := bytes.IndexByte(compact[first+1:], '.')
	if second < 0 {
		return 0, 0, ErrParts
	}
	last = first + 1 + second
	switch bytes.Count(compact[last+1:], []byte{'.'}) {
	case 0:
		return first, last, nil
	case 2:
		return 0, 0, ErrEncrypted
	}
	return 0, 0, ErrParts
}

// decodePart decodes one part into buf. The decoder skips line breaks even when
// it is strict, so they are looked for first.
func decodePart(buf, part []byte) (int, error) {
	if bytes.IndexByte(part, '\n') >= 0 || bytes.IndexByte(part, '\r') >= 0 {
		return 0, ErrBase64
	}
	n, err := strict.Decode(buf, part)
	if err != nil {
		return 0, ErrBase64
	}
	return n, nil
}

func (u *Unverified) readHeader(header string) error {
	var few [6]member
	members, err := scanObject(header, few[:0])
	if err != nil {
		return err
	}
	for i := range members {
		if err := u.setHeader(members[i].name, members[i].value); err != nil {
			return err
		}
	}
	if u.Algorithm == 0 {
		return ErrAlgorithm
	}
	return nil
}

func (u *Unverified) setHeader(name, value string) error {
	s, isText := text(value)
	if value == null {
		isText = true // as if it were not there
	}
	switch name {
	case "alg":
		if u.Algorithm, _ = keyset.ParseAlgorithm(s); u.Algorithm == 0 {
			return ErrAlgorithm
		}
	case "kid":
		if u.KeyID = s; !isText || len(s) > keyset.MaxKeyID {
			return ErrKeyID
		}
	case "typ":
		if u.Type = s; !isText {
			return ErrType
		}
	case "crit":
		return ErrCritical
	case "b64":
		return ErrB64
	case "zip":
		return ErrZip
	}
	return nil
}

func (u *Unverified) readClaims(payload string) error {
	const usual = 16
	members, err := scanObject(payload, make([]member, 0, usual))
	if err != nil {
		return err
	}
	u.Claims = newClaims(payload, members)
	u.Registered, err = u.Claims.Registered()
	return err
}
