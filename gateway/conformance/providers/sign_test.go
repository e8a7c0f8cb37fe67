package providers_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

type object = map[string]any

const djangoKey = "django-insecure-0123456789abcdef0123456789abcdef"

var (
	rs       = sync.OnceValue(newRSA)
	stranger = sync.OnceValue(newRSA)
	es       = sync.OnceValue(newEC)
	passport = sync.OnceValue(newRSA)
)

func newRSA() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func newEC() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// made is a token as a provider makes it.
type made struct {
	alg    string // RS256 if empty
	header object // besides alg
	claims object // besides iat and exp; nil takes a claim away
	key    any    // that signs; nil: the one for alg
}

// with is the token with some other claims.
func (m made) with(claims object) made {
	all := maps.Clone(m.claims)
	maps.Copy(all, claims)
	m.claims = all
	return m
}

// by is the token, signed by another key.
func (m made) by(key any) made {
	m.key = key
	return m
}

// typed is the token with some other members of its header.
func (m made) typed(header object) made {
	all := maps.Clone(m.header)
	if all == nil {
		all = object{}
	}
	maps.Copy(all, header)
	m.header = all
	return m
}

func (m made) sign(t *testing.T) string {
	t.Helper()
	alg := m.alg
	if alg == "" {
		alg = "RS256"
	}
	method := jwt.GetSigningMethod(alg)
	claims := jwt.MapClaims{"iat": time.Now().Unix(), "exp": time.Now().Unix() + 3600}
	for name, value := range m.claims {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	token := jwt.NewWithClaims(method, claims)
	delete(token.Header, "typ")
	maps.Copy(token.Header, m.header)
	key := m.key
	if key == nil {
		switch alg {
		case "RS256":
			key = rs()
		case "ES256":
			key = es()
		case "HS256":
			key = []byte(djangoKey)
		}
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// jwk is the RSA key as a provider shows it.
func jwk(kid string, more object) object {
	public, ok := rs().Public().(*rsa.PublicKey)
	if !ok {
		panic("not RSA")
	}
	key := object{"kty": "RSA", "kid": kid, "use": "sig", "n": b64(public.N.Bytes()), "e": "AQAB"}
	maps.Copy(key, more)
	return key
}

func ecJWK(kid string) object {
	public, ok := es().Public().(*ecdsa.PublicKey)
	if !ok {
		panic("not EC")
	}
	point, err := public.Bytes()
	if err != nil {
		panic(err)
	}
	return object{"kty": "EC", "kid": kid, "use": "sig", "alg": "ES256", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func keys(list ...object) string { return text(object{"keys": list}) }

// metadata is a discovery document.
func metadata(issuer, jwks string) string {
	return text(object{
		"issuer": issuer, "jwks_uri": jwks, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
	})
}

func page(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func publicPEM(key crypto.Signer) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
