package keyset_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// BenchmarkParseJWKS reads a key set as identity providers publish it.
func BenchmarkParseJWKS(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{2, 50} {
		var keys []string
		for i := range n {
			keys = append(keys, fmt.Sprintf(`{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"k%d","x":%q,"y":%q}`, i, b64(point[1:33]), b64(point[33:])))
		}
		set := []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`)
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, skipped, err := keyset.ParseJWKS(set, keyset.Options{}); err != nil || len(skipped) > 0 {
					b.Fatal(err, skipped)
				}
			}
		})
	}
}
