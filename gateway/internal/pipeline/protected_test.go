package pipeline_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-gateway/portcullis/shared/denial"
)

const described = `
kind: Api
id: orders
name: Orders
version: 1.0.0
context_path: /shop/orders
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
protected_resource: {resource: "https://api.example:8443/orders", documentation: "https://docs.example/orders"}
---
kind: Api
id: root
name: Root
version: 1.0.0
context_path: /
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
---
kind: Plan
id: root-free
api: root
security: KEYLESS
status: PUBLISHED
---
kind: Issuer
id: odd
issuer: not-a-url
keys: {hmac_secrets: [{value: ` + secret + `}]}
---
kind: Issuer
id: many
issuer: https://login.test/{tenantid}/v2.0
any_tenant: true
keys: {hmac_secrets: [{value: ` + secret + `}]}
---
`

func TestProtectedResource(t *testing.T) {
	w := newWorld(t, common, described,
		`{kind: Plan, id: one, api: orders, security: JWT, status: PUBLISHED, jwt: {issuers: [acme, odd, many], scopes: {all: [write], any: [read, admin]}}}`,
		`{kind: Plan, id: two, api: orders, security: JWT, status: DEPRECATED, order: 1, jwt: {issuers: [acme, partner], scopes: {all: [read]}, token_from: "request.headers['x-t']"}}`,
		`{kind: Plan, id: staged, api: orders, security: JWT, status: STAGING, jwt: {issuers: [open], scopes: {all: [later]}}}`,
		`{kind: Plan, id: key, api: orders, security: API_KEY, status: PUBLISHED}`)
	const path = "/.well-known/oauth-protected-resource/shop/orders"
	d, err := w.decide(get(path))
	if err != nil || d.Page == nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(d.Page.Body, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"resource": "https://api.example:8443/orders", "resource_name": "Orders", "resource_documentation": "https://docs.example/orders",
		"authorization_servers": []any{"https://acme.test", "https://partner.test"}, "scopes_supported": []any{"admin", "read", "write"},
		"bearer_methods_supported": []any{"header"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct {
		method, path string
		want         error
	}{
		{"HEAD", path, nil},
		{"POST", path, denial.MethodNotAllowed},
		{"GET", path + "/x", denial.APINotFound},
		{"GET", path + "/", denial.APINotFound},
	} {
		d, err := w.decide(ask(c.method, c.path))
		if !errors.Is(err, c.want) || (d.Page != nil) != (c.want == nil) {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
	}
	// Where there is no metadata, an Api that serves everything does so.
	if d, err := w.decide(get("/.well-known/oauth-protected-resource/other")); err != nil || d.Page != nil || d.Api.ID != "root" {
		t.Errorf("elsewhere: %v", err)
	}
	d, err = w.decide(get("/shop/orders/1"))
	if where := "https://api.example:8443" + path; !errors.Is(err, denial.MissingAnyCredentials) || d.Api.ResourceMetadata != where || d.Page != nil {
		t.Errorf("%v, metadata at %q", err, d.Api.ResourceMetadata)
	}
	if d, _ := w.decide(get("/x")); d.Api.ResourceMetadata != "" {
		t.Error("an Api without metadata names some")
	}
}

func TestProtectedResourceBound(t *testing.T) {
	for name, c := range map[string]struct {
		confirmation string
		want         map[string]any
	}{
		"off":      {"{}", map[string]any{}},
		"mtls":     {"{mtls: WHEN_BOUND}", map[string]any{"tls_client_certificate_bound_access_tokens": true}},
		"dpop":     {"{dpop: WHEN_BOUND}", map[string]any{"dpop_signing_alg_values_supported": true}},
		"required": {"{dpop: REQUIRED}", map[string]any{"dpop_signing_alg_values_supported": true, "dpop_bound_access_tokens_required": true}},
	} {
		w := newWorld(t, common, described,
			`{kind: Plan, id: one, api: orders, security: JWT, status: PUBLISHED, jwt: {issuers: [acme], confirmation: `+c.confirmation+`}}`)
		d, err := w.decide(get("/.well-known/oauth-protected-resource/shop/orders"))
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(d.Page.Body, &got); err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{"tls_client_certificate_bound_access_tokens", "dpop_signing_alg_values_supported", "dpop_bound_access_tokens_required"} {
			if _, ok := got[member]; ok != (c.want[member] != nil) {
				t.Errorf("%s: %s is %v", name, member, got[member])
			}
		}
	}
}
