package introspect

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// assertionLifetime is how long a client assertion may be used, which is once.
const assertionLifetime = time.Minute

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// parseKey reads a private key in PEM: PKCS#8, PKCS#1 or SEC 1.
func parseKey(text string) (crypto.Signer, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errors.New("it has more than one PEM block")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, errors.New("its PEM block is not PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY")
	}
	if err != nil {
		return nil, errors.New("it is not a private key that can be read")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, errors.New("the RSA key has less than 2048 bits")
		}
		return k, nil
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, errors.New("the EC key is not on P-256")
		}
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	default:
		return nil, fmt.Errorf("keys of type %T are not supported", key)
	}
}

// signingMethod goes by the key's type. RSA keys make RS256, which every server
// has, unless the server's metadata list PS256.
func signingMethod(key crypto.Signer, pss bool) jwt.SigningMethod { //nolint:ireturn // what golang-jwt calls its methods
	switch key.(type) {
	case *ecdsa.PrivateKey:
		return jwt.SigningMethodES256
	case ed25519.PrivateKey:
		return jwt.SigningMethodEdDSA
	}
	if pss {
		return jwt.SigningMethodPS256
	}
	return jwt.SigningMethodRS256
}

// assertion makes a client assertion (RFC 7523 section 3). Its audience is the
// issuer identifier alone, so that it is of no use anywhere else. It names no
// key, because it is not known what the server calls it.
func (s *Settings) assertion(pss bool, now time.Time) (string, error) {
	t := jwt.NewWithClaims(signingMethod(s.key, pss), jwt.MapClaims{
		"iss": s.clientID, "sub": s.clientID, "aud": s.issuer, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLifetime).Unix(),
	})
	signed, err := t.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign the client assertion: %w", err)
	}
	return signed, nil
}
