package assertion_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// BenchmarkSign makes the JWT for an upstream, which happens once for each token
// and lifetime.
func BenchmarkSign(b *testing.B) {
	c, err := token.ParseObject([]byte(`{"tenant":"acme","org":{"name":"Acme"}}`))
	if err != nil {
		b.Fatal(err)
	}
	caller := assertion.Caller{
		Issuer: "https://acme.test", Subject: "alice", ClientID: "mobile-app", Application: "mobile",
		ApplicationName: "Mobile", ExpiresAt: now + 600, Claims: c,
	}
	for _, k := range []struct {
		name string
		make func() (any, error)
	}{
		{"RS256", func() (any, error) { return rsa.GenerateKey(rand.Reader, 2048) }},
		{"ES256", func() (any, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
		{"EdDSA", func() (any, error) { _, key, err := ed25519.GenerateKey(rand.Reader); return key, err }},
	} {
		key, err := k.make()
		if err != nil {
			b.Fatal(err)
		}
		s, err := assertion.Parse([]byte(pkcs8(key)))
		if err != nil {
			b.Fatal(err)
		}
		plan := planOf(s, &pb.SignedJwt{Claims: []string{"tenant"}})
		b.Run(k.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := plan.Sign(&caller, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
