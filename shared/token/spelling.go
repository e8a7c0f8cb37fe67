package token

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// Twin returns the SHA-256 of the one other compact serialisation that is as good
// as this one, if there is one. With (r, s) an ECDSA signature (r, n-s) holds, too,
// and anybody can write the one for the other; n is the order of the curve. All
// else that Parse and Verify accept has one spelling only.
func (u *Unverified) Twin() (sum [sha256.Size]byte, ok bool) {
	order := orderOf(u.Algorithm.String())
	if order == "" {
		return sum, false
	}
	var room [longestSignature]byte
	mirrored, ok := mirror(room[:], u.signature, order)
	if !ok {
		return sum, false
	}
	return sumOf(u.signed, mirrored), true
}

// OtherSpellings returns the SHA-256 of what may be taken for the same token as
// compact by a server that is asked about it (RFC 7662): a JWS with its ECDSA
// signature mirrored, an opaque token with 0 to 3 `=` at its end. What the server
// takes for the same beyond that, nobody knows.
//
// A JWT must be written as issuers write them, since a server may be lax: else the
// error is ErrSpelling.
func OtherSpellings(compact []byte) ([][sha256.Size]byte, error) {
	header, isJWT := laxHeader(compact)
	if !isJWT {
		return paddings(compact), nil
	}
	parts := bytes.Split(compact, []byte{'.'})
	buf := make([]byte, base64.RawURLEncoding.DecodedLen(len(compact)))
	last := 0
	for _, part := range parts {
		var err error
		if last, err = decodePart(buf, part); err != nil {
			return nil, ErrSpelling
		}
	}
	order := orderOf(header.Algorithm)
	if order == "" || len(parts) != 3 {
		return nil, nil
	}
	mirrored, ok := mirror(nil, buf[:last], order)
	if !ok {
		return nil, ErrSpelling
	}
	return [][sha256.Size]byte{sumOf(compact[:bytes.LastIndexByte(compact, '.')], mirrored)}, nil
}

// IsB64Token reports whether a text can be a credential of the schemes Bearer and DPoP:
// b64token of RFC 6750 section 2.1.
func IsB64Token(compact []byte) bool {
	bare := bytes.TrimRight(compact, "=")
	for _, c := range bare {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z') && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return len(bare) > 0
}

func sumOf(signed, signature []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(signed)
	var room [1 + (longestSignature*8+5)/6]byte
	h.Write(base64.RawURLEncoding.AppendEncode(append(room[:0], '.'), signature))
	h.Sum(sum[:0])
	return sum
}

// paddings are the sums of an opaque token in the other spellings of base64. How many
// `=` belong to it is not known: what is encoded may begin behind a prefix.
func paddings(compact []byte) [][sha256.Size]byte {
	const most = 3
	bare := bytes.TrimRight(compact, "=")
	padded := append(bytes.Clone(bare), strings.Repeat("=", most)...)
	var sums [][sha256.Size]byte
	for n := len(bare); n <= len(padded); n++ {
		if n != len(compact) {
			sums = append(sums, sha256.Sum256(padded[:n]))
		}
	}
	return sums
}

type jwtHeader struct {
	Algorithm string `json:"alg"`
}

// laxHeader reads the first part of what some server might take for a JWT: one that
// skips what is not base64, or reads its other alphabet.
func laxHeader(compact []byte) (header jwtHeader, ok bool) {
	part, _, ok := bytes.Cut(compact, []byte{'.'})
	if !ok {
		return header, false
	}
	part = bytes.Map(func(c rune) rune {
		switch {
		case c == '+':
			return '-'
		case c == '/':
			return '_'
		case c == '-', c == '_', '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z':
			return c
		}
		return -1
	}, part)
	text := make([]byte, base64.RawURLEncoding.DecodedLen(len(part)))
	n, _ := base64.RawURLEncoding.Decode(text, part)
	var object map[string]json.RawMessage
	if json.Unmarshal(text[:n], &object) != nil || object == nil {
		return header, false
	}
	_ = json.Unmarshal(object["alg"], &header.Algorithm) // no text: no algorithm
	return header, true
}

// orderOf is the order of the curve of an algorithm of RFC 7518 or RFC 8812, in as
// many bytes as a half of its signatures has; empty: it is no ECDSA.
func orderOf(algorithm string) string {
	switch algorithm {
	case "ES256":
		return "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51"
	case "ES384":
		return "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
			"\xc7\x63\x4d\x81\xf4\x37\x2d\xdf\x58\x1a\x0d\xb2\x48\xb0\xa7\x7a\xec\xec\x19\x6a\xcc\xc5\x29\x73"
	case "ES512":
		return "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfa" +
			"\x51\x86\x87\x83\xbf\x2f\x96\x6b\x7f\xcc\x01\x48\xf7\x09\xa5\xd0\x3b\xb5\xc9\xb8\x89\x9c\x47\xae\xbb\x6f\xb7\x1e\x91\x38\x64\x09"
	case "ES256K":
		return "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xba\xae\xdc\xe6\xaf\x48\xa0\x3b\xbf\xd2\x5e\x8c\xd0\x36\x41\x41"
	}
	return ""
}

// mirror writes (r, n-s) for (r, s) into dst, each of the curve's length (RFC 7518
// section 3.4); false: the signature is not of that form. n is not empty.
func mirror(dst, signature []byte, n string) ([]byte, bool) {
	size := len(n)
	if len(signature) != 2*size || !within(signature[:size], n) || !within(signature[size:], n) {
		return nil, false
	}
	dst = append(dst[:0], signature...)
	borrow := 0
	for i := size - 1; i >= 0; i-- {
		difference := int(n[i]) - int(dst[size+i]) - borrow
		borrow = difference >> 8 & 1
		dst[size+i] = byte(difference)
	}
	return dst, true
}

// within reports whether a number is neither 0 nor as large as n.
func within(number []byte, n string) bool {
	return strings.Trim(string(number), "\x00") != "" && string(number) < n
}

// longestSignature is that of ES512.
const longestSignature = 132
