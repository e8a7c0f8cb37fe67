package token_test

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
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// signers are made once: RSA keys take their time.
var signers = sync.OnceValue(func() map[string]any {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	ec := func(c elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]any{
		"RS": rsaKey, "PS": rsaKey, "HS": []byte(secret), "Ed": ed,
		"ES256": ec(elliptic.P256()), "ES384": ec(elliptic.P384()), "ES512": ec(elliptic.P521()),
	}
})

func signer(alg string) any {
	if key, ok := signers()[alg]; ok {
		return key
	}
	return signers()[alg[:2]]
}

// set holds the keys of these families, public ones as PEM.
func set(t testing.TB, algs ...string) *keyset.Set {
	t.Helper()
	issuer := &pb.Issuer{Keys: &pb.Keys{}}
	for _, alg := range algs {
		if alg[:2] == "HS" {
			issuer.Keys.HmacSecrets = append(issuer.Keys.HmacSecrets, &pb.HmacSecret{Source: &pb.HmacSecret_Value{Value: secret}})
			continue
		}
		issuer.Keys.Pem = append(issuer.Keys.Pem, publicPEM(t, signer(alg)))
	}
	s, err := keyset.FromIssuer(issuer, nil, keyset.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publicPEM(t testing.TB, key any) string {
	t.Helper()
	private, ok := key.(crypto.Signer)
	if !ok {
		t.Fatalf("%T is no signer", key)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func enc(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// unsigned puts parts together with a signature of the right length for HS256.
func unsigned(header, payload string) string {
	return enc(header) + "." + enc(payload) + "." + enc(strings.Repeat("s", 32))
}

// sign signs any header and payload as alg says, whatever the header says.
func sign(t testing.TB, alg, header, payload string) string {
	t.Helper()
	input := enc(header) + "." + enc(payload)
	sig, err := jwt.GetSigningMethod(alg).Sign(input, signer(alg))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}
