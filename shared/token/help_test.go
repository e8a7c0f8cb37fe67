package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cloudflare/circl/sign/ed448"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
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
	secp, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		panic(err)
	}
	_, ed4, err := ed448.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]any{
		"RS": rsaKey, "PS": rsaKey, "HS": []byte(secret), "Ed": ed,
		"ES256K": secp, "Ed448": ed4,
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
	der, err := publicDER(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// publicDER writes a SubjectPublicKeyInfo, for RFC 8410 and RFC 5480 by hand.
func publicDER(key any) ([]byte, error) {
	type info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	switch key := key.(type) {
	case ed448.PrivateKey:
		public, _ := key.Public().(ed448.PublicKey)
		return asn1.Marshal(info{pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 101, 113}}, asn1.BitString{Bytes: public, BitLength: 8 * len(public)}})
	case *secp256k1.PrivateKey:
		curve, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 132, 0, 10})
		point := key.PubKey().SerializeUncompressed()
		id := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Parameters: asn1.RawValue{FullBytes: curve}}
		der, err2 := asn1.Marshal(info{id, asn1.BitString{Bytes: point, BitLength: 8 * len(point)}})
		return der, errors.Join(err, err2)
	case crypto.Signer:
		return x509.MarshalPKIXPublicKey(key.Public())
	}
	return nil, fmt.Errorf("%T is no signer", key)
}

// method is an algorithm that golang-jwt does not have. Nothing is verified with it.
type method struct {
	alg  string
	sign func(message string, key any) []byte
}

func (m method) Alg() string                               { return m.alg }
func (m method) Verify(string, []byte, any) error          { return jwt.ErrSignatureInvalid }
func (m method) Sign(text string, key any) ([]byte, error) { return m.sign(text, key), nil }

// teach tells golang-jwt of the algorithms of RFC 8812 and RFC 9864.
var teach = sync.OnceFunc(func() {
	jwt.RegisterSigningMethod("Ed25519", func() jwt.SigningMethod { return jwt.SigningMethodEdDSA })
	for _, m := range []method{
		{"Ed448", func(message string, key any) []byte { return ed448.Sign(key.(ed448.PrivateKey), []byte(message), "") }}, //nolint:forcetypeassert // or the test fails
		{"ES256K", func(message string, key any) []byte {
			digest := sha256.Sum256([]byte(message))
			sig := secpecdsa.Sign(key.(*secp256k1.PrivateKey), digest[:]) //nolint:forcetypeassert // or the test fails
			r, s := sig.R(), sig.S()
			rb, sb := r.Bytes(), s.Bytes()
			return append(rb[:], sb[:]...)
		}},
	} {
		jwt.RegisterSigningMethod(m.alg, func() jwt.SigningMethod { return m })
	}
})

func enc(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// unsigned puts parts together with a signature of the right length for HS256.
func unsigned(header, payload string) string {
	return enc(header) + "." + enc(payload) + "." + enc(strings.Repeat("s", 32))
}

// sign signs any header and payload as alg says, whatever the header says.
func sign(t testing.TB, alg, header, payload string) string {
	t.Helper()
	teach()
	input := enc(header) + "." + enc(payload)
	sig, err := jwt.GetSigningMethod(alg).Sign(input, signer(alg))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}
