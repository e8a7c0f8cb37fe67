package dpop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloudflare/circl/sign/ed448"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/golang-jwt/jwt/v5"

	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/dpop"
)

const now = 1_800_000_000

func TestChallengesNameTheSameAlgorithms(t *testing.T) {
	if dpop.Algorithms != denial.DPoPAlgorithms {
		t.Error("what is accepted and what is announced differ")
	}
}

// The proof of RFC 9449 section 7.1, its iat and signature left as printed.
func TestExampleOfTheRFC(t *testing.T) {
	const example = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19." +
		"eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9." +
		"2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	p, err := dpop.Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if p.Thumbprint != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" || p.Method != http.MethodGet || p.URL != "https://resource.example.org/protectedresource" ||
		p.IssuedAt != 1562262618 || p.ID != "e1j3V_bKic8-LAEB" || p.TokenHash != dpop.TokenHash([]byte("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")) {
		t.Errorf("%+v", p)
	}
	if err := p.Verify(now); err != nil {
		t.Error(err)
	}
}

func TestParseAndVerify(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	jwk := fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q`, enc(point[1:33]), enc(point[33:]))
	const claims = `{"jti":"j","htm":"GET","htu":"https://a/b","iat":1800000000,"ath":"x"}`
	sign := func(header, claims string) string {
		signed := enc([]byte(header)) + "." + enc([]byte(claims))
		sig, err := jwt.SigningMethodES256.Sign(signed, key)
		if err != nil {
			t.Fatal(err)
		}
		return signed + "." + enc(sig)
	}
	header := func(jwk string) string { return `{"typ":"dpop+jwt","alg":"ES256","jwk":` + jwk + `}` }
	tests := []struct {
		name, header, claims string
		want                 error
	}{
		{"good", header(jwk + `}`), claims, nil},
		{"as browsers export it", header(jwk + `,"ext":true,"key_ops":["verify"]}`), claims, nil},
		{"private", header(jwk + `,"d":"AAAA"}`), claims, dpop.ErrKey},
		{"for encryption", header(jwk + `,"use":"enc"}`), claims, dpop.ErrKey},
		{"not on the curve", header(strings.Replace(jwk, `"y":"`, `"y":"A`, 1) + `}`), claims, dpop.ErrKey},
		{"a list", header(`[` + jwk + `}]`), claims, dpop.ErrKey},
		{"text", header(`"x"`), claims, dpop.ErrKey},
		{"null", header(`null`), claims, dpop.ErrKey},
		{"two", `{"typ":"dpop+jwt","alg":"ES256","jwk":` + jwk + `},"jwk":` + jwk + `}}`, claims, dpop.ErrMalformed},
		{"crit", `{"typ":"dpop+jwt","alg":"ES256","crit":["x"],"jwk":` + jwk + `}}`, claims, dpop.ErrMalformed},
		{"HS256", `{"typ":"dpop+jwt","alg":"HS256","jwk":` + jwk + `}}`, claims, dpop.ErrAlgorithm},
		{"none", `{"typ":"dpop+jwt","alg":"none","jwk":` + jwk + `}}`, claims, dpop.ErrAlgorithm},
		{"typ", `{"typ":"at+jwt","alg":"ES256","jwk":` + jwk + `}}`, claims, dpop.ErrType},
		{"htm a number", header(jwk + `}`), strings.Replace(claims, `"GET"`, `1`, 1), dpop.ErrClaims},
		{"no iat", header(jwk + `}`), strings.Replace(claims, `"iat":1800000000,`, ``, 1), dpop.ErrClaims},
		{"no ath", header(jwk + `}`), strings.Replace(claims, `"x"`, `""`, 1), dpop.ErrClaims},
		{"jti a number", header(jwk + `}`), strings.Replace(claims, `"j"`, `1`, 1), dpop.ErrMalformed},
		{"iat as text", header(jwk + `}`), strings.Replace(claims, `1800000000`, `"1800000000"`, 1), dpop.ErrMalformed},
		{"long", header(jwk + `}`), strings.Replace(claims, `"x"`, `"`+strings.Repeat("x", 4<<10)+`"`, 1), dpop.ErrMalformed},
	}
	for _, tt := range tests {
		p, err := dpop.Parse([]byte(sign(tt.header, tt.claims)))
		if err == nil {
			err = p.Verify(now)
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	good := sign(header(jwk+`}`), claims)
	p, err := dpop.Parse([]byte(good[:len(good)-4] + "AAAA"))
	if err != nil || !errors.Is(p.Verify(now), dpop.ErrSignature) {
		t.Errorf("a wrong signature: %v", err)
	}
}

// RFC 9449 section 4.2 takes any asymmetric algorithm; here those of RFC 8037 and RFC 8812.
func TestOtherKeys(t *testing.T) {
	enc := base64.RawURLEncoding.EncodeToString
	public, private, err := ed448.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	point := secret.PubKey().SerializeUncompressed()
	ed := func(signed string) []byte { return ed448.Sign(private, []byte(signed), "") }
	for alg, c := range map[string]struct {
		jwk  string
		sign func(signed string) []byte
	}{
		"EdDSA": {`{"kty":"OKP","crv":"Ed448","x":"` + enc(public) + `"}`, ed},
		"Ed448": {`{"kty":"OKP","crv":"Ed448","x":"` + enc(public) + `"}`, ed},
		"ES256K": {`{"kty":"EC","crv":"secp256k1","x":"` + enc(point[1:33]) + `","y":"` + enc(point[33:]) + `"}`, func(signed string) []byte {
			digest := sha256.Sum256([]byte(signed))
			sig := secpecdsa.Sign(secret, digest[:])
			r, s := sig.R(), sig.S()
			one, two := r.Bytes(), s.Bytes()
			return append(one[:], two[:]...)
		}},
	} {
		signed := enc([]byte(`{"typ":"dpop+jwt","alg":"`+alg+`","jwk":`+c.jwk+`}`)) + "." + enc([]byte(`{"jti":"j","htm":"GET","htu":"https://a/b","iat":1800000000,"ath":"x"}`))
		for name, want := range map[string]error{"good": nil, "spoiled": dpop.ErrSignature} {
			sig := c.sign(signed)
			if want != nil {
				sig[3] ^= 1
			}
			p, err := dpop.Parse([]byte(signed + "." + enc(sig)))
			if err != nil {
				t.Fatalf("%s: %v", alg, err)
			}
			if err := p.Verify(now); !errors.Is(err, want) {
				t.Errorf("%s, %s: %v", alg, name, err)
			}
		}
	}
}

func TestReplays(t *testing.T) {
	r := dpop.NewReplays(0)
	use := func(key, jti string, at, until int64) error { return r.Use("o", key, jti, at, until) }
	if err := use("k", "j", now, now+60); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"again": use("k", "j", now, now+60), "in the last second": use("k", "j", now+60, now+120),
	} {
		if !errors.Is(err, dpop.ErrReplayed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !r.Used("k", "j", now) || r.Used("k", "x", now) || r.Used("k", "j", now+61) {
		t.Error("Used does not tell what was used")
	}
	if err := errors.Join(use("k2", "j", now, now+60), use("k", "j2", now, now+60), use("k", "j", now+61, now+120)); err != nil {
		t.Errorf("another proof: %v", err)
	}
}

func TestReplaysForgetOnlyWhatHasExpired(t *testing.T) {
	r := dpop.NewReplays(64 * 10)
	kept := map[string]bool{}
	for i := range 4000 { // each of its own owner, so that the whole memory is filled
		jti := fmt.Sprint(i)
		if err := r.Use(jti, "k", jti, now, now+60); err == nil {
			kept[jti] = true
		} else if !errors.Is(err, dpop.ErrFull) {
			t.Fatal(err)
		}
	}
	entries, refused := r.Size()
	if entries != len(kept) || entries != 640 || refused != uint64(4000-len(kept)) {
		t.Errorf("%d entries, %d refused, %d kept", entries, refused, len(kept))
	}
	for i := range 200 { // sweeps all shards
		if err := r.Use("other", "k2", fmt.Sprint(i), now+30, now+90); !errors.Is(err, dpop.ErrFull) {
			t.Fatalf("room was made for another: %v", err)
		}
	}
	for jti := range kept {
		if !r.Used("k", jti, now+60) {
			t.Fatal("a fresh proof was forgotten")
		}
	}
	if err := r.Use("other", "k", "late", now+61, now+120); err != nil {
		t.Error(err)
	}
}

// Who uses proofs without measure leaves room for others, whatever keys they are of.
func TestReplaysAreSharedFairly(t *testing.T) {
	const most = 64 * 100
	r := dpop.NewReplays(most)
	flood := func(owner string, at int64) (kept int) {
		for i := range 2 * most {
			err := r.Use(owner, fmt.Sprint("key", i), fmt.Sprint(owner, at, i), at, at+60)
			switch {
			case err == nil:
				kept++
			case !errors.Is(err, dpop.ErrShare):
				t.Fatalf("%s: %v", owner, err)
			}
		}
		return kept
	}
	near := func(what string, got, want int) {
		t.Helper()
		if got < want*9/10 || got > want*11/10 {
			t.Errorf("%s: %d, want about %d", what, got, want)
		}
	}
	near("the first", flood("first", now), most/2)
	near("the second finds what is left", flood("second", now), most/4)
	for i := range 200 {
		if err := r.Use("good", "k", fmt.Sprint(i), now, now+60); err != nil {
			t.Fatalf("proof %d of one who needs little: %v", i, err)
		}
	}
	if err := r.Use("first", "k", "one more", now, now+60); !errors.Is(err, dpop.ErrShare) {
		t.Errorf("the first goes on: %v", err)
	}
	// What has expired is its owner's no more.
	near("the first, a minute later", flood("first", now+61), most/2)
	if entries, _ := r.Size(); entries > most {
		t.Errorf("%d proofs in a memory for %d", entries, most)
	}
}

func TestOneOfManySimultaneousUsesWins(t *testing.T) {
	r := dpop.NewReplays(0)
	var won atomic.Int64
	var uses sync.WaitGroup
	for range 100 {
		uses.Go(func() {
			if r.Use("o", "k", "j", now, now+60) == nil {
				won.Add(1)
			}
		})
	}
	uses.Wait()
	if won.Load() != 1 {
		t.Errorf("%d uses of one proof", won.Load())
	}
}

func FuzzParse(f *testing.F) {
	enc := base64.RawURLEncoding.EncodeToString
	f.Add([]byte(enc([]byte(`{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC"}}`)) + "." + enc([]byte(`{"jti":"j"}`)) + "." + enc(make([]byte, 64))))
	f.Fuzz(func(t *testing.T, compact []byte) {
		p, err := dpop.Parse(compact)
		if err != nil {
			return
		}
		var header, jwk map[string]json.RawMessage
		part, _, _ := strings.Cut(string(compact), ".")
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || json.Unmarshal(data, &header) != nil || json.Unmarshal(header["jwk"], &jwk) != nil || jwk["d"] != nil || p.Thumbprint == "" || p.ID == "" {
			t.Errorf("accepted %s", data)
		}
	})
}
