package faults_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Of three nodes one lacks a variable that an issuer's secret is in. A write that
// waits for the fleet names it and says why, and so does the fleet's page; the Api
// is unavailable there, and nothing else is.
func TestNodeLacksAVariable(t *testing.T) {
	f := newFleet(t, 1, 1, 3)
	const variable = "ORDERS_SECRET"
	for _, g := range f.Gateways[:2] {
		g.Env = append(g.Env, variable+"=0123456789abcdef0123456789abcdef")
	}
	f.up(t, "app-1")
	a, err := f.apis[0].call("POST", "/v1/apply?wait=fleet&timeout=30s", "application/yaml", fmt.Sprintf(`
{kind: Issuer, id: shared, issuer: "https://shared.test", keys: {hmac_secrets: [{env: %s}]}}
---
{kind: Api, id: orders, context_path: /orders, upstream: {targets: [{url: %q}]}}
---
{kind: Plan, id: orders, api: orders, security: JWT, status: PUBLISHED, jwt: {issuers: [shared]}}
`, variable, f.upstream))
	must(t, a, err)
	got := a.header.Get("Portcullis-Fleet")
	for _, want := range []string{"not_in_force", "applied=2", "failed=gateway-3", "the environment variable " + variable + " is not set"} {
		if !strings.Contains(got, want) {
			t.Errorf("Portcullis-Fleet: %s; it does not say %q", got, want)
		}
	}
	sequence := a.header.Get("Portcullis-Sequence")

	row, err := f.apis[0].get("/v1/fleet")
	must(t, row, err)
	ready, err := get("http://" + f.Gateways[2].Admin + "/readyz")
	must(t, ready, err)
	for where, text := range map[string]string{"/v1/fleet": string(row.body), "/readyz": string(ready.body)} {
		for _, want := range []string{"orders", "the environment variable " + variable + " is not set", sequence} {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", where, want, text)
			}
		}
	}
	if n := metric(t, f.Gateways[2].Admin, "portcullis_not_in_force"); n != 2 {
		t.Errorf("portcullis_not_in_force is %v, want 2: the issuer and its Api", n)
	}

	for i, g := range f.Gateways {
		status, reason := http.StatusUnauthorized, "missing_credentials"
		if i == 2 {
			status, reason = http.StatusServiceUnavailable, "not_in_force"
		}
		orders := newCaller(g.Address, "")
		orders.url = "http://" + g.Address + "/orders"
		if err := orders.expect(status, reason)(); err != nil {
			t.Errorf("%s: %v", g.Name, err)
		}
		if err := newCaller(g.Address, f.issuer.token("app-1", nil)).expect(http.StatusOK, "")(); err != nil {
			t.Errorf("%s, another Api: %v", g.Name, err)
		}
	}

	// What takes it back is in force everywhere.
	inForce := func(a answer, err error) {
		t.Helper()
		must(t, a, err)
		if got := a.header.Get("Portcullis-Fleet"); !strings.HasPrefix(got, "in_force") {
			t.Errorf("Portcullis-Fleet: %s, want in_force", got)
		}
	}
	inForce(f.apis[0].call("DELETE", "/v1/apis/orders?cascade=true&wait=fleet&timeout=30s", "", ""))
	inForce(f.apis[0].call("DELETE", "/v1/issuers/shared?wait=fleet&timeout=30s", "", ""))
}
