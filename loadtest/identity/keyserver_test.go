package identity_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// keyServer is an issuer with a JWKS endpoint that can be made to misbehave.
type keyServer struct {
	*httptest.Server
	id      string
	kid     atomic.Pointer[signer]
	bad     atomic.Pointer[http.HandlerFunc] // nil: it behaves
	fetches atomic.Int64
}

type signer struct {
	kid string
	key ed25519.PrivateKey
}

func newKeyServer(t *testing.T, id string, start func(http.Handler) *httptest.Server) *keyServer {
	t.Helper()
	s := &keyServer{id: id}
	s.rotate(t, "k1")
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fetches.Add(1)
		if bad := s.bad.Load(); bad != nil {
			(*bad)(w, r)
			return
		}
		_, _ = w.Write([]byte(s.jwks()))
	}))
	s.Config.SetKeepAlivesEnabled(false) // each fetch is a separate connection
	t.Cleanup(s.CloseClientConnections)
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) misbehave(h http.HandlerFunc) { s.bad.Store(&h) }

// rotate makes a new key; the old one is gone.
func (s *keyServer) rotate(t *testing.T, kid string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.kid.Store(&signer{kid, key})
}

func (s *keyServer) jwks() string {
	k := s.kid.Load()
	public, _ := k.key.Public().(ed25519.PublicKey)
	return fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":%q,"alg":"EdDSA","use":"sig","x":%q}]}`,
		k.kid, base64.RawURLEncoding.EncodeToString(public))
}

func (s *keyServer) iss() string { return "https://" + s.id + ".test" }

// token is signed with the key in force.
func (s *keyServer) token() string { return s.kid.Load().sign(s.kid.Load().kid, s.iss()) }

// sign makes a token that claims to be signed with the key kid.
func (k *signer) sign(kid, iss string) string {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // maps of plain values
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]string{"alg": "EdDSA", "kid": kid, "typ": "JWT"}) + "." + part(map[string]any{
		"iss": iss, "sub": "me", "azp": "me", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k.key, []byte(signed)))
}

// resources are an Api secured by the issuer, at /id.
func (s *keyServer) resources(upstream, settings string) string {
	return fmt.Sprintf(`
kind: Issuer
id: %[1]s
issuer: %[2]s
validate_subscription: false
keys: {jwks_urls: ["%[3]s/jwks"]}
%[5]s
---
kind: Api
id: %[1]s
context_path: /%[1]s
upstream: {targets: [{url: "%[4]s"}]}
---
kind: Plan
id: %[1]s
api: %[1]s
security: JWT
status: PUBLISHED
jwt: {issuers: [%[1]s]}
---
`, s.id, s.iss(), s.URL, upstream, settings)
}
