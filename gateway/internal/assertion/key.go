package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// maxKeys bounds the keys of one file: the one that signs and those that did or will.
const maxKeys = 8

// Signer signs with one key and publishes it and others. It is
// immutable and safe for concurrent use.
type Signer struct {
	private crypto.Signer
	method  jwt.SigningMethod
	header  string // the encoded JOSE header
	keyID   string
	jwks    []byte
}

// Parse makes a Signer from private keys in PEM: PKCS #8, PKCS #1 or SEC 1. The
// first one signs; the others are only published, so that a fleet can change its
// key node by node: new key behind the old one, then before it, then alone.
func Parse(text []byte) (*Signer, error) {
	keys, err := parseKeys(text)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no private key in PEM")
	}
	published := make([]jwk, len(keys))
	for i := range keys {
		published[i] = keys[i].jwk
	}
	s := keys[0].signer()
	if s.jwks, err = json.Marshal(map[string][]jwk{"keys": published}); err != nil {
		return nil, fmt.Errorf("encode the key set: %w", err)
	}
	return s, nil
}

func parseKeys(rest []byte) ([]key, error) {
	var keys []key
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil && strings.TrimSpace(string(rest)) != "":
			return nil, errors.New("it has something that is not a whole PEM block")
		case block == nil:
			return keys, nil
		case block.Type == "EC PARAMETERS": // what openssl ecparam writes before the key
			continue
		case len(keys) == maxKeys:
			return nil, fmt.Errorf("it has more than %d keys", maxKeys)
		}
		k, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", len(keys)+1, err)
		}
		keys = append(keys, k)
	}
}

// KeyID is the kid of the key that signs.
func (s *Signer) KeyID() string { return s.keyID }

// JWKS is the set of public keys (RFC 7517). Do not write to it.
func (s *Signer) JWKS() []byte { return s.jwks }

// key is a private key with its public side as a JWK.
type key struct {
	private crypto.Signer
	method  jwt.SigningMethod
	jwk     jwk
}

type jwk struct {
	Type      string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

func parseBlock(block *pem.Block) (key, error) {
	private, err := parsePrivate(block)
	if err != nil {
		return key{}, err
	}
	public := private.Public()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return key{}, fmt.Errorf("encode its public side: %w", err)
	}
	// The same rules as for the keys of issuers: RSA of 2048 bits at least, and so on.
	checked, err := keyset.ParsePEM(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	if err != nil {
		return key{}, err
	}
	k := key{private: private}
	encode := base64.RawURLEncoding.EncodeToString
	switch p := public.(type) {
	case *rsa.PublicKey:
		k.method = jwt.SigningMethodRS256
		k.jwk = jwk{Type: "RSA", N: encode(p.N.Bytes()), E: encode(big.NewInt(int64(p.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil || p.Curve != elliptic.P256() {
			return key{}, errors.New("an EC key must be on P-256")
		}
		k.method = jwt.SigningMethodES256
		k.jwk = jwk{Type: "EC", Curve: "P-256", X: encode(point[1:33]), Y: encode(point[33:])}
	case ed25519.PublicKey:
		k.method = jwt.SigningMethodEdDSA
		k.jwk = jwk{Type: "OKP", Curve: "Ed25519", X: encode(p)}
	default:
		return key{}, fmt.Errorf("keys of type %T are not supported", public)
	}
	k.jwk.Use, k.jwk.Algorithm, k.jwk.ID = "sig", k.method.Alg(), checked[0].Thumbprint()
	return k, nil
}

func parsePrivate(block *pem.Block) (crypto.Signer, error) {
	var private any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("it is encrypted: decrypt it first")
	default:
		return nil, fmt.Errorf("a PEM block %q is not a private key", block.Type)
	}
	if err != nil {
		// What the parser says may show parts of the key.
		return nil, fmt.Errorf("the PEM block %q cannot be read as a private key", block.Type)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("keys of type %T do not sign", private)
	}
	return signer, nil
}

func (k key) signer() *Signer {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
		Type      string `json:"typ"`
	}{k.method.Alg(), k.jwk.ID, "JWT"})
	if err != nil {
		panic("BUG: encode a JOSE header: " + err.Error())
	}
	return &Signer{
		private: k.private, method: k.method, keyID: k.jwk.ID,
		header: base64.RawURLEncoding.EncodeToString(header),
	}
}

// sign makes the compact serialisation of a payload.
func (s *Signer) sign(payload []byte) (string, error) {
	text := s.header + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := s.method.Sign(text, s.private)
	if err != nil {
		return "", fmt.Errorf("sign a JWT for the upstream: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
