package token_test

import (
	"encoding/base64"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/token"
)

// typical is a token of about 600 bytes as identity providers issue them.
func typical() []byte {
	enc := base64.RawURLEncoding.EncodeToString
	return []byte(enc([]byte(`{"alg":"RS256","typ":"at+jwt","kid":"k-2026-01"}`)) + "." + enc([]byte(
		`{"iss":"https://idp.acme.test/realms/main","aud":"https://api.acme.test","sub":"user-4711","azp":"mobile-app",`+
			`"exp":1900000000,"iat":1800000000,"jti":"7f9c2b6e-11","scope":"orders.read orders.write","tenant":"acme"}`)) +
		"." + enc(make([]byte, 256)))
}

func BenchmarkParse(b *testing.B) {
	compact := typical()
	b.SetBytes(int64(len(compact)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := token.Parse(compact); err != nil {
			b.Fatal(err)
		}
	}
}
