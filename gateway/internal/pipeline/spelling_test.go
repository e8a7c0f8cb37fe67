package pipeline_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// mirrored is the token with (r, n-s) in place of (r, s): no key is needed for that.
func mirrored(t *testing.T, compact string, curve elliptic.Curve) string {
	t.Helper()
	dot := strings.LastIndexByte(compact, '.')
	sig, err := base64.RawURLEncoding.DecodeString(compact[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	half := sig[len(sig)/2:]
	new(big.Int).Sub(curve.Params().N, new(big.Int).SetBytes(half)).FillBytes(half)
	return compact[:dot+1] + base64.RawURLEncoding.EncodeToString(sig)
}

var curves = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}

// signedBy returns a token of issuer ec, and its public key as PEM's base64.
func signedBy(t *testing.T, alg string, curve elliptic.Curve) (compact, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	compact, err = jwt.NewWithClaims(jwt.GetSigningMethod(alg), jwt.MapClaims{
		"iss": "https://ec.test", "azp": "mobile-app", "iat": now - 60, "exp": now + 600,
	}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return compact, base64.StdEncoding.EncodeToString(der)
}

// Who has a revoked token must not make a good one of it.
func TestRevocationByHashHoldsForEverySpelling(t *testing.T) {
	for alg, curve := range curves {
		t.Run(alg, func(t *testing.T) {
			compact, public := signedBy(t, alg, curve)
			other := mirrored(t, compact, curve)
			for _, named := range []string{compact, other} {
				w := newWorld(t, common, orders, "kind: Issuer\nid: ec\nissuer: https://ec.test\nvalidate_subscription: false\nkeys: {pem: ["+public+"]}",
					"kind: Plan\nid: orders-jwt\napi: orders\nsecurity: JWT\nstatus: PUBLISHED\njwt: {issuers: [ec]}")
				for range 2 { // the second time out of the cache
					w.expect("before", get("/orders", bear(compact)), allow("orders-jwt", ""))
					w.expect("before, mirrored", get("/orders", bear(other)), allow("orders-jwt", ""))
				}
				w.fold("kind: Revocation\nid: r\ntoken_sha256: " + sha(named))
				for range 2 {
					w.expect("as issued", get("/orders", bear(compact)), deny(denial.TokenRevoked))
					w.expect("mirrored", get("/orders", bear(other)), deny(denial.TokenRevoked))
				}
				fresh, _ := signedBy(t, alg, curve)
				w.expect("another", get("/orders", bear(fresh)), deny(denial.InvalidToken))
				w.remove(pb.Kind_KIND_REVOCATION, "r")
				w.expect("after", get("/orders", bear(other)), allow("orders-jwt", ""))
			}
		})
	}
}

// An introspection server may take for the same token what is written in another way.
func TestRevocationByHashOfIntrospectedSpellings(t *testing.T) {
	revoke := func(t *testing.T, named string, spellings ...string) {
		t.Helper()
		s := newIDP(t)
		w := newWorld(t, common, api, opaqueApp, s.issuer("opaque"), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"))
		for _, spelling := range spellings {
			s.knows(spelling, answer())
			w.expect("before", get("/orders", bear(spelling)), allow("oauth", "web"))
		}
		w.fold("kind: Revocation\nid: r\ntoken_sha256: " + sha(named))
		for _, spelling := range spellings {
			w.expect("after", get("/orders", bear(spelling)), deny(denial.TokenRevoked))
		}
	}
	for alg, curve := range curves {
		compact, _ := signedBy(t, alg, curve)
		revoke(t, compact, compact, mirrored(t, compact, curve))
		revoke(t, mirrored(t, compact, curve), compact, mirrored(t, compact, curve))
	}
	// How much padding there should be depends on where base64 begins.
	for _, bare := range []string{"dG9rZW4", "gho_xdG9rZW4", "gho_dG9rZW4", "a_dG9rZW4", "dG9rZW4x"} {
		all := []string{bare, bare + "=", bare + "==", bare + "==="}
		for _, named := range all {
			revoke(t, named, all...)
		}
	}
}

// What no issuer writes is not shown to a server, which may be lax.
func TestOddlySpelledJWTIsNotIntrospected(t *testing.T) {
	compact, _ := signedBy(t, "ES256", elliptic.P256())
	part := strings.Split(compact, ".")
	sig, err := base64.RawURLEncoding.DecodeString(part[2])
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	header, err := json.Marshal(map[string]string{"alg": "ES256", "typ": "???>>>"})
	if err != nil {
		t.Fatal(err)
	}
	standard := base64.RawStdEncoding.EncodeToString(header) // has + or /
	if !strings.ContainsAny(standard, "+/") {
		t.Fatal("the header does not show what it should")
	}
	spare := []byte(part[2])
	spare[len(spare)-1]++ // 64 bytes leave four bits, of which none may be set
	unreduced := append(append([]byte{}, sig[:32]...), elliptic.P256().Params().N.Bytes()...)
	for name, odd := range map[string]string{
		"padding":            compact + "==",
		"spare bits":         part[0] + "." + part[1] + "." + string(spare),
		"the other alphabet": standard + "." + part[1] + "." + part[2],
		"skipped characters": part[0] + "~." + part[1] + "." + part[2],
		"skipped in claims":  part[0] + "." + part[1] + "~." + part[2],
		"a longer signature": part[0] + "." + part[1] + "." + encode(append([]byte{0}, sig...)),
		"s out of range":     part[0] + "." + part[1] + "." + encode(unreduced),
	} {
		s := newIDP(t)
		w := newWorld(t, common, api, opaqueApp, s.issuer("opaque"), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"))
		s.knows(odd, answer())
		w.expect(name, get("/orders", bear(odd)), deny(denial.InvalidToken))
		if s.calls.Load() != 0 {
			t.Errorf("%s: the server was asked", name)
		}
	}
}
