package token_test

import (
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/token"
)

const typicalHeader = `{"alg":"RS256","typ":"at+jwt","kid":"k-2026-01"}`

// typical is the payload of an access token as identity providers issue it: the
// whole token, signed with RS256, has about 630 bytes.
const typical = `{"iss":"https://idp.acme.test","aud":"https://orders.test","sub":"user-4711","azp":"mobile-app",` +
	`"exp":1900000600,"iat":1899999940,"jti":"7f9c2b6e","scope":"orders.read"}`

// BenchmarkParse is every check of a token that needs no key.
func BenchmarkParse(b *testing.B) {
	signature := "." + enc(strings.Repeat("s", 256))
	large := strings.TrimSuffix(typical, "}") + `,"groups":["` + strings.Repeat(`team-0000","`, 250) + `end"],"org":{"name":"Acme","units":[{"id":1},{"id":2}]}}`
	for _, c := range []struct {
		name, compact string
		want          error
	}{
		{"typical", enc(typicalHeader) + "." + enc(typical) + signature, nil},
		{"large", enc(typicalHeader) + "." + enc(large) + signature, nil},
		{"refused/opaque", strings.Repeat("t", 629), token.ErrParts},
		{"refused/base64", enc(typicalHeader) + "." + enc(typical) + "=" + signature, token.ErrBase64},
		{"refused/crit", enc(`{"alg":"RS256","crit":["x"]}`) + "." + enc(typical) + signature, token.ErrCritical},
		{"refused/twice", enc(typicalHeader) + "." + enc(strings.TrimSuffix(typical, "}")+`,"sub":"admin"}`) + signature, token.ErrDuplicate},
	} {
		b.Run(c.name, func(b *testing.B) {
			compact := []byte(c.compact)
			b.SetBytes(int64(len(compact)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := token.Parse(compact); err != c.want {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerify checks a signature, and finds the key for it.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA", "HS256"} {
		b.Run(alg, func(b *testing.B) {
			u, err := token.Parse([]byte(sign(b, alg, `{"alg":"`+alg+`"}`, typical)))
			if err != nil {
				b.Fatal(err)
			}
			keys := set(b, alg)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := u.Verify(keys, 1_900_000_000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkClaims reads claims as plans do.
func BenchmarkClaims(b *testing.B) {
	c := claims(b, `{"scope":"orders.read orders.write","tenant":"acme","level":3,"org":{"name":"Acme","unit":{"id":"u1"}}}`)
	for _, t := range []struct {
		name string
		do   func() bool
	}{
		{"text", func() bool { _, ok := c.Text("tenant"); return ok }},
		{"text in objects", func() bool { _, ok := c.Text("org.unit.id"); return ok }},
		{"words", func() bool { _, ok := c.Strings("scope"); return ok }},
		{"any", func() bool { _, ok := c.Get("level"); return ok }},
	} {
		b.Run(t.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !t.do() {
					b.Fatal("not there")
				}
			}
		})
	}
}
