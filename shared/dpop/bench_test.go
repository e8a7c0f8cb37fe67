package dpop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/portcullis-gateway/portcullis/shared/dpop"
)

// BenchmarkProof is what a request with a proof costs more than one without.
func BenchmarkProof(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	signed := enc(fmt.Appendf(nil, `{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":%q,"y":%q}}`, enc(point[1:33]), enc(point[33:]))) + "." +
		enc([]byte(`{"jti":"j","htm":"GET","htu":"https://a/b","iat":1800000000,"ath":"x"}`))
	sig, err := jwt.SigningMethodES256.Sign(signed, key)
	if err != nil {
		b.Fatal(err)
	}
	compact := []byte(signed + "." + enc(sig))
	proof, err := dpop.Parse(compact)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := dpop.Parse(compact); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := proof.Verify(now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("remember", func(b *testing.B) {
		// One second's proofs take the place of those of two minutes ago.
		replays, i := dpop.NewReplays(0), int64(0)
		b.ReportAllocs()
		for b.Loop() {
			i++
			if err := replays.Use("owner", proof.Thumbprint, strconv.FormatInt(i, 36), now+i/1000, now+i/1000+60); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("token hash", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dpop.TokenHash(compact)
		}
	})
}
