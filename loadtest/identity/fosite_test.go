package identity_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// provider is a running identity provider.
type provider struct{ base string }

func newProvider(t *testing.T) provider {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	program, err := buildProvider()
	if err != nil {
		t.Fatal(err)
	}
	return provider{launch(t, "provider", program)}
}

// post sends a form as the client "client", and reads the JSON answer.
func post(t *testing.T, address string, form url.Values) (said map[string]any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("client", "secret")
	got := send(t, req)
	if got.status/100 != 2 {
		t.Fatalf("%s: %s", address, got)
	}
	_ = json.Unmarshal([]byte(got.body), &said) // an empty answer stays empty
	return said
}

func clientCredentials(t *testing.T, endpoint string, more url.Values) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}}
	maps.Copy(form, more)
	token, _ := post(t, endpoint, form)["access_token"].(string)
	if token == "" {
		t.Fatal("no access token")
	}
	return token
}

func (p provider) fetches(t *testing.T) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.base+"/fetches", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(send(t, req).body)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func jwtWorld(issuer, upstream, more string) string {
	return fmt.Sprintf(`
kind: Issuer
id: idp
issuer: %s
discovery: true
validate_subscription: false
%s
---
kind: Api
id: echo
context_path: /echo
upstream: {targets: [{url: "%s"}]}
---
kind: Plan
id: plan
api: echo
security: JWT
status: PUBLISHED
jwt: {issuers: [idp], scopes: {any: [read]}}
`, issuer, more, upstream)
}

// An ory/fosite provider: discovery, client credentials, audience and scope.
func TestFositeTokens(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	n := serve(t, jwtWorld(p.base+"/jwt", echo(t), "profile: RFC9068\naudiences: [https://api.test]"))
	audience := url.Values{"audience": {"https://api.test"}}
	n.becomes(t, "/echo", clientCredentials(t, p.base+"/jwt/token", audience), http.StatusOK)
	if p.fetches(t) != 1 {
		t.Errorf("%d fetches", p.fetches(t))
	}
	if got := n.call(t, "/echo", clientCredentials(t, p.base+"/jwt/token", nil)); got != http.StatusUnauthorized {
		t.Errorf("a token for nobody (aud is an empty list there): %d", got)
	}
	audience.Set("scope", "write")
	if got := n.call(t, "/echo", clientCredentials(t, p.base+"/jwt/token", audience)); got != http.StatusForbidden {
		t.Errorf("a token of another scope: %d", got)
	}
	if got := n.call(t, "/echo", clientCredentials(t, p.base+"/opaque/token", nil)); got != http.StatusUnauthorized {
		t.Errorf("an opaque token: %d", got)
	}
}

// Keys rotate: the new one is accepted after one fetch, and tokens of the one that
// is gone are refused, those that were remembered, too.
func TestFositeRotation(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	n := serve(t, jwtWorld(p.base+"/jwt", echo(t), ""))
	old := clientCredentials(t, p.base+"/jwt/token", nil)
	n.becomes(t, "/echo", old, http.StatusOK)
	post(t, p.base+"/rotate", nil)
	if got := n.call(t, "/echo", old); got != http.StatusOK {
		t.Errorf("a token of a key that the node still has: %d", got)
	}
	fresh := clientCredentials(t, p.base+"/jwt/token", nil)
	n.becomes(t, "/echo", fresh, http.StatusOK)
	if got := p.fetches(t); got != 2 {
		t.Errorf("%d fetches", got)
	}
	if got := n.call(t, "/echo", old); got != http.StatusUnauthorized {
		t.Errorf("a token of a key that is gone: %d", got)
	}
	post(t, p.base+"/rotate?keep=true", nil)
	n.becomes(t, "/echo", clientCredentials(t, p.base+"/jwt/token", nil), http.StatusOK)
	if got := n.call(t, "/echo", fresh); got != http.StatusOK {
		t.Errorf("a token of a key that is still published: %d", got)
	}
}

// Opaque tokens: introspection says yes until the token is revoked, and the answer
// is used no longer than cache_ttl.
func TestFositeIntrospection(t *testing.T) {
	t.Parallel()
	const cached = 2 * time.Second
	p := newProvider(t)
	n := serve(t, fmt.Sprintf(`
kind: Issuer
id: idp
issuer: %[1]s/opaque
discovery: true
validate_subscription: false
introspection: {client_id: client, client_secret: {value: secret}, cache_ttl: %[3]s}
---
kind: Api
id: echo
context_path: /echo
upstream: {targets: [{url: "%[2]s"}]}
---
kind: Plan
id: plan
api: echo
security: OAUTH2
status: PUBLISHED
oauth2: {issuers: [idp], scopes: {any: [read]}}
`, p.base, echo(t), cached))
	first, second := clientCredentials(t, p.base+"/opaque/token", nil), clientCredentials(t, p.base+"/opaque/token", nil)
	n.becomes(t, "/echo", first, http.StatusOK)
	n.becomes(t, "/echo", second, http.StatusOK)
	if got := n.call(t, "/echo", "nonsense"); got != http.StatusUnauthorized {
		t.Errorf("a token that nobody issued: %d", got)
	}
	if got := n.call(t, "/echo", clientCredentials(t, p.base+"/opaque/token", url.Values{"scope": {"write"}})); got != http.StatusForbidden {
		t.Errorf("a token of another scope: %d", got)
	}
	post(t, p.base+"/opaque/revoke", url.Values{"token": {first}})
	revoked := time.Now()
	n.becomes(t, "/echo", first, http.StatusUnauthorized)
	if took := time.Since(revoked); took > cached+time.Second {
		t.Errorf("refused %s after the revocation; the answer may be kept %s", took, cached)
	}
	if got := n.call(t, "/echo", second); got != http.StatusOK {
		t.Errorf("a token that is not revoked: %d", got)
	}
}
