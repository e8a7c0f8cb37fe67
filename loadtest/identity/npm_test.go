package identity_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const oidcProvider = "oidc-provider@9.13.3"

// newOIDCProvider starts the certified provider. Node.js and a registry are not
// taken for granted: where they are missing, the ory/fosite tests have to do.
func newOIDCProvider(t *testing.T) (issuer string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	node, err1 := exec.LookPath("node")
	npm, err2 := exec.LookPath("npm")
	if err1 != nil || err2 != nil {
		t.Skip("Node.js is not installed: " + oidcProvider + " is left out")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	install := exec.CommandContext(ctx, npm, "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", "--no-save", oidcProvider)
	install.WaitDelay = time.Second
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm cannot install %s: %v\n%s", oidcProvider, err, out)
	}
	script, err := os.ReadFile("testdata/provider.mjs")
	if err != nil {
		t.Fatal(err)
	}
	// Beside node_modules, where it finds what it imports.
	file := filepath.Join(dir, "provider.mjs")
	if err := os.WriteFile(file, script, 0o600); err != nil {
		t.Fatal(err)
	}
	return launch(t, "oidc-provider", node, file)
}

// The certified provider: JWT access tokens by discovery, opaque ones by introspection.
func TestOIDCProvider(t *testing.T) {
	t.Parallel()
	issuer := newOIDCProvider(t)
	n := serve(t, fmt.Sprintf(`
kind: Issuer
id: idp
issuer: %[1]s
discovery: true
profile: RFC9068
validate_subscription: false
introspection: {client_id: client, client_secret: {value: secret}, cache_ttl: 1s}
---
kind: Api
id: structured
context_path: /structured
upstream: {targets: [{url: "%[2]s"}]}
---
kind: Plan
id: structured
api: structured
security: JWT
status: PUBLISHED
jwt: {issuers: [idp], audiences: [https://api.test], scopes: {any: [read]}}
---
kind: Api
id: opaque
context_path: /opaque
upstream: {targets: [{url: "%[2]s"}]}
---
kind: Plan
id: opaque
api: opaque
security: OAUTH2
status: PUBLISHED
oauth2: {issuers: [idp], scopes: {any: [read]}}
`, issuer, echo(t)))
	token := func(resource, scope string) string {
		return clientCredentials(t, issuer+"/token", url.Values{"resource": {resource}, "scope": {scope}})
	}
	n.becomes(t, "/structured", token("https://api.test", "read"), http.StatusOK)
	opaque := token("https://opaque.test", "read")
	n.becomes(t, "/opaque", opaque, http.StatusOK)
	for name, c := range map[string]struct {
		path, token string
		want        int
	}{
		"JWT, another scope":          {"/structured", token("https://api.test", "write"), http.StatusForbidden},
		"opaque, where JWT is wanted": {"/structured", opaque, http.StatusUnauthorized},
		"opaque, another scope":       {"/opaque", token("https://opaque.test", "write"), http.StatusForbidden},
		"opaque, made up":             {"/opaque", opaque[1:] + "x", http.StatusUnauthorized},
	} {
		if got := n.call(t, c.path, c.token); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	post(t, issuer+"/token/revocation", url.Values{"token": {opaque}})
	revoked := time.Now()
	n.becomes(t, "/opaque", opaque, http.StatusUnauthorized)
	if took := time.Since(revoked); took > 2*time.Second {
		t.Errorf("refused %s after the revocation", took)
	}
}
