//go:build linux

package world

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
)

// Algorithm is a JWS algorithm; each has its own issuer.
type Algorithm string

// The three kinds of signature that are compared.
const (
	RS256 Algorithm = "RS256"
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
)

// Algorithms lists them in the order in which applications use them in turn.
func Algorithms() []Algorithm { return []Algorithm{RS256, ES256, EdDSA} }

func algorithmOf(application int) Algorithm { return Algorithms()[application%len(Algorithms())] }

func (a Algorithm) issuerID() string { return "idp-" + strings.ToLower(string(a)) }

// Issuer is the `iss` of its tokens.
func (a Algorithm) Issuer() string { return "https://" + strings.ToLower(string(a)) + ".idp.acme.test" }

func (a Algorithm) kid() string { return strings.ToLower(string(a)) + "-2026-1" }

// Keys are the issuers' private keys.
type Keys struct{ private map[Algorithm]crypto.Signer }

// openKeys reads the keys of a directory, and makes those that are missing.
func openKeys(dir string) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	k := &Keys{private: map[Algorithm]crypto.Signer{}}
	for _, alg := range Algorithms() {
		file := filepath.Join(dir, string(alg)+".key")
		data, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			if data, err = generate(alg); err == nil {
				err = os.WriteFile(file, data, 0o600)
			}
		}
		if err != nil {
			return nil, err
		}
		if k.private[alg], err = parseKey(data); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return k, k.writePublic(dir)
}

func generate(alg Algorithm) ([]byte, error) {
	var key any
	var err error
	switch alg {
	case RS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%T cannot sign", key)
	}
	return signer, nil
}

// writePublic writes the public keys as HAProxy reads them.
func (k *Keys) writePublic(dir string) error {
	for alg, key := range k.private {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			return err
		}
		data := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		if err := os.WriteFile(filepath.Join(dir, string(alg)+".pub"), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// jwks is the key set of an issuer (RFC 7517).
func (k *Keys) jwks(alg Algorithm) object {
	text := base64.RawURLEncoding.EncodeToString
	jwk := object{"kid": alg.kid(), "alg": string(alg), "use": "sig"}
	switch key := k.private[alg].Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", text(key.N.Bytes()), text(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 4, x, y
		if err != nil {
			panic("BUG: " + err.Error()) // it was generated on this curve
		}
		jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", "P-256", text(point[1:33]), text(point[33:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", text(key)
	}
	return object{"keys": []object{jwk}}
}
