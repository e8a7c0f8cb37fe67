package token

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// Twin returns the SHA-256 of the one other compact serialisation that is as good
// as this one, if there is one. With (r, s) an ECDSA signature (r, n-s) holds, too,
// and anybody can write the one for the other; n is the order of the curve. All
// else that Parse and Verify accept has one spelling only.
func (u *Unverified) Twin() (sum [sha256.Size]byte, ok bool) {
	order := orderOf(u.Algorithm.String())
	if order == nil {
		return sum, false
	}
	mirrored, ok := mirror(u.signature, order)
	if !ok {
		return sum, false
	}
	return sumOf(u.signed, mirrored), true
}

// OtherSpellings returns the SHA-256 of what may be taken for the same token as
// compact by a server that is asked about it (RFC 7662): a JWS with its ECDSA
// signature mirrored, an opaque token with and without padding. What the server
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
	if order == nil || len(parts) != 3 {
		return nil, nil
	}
	mirrored, ok := mirror(buf[:last], order)
	if !ok {
		return nil, ErrSpelling
	}
	return [][sha256.Size]byte{sumOf(compact[:bytes.LastIndexByte(compact, '.')], mirrored)}, nil
}

func sumOf(signed, signature []byte) [sha256.Size]byte {
	text := append(bytes.Clone(signed), '.')
	return sha256.Sum256(base64.RawURLEncoding.AppendEncode(text, signature))
}

// paddings are the sums of an opaque token in the other spellings of base64.
func paddings(compact []byte) [][sha256.Size]byte {
	bare := bytes.TrimRight(compact, "=")
	padded := append(bytes.Clone(bare), strings.Repeat("=", (4-len(bare)%4)%4)...)
	var sums [][sha256.Size]byte
	for _, other := range [][]byte{bare, padded} {
		if sum := sha256.Sum256(other); !bytes.Equal(other, compact) && (len(sums) == 0 || sums[0] != sum) {
			sums = append(sums, sum)
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

// orderOf is the order of the curve of an algorithm of RFC 7518 or RFC 8812; nil:
// it is no ECDSA.
func orderOf(algorithm string) *big.Int {
	switch algorithm {
	case keyset.ES256.String():
		return elliptic.P256().Params().N
	case keyset.ES384.String():
		return elliptic.P384().Params().N
	case keyset.ES512.String():
		return elliptic.P521().Params().N
	case keyset.ES256K.String():
		n, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
		return n
	}
	return nil
}

// mirror returns (r, n-s) for (r, s), each of the curve's length (RFC 7518 section
// 3.4); false: the signature is not of that form.
func mirror(signature []byte, n *big.Int) ([]byte, bool) {
	size := (n.BitLen() + 7) / 8
	if len(signature) != 2*size {
		return nil, false
	}
	r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(n) >= 0 || s.Cmp(n) >= 0 {
		return nil, false
	}
	mirrored := bytes.Clone(signature)
	s.Sub(n, s).FillBytes(mirrored[size:])
	return mirrored, true
}
