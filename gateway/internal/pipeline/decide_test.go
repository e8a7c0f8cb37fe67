package pipeline_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// outcome is what a request should come to: a plan, or a denial.
type outcome struct {
	plan, application string
	denial            *denial.Denial
}

func allow(plan, application string) outcome { return outcome{plan: plan, application: application} }
func deny(d *denial.Denial) outcome          { return outcome{denial: d} }

func (w *world) expect(name string, r *request.Request, want outcome) *pipeline.Decision {
	w.t.Helper()
	d, err := w.decide(r)
	if want.denial != nil {
		if !errors.Is(err, want.denial) {
			w.t.Errorf("%s: got %v, want %v", name, err, want.denial)
		}
		if d.Plan != nil && !slices.Contains([]string{"rate_limited", "quota_exceeded", "spike_arrested", "resource_forbidden", "method_not_allowed"}, want.denial.Reason()) {
			w.t.Errorf("%s: denied, but plan %s has decided", name, d.Plan.ID)
		}
		return d
	}
	switch {
	case err != nil:
		w.t.Errorf("%s: got %v, want plan %s", name, err, want.plan)
	case d.Plan.ID != want.plan || d.Application != want.application:
		w.t.Errorf("%s: got plan %s for application %q, want plan %s for %q", name, d.Plan.ID, d.Application, want.plan, want.application)
	}
	return d
}

func TestCredentialOfJWTPlan(t *testing.T) {
	w := newWorld(t, common, orders)
	good := token()
	tests := []struct {
		name    string
		headers []string
		want    outcome
	}{
		{"bearer", []string{"Authorization: Bearer " + good}, allow("orders-jwt", "mobile")},
		{"scheme in lower case", []string{"Authorization: bearer " + good}, allow("orders-jwt", "mobile")},
		{"scheme in mixed case", []string{"Authorization: bEARER " + good}, allow("orders-jwt", "mobile")},
		{"two blanks", []string{"Authorization: Bearer  " + good}, allow("orders-jwt", "mobile")},

		{"nothing", nil, deny(denial.MissingCredentials)},
		{"empty field", []string{"Authorization: "}, deny(denial.MissingCredentials)},
		{"Basic", []string{"Authorization: Basic YTpi"}, deny(denial.MissingCredentials)},
		{"a scheme that begins alike", []string{"Authorization: BearerX " + good}, deny(denial.MissingCredentials)},
		{"a token without scheme", []string{"Authorization: " + good}, deny(denial.MissingCredentials)},
		{"a key, which no plan takes", []string{"X-Api-Key: hello"}, deny(denial.MissingCredentials)},

		{"scheme alone", []string{"Authorization: Bearer"}, deny(denial.InvalidRequest)},
		{"scheme and blank", []string{"Authorization: Bearer "}, deny(denial.InvalidRequest)},
		{"scheme and comma", []string{"Authorization: Bearer,"}, deny(denial.InvalidRequest)},
		{"tab", []string{"Authorization: Bearer\t" + good}, deny(denial.InvalidRequest)},
		{"trailing blank", []string{"Authorization: Bearer " + good + " "}, deny(denial.InvalidRequest)},
		{"two tokens", []string{"Authorization: Bearer " + good + " " + good}, deny(denial.InvalidRequest)},
		{"two schemes", []string{"Authorization: Bearer " + good + ", Basic YTpi"}, deny(denial.InvalidRequest)},
		{"quotes", []string{`Authorization: Bearer "` + good + `"`}, deny(denial.InvalidRequest)},
		{"NUL", []string{"Authorization: Bearer " + good + "\x00"}, deny(denial.InvalidRequest)},
		{"only padding", []string{"Authorization: Bearer =="}, deny(denial.InvalidRequest)},
		{"padding inside", []string{"Authorization: Bearer a=b"}, deny(denial.InvalidRequest)},
		{"two fields", []string{"Authorization: Bearer " + good, "Authorization: Bearer " + good}, deny(denial.InvalidRequest)},
		{"two fields, one of another scheme", []string{"Authorization: Basic YTpi", "authorization: Bearer " + good}, deny(denial.InvalidRequest)},

		{"not a JWT", []string{"Authorization: Bearer junk"}, deny(denial.InvalidToken)},
		{"padded", []string{"Authorization: Bearer " + good + "="}, deny(denial.InvalidToken)},
	}
	for _, tt := range tests {
		w.expect(tt.name, get("/orders/1", tt.headers...), tt.want)
	}
}

func TestRoute(t *testing.T) {
	w := newWorld(t, common, orders, `
kind: Api
id: halted
name: Halted
version: 1.0.0
description: stopped
context_path: /orders/halted
error_format: PROBLEM
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
`)
	d := w.expect("known", get("/orders/1?a=b", bearer()), allow("orders-jwt", "mobile"))
	if string(d.Forward.Path[d.Forward.Rest:]) != "/1" || string(d.Forward.Query) != "a=b" || d.Api.ID != "orders" {
		t.Errorf("got %+v", d.Forward)
	}
	if d := w.expect("unknown", get("/other", bearer()), deny(denial.APINotFound)); d.Api != nil || d.Format() != pb.Api_PROBLEM {
		t.Errorf("got %+v", d)
	}
	// A stopped Api's path is not its neighbour's.
	w.expect("stopped", get("/orders/halted/1", bearer()), deny(denial.APINotFound))
}

func TestToken(t *testing.T) {
	w := newWorld(t, common, orders)
	tests := []struct {
		name, token string
		want        outcome
	}{
		{"good", token(), allow("orders-jwt", "mobile")},
		{"expired", token(`"exp": 1899999990`), deny(denial.TokenExpired)},
		{"unknown issuer", tokenOf("https://evil.test", "mobile-app"), deny(denial.InvalidToken)},
		{"issuer of other plans", tokenOf("https://partner.test", "mobile-app"), deny(denial.InvalidToken)},
		{"issuer that needs no subscription, of other plans", tokenOf("https://open.test", "mobile-app"), deny(denial.InvalidToken)},
		{"bad signature", token()[:len(token())-4] + "AAAA", deny(denial.InvalidToken)},
		{"not yet valid", token(`"nbf": 1900000100`), deny(denial.InvalidToken)},
		{"client of no application", tokenOf("https://acme.test", "stranger"), deny(denial.SubscriptionNotFound)},
		{"no client", tokenOf("https://acme.test", ""), deny(denial.SubscriptionNotFound)},
		{"client null", token(`"azp": null`), deny(denial.SubscriptionNotFound)},
		{"client null, and the next", token(`"azp": null`, `"client_id": "mobile-app"`), allow("orders-jwt", "mobile")},
		{"client a number", token(`"azp": 7`, `"client_id": "mobile-app"`), deny(denial.SubscriptionNotFound)},
		{"client an object", token(`"azp": {"id": "mobile-app"}`), deny(denial.SubscriptionNotFound)},
		{"client empty", token(`"azp": ""`), deny(denial.SubscriptionNotFound)},
		{"client a list of one", token(`"azp": ["mobile-app"]`), allow("orders-jwt", "mobile")},
		{"client without subscription", tokenOf("https://acme.test", "desktop-app"), deny(denial.SubscriptionNotFound)},
	}
	for range 2 { // the second time from memory
		for _, tt := range tests {
			w.expect(tt.name, get("/orders/1", "Authorization: Bearer "+tt.token), tt.want)
		}
	}
	// A cached token expires.
	late := get("/orders/1", bearer())
	late.Now = now + 10_000
	w.expect("expired in the cache", late, deny(denial.TokenExpired))
}

func TestKeysUnavailable(t *testing.T) {
	w := newWorld(t, orders, `
kind: Issuer
id: acme
issuer: https://acme.test
keys: {jwks_urls: ["http://127.0.0.1:9/jwks"]}
`)
	es256 := "eyJhbGciOiJFUzI1NiJ9." + strings.Split(token(), ".")[1] + "." + strings.Repeat("A", 86)
	w.expect("no keys", get("/orders/1", "Authorization: Bearer "+es256), deny(denial.KeysUnavailable))
}

func TestSubscription(t *testing.T) {
	subscription := func(rest string) string {
		return "kind: Subscription\nid: mobile-orders\napplication: mobile\nplan: orders-jwt\n" + rest
	}
	w := newWorld(t, common, orders)
	r := get("/orders/1", bearer())
	api := w.expect("first", r, allow("orders-jwt", "mobile")).Api
	tests := []struct {
		rest string
		want outcome
	}{
		{"status: PAUSED", deny(denial.SubscriptionInactive)},
		{"status: ACCEPTED", allow("orders-jwt", "mobile")},
		{"status: PENDING", deny(denial.SubscriptionInactive)},
		{"status: REJECTED", deny(denial.SubscriptionNotFound)},
		{"status: CLOSED", deny(denial.SubscriptionNotFound)},
		{"status: ACCEPTED\nstarts_at: " + date(now+1), deny(denial.SubscriptionInactive)},
		{"status: ACCEPTED\nstarts_at: " + date(now), allow("orders-jwt", "mobile")},
		{"status: ACCEPTED\nends_at: " + date(now), deny(denial.SubscriptionInactive)},
		{"status: ACCEPTED\nends_at: " + date(now+1), allow("orders-jwt", "mobile")},
	}
	for _, tt := range tests {
		w.fold(subscription(tt.rest)) // in force with the next request, nothing is compiled
		if d := w.expect(tt.rest, r, tt.want); d.Api != api {
			t.Fatal("compiled anew")
		}
	}
	w.remove(pb.Kind_KIND_SUBSCRIPTION, "mobile-orders")
	w.expect("removed", r, deny(denial.SubscriptionNotFound))
	w.fold(subscription("status: ACCEPTED"))
	w.expect("back", r, allow("orders-jwt", "mobile"))
	w.remove(pb.Kind_KIND_APPLICATION, "mobile")
	w.expect("application removed", r, deny(denial.SubscriptionNotFound))
}

func TestNoSubscriptionNeeded(t *testing.T) {
	w := newWorld(t, common, orders, `
kind: Plan
id: orders-open
api: orders
security: JWT
status: PUBLISHED
order: 2
jwt: {issuers: [open]}
---
kind: Plan
id: orders-free
api: orders
security: JWT
status: PUBLISHED
order: 3
require_subscription: false
jwt: {issuers: [partner]}
`)
	with := func(issuer, client string) *request.Request {
		return get("/orders/1", "Authorization: Bearer "+tokenOf(issuer, client))
	}
	w.expect("issuer says so, client known", with("https://open.test", "mobile-app"), allow("orders-open", "mobile"))
	w.expect("issuer says so, client unknown", with("https://open.test", "stranger"), allow("orders-open", ""))
	w.expect("plan says so", with("https://partner.test", "stranger"), allow("orders-free", ""))
	for _, azp := range []string{`null`, `7`, `{}`, `""`, `[]`, `["a","b"]`} {
		for issuer, plan := range map[string]string{"https://open.test": "orders-open", "https://partner.test": "orders-free"} {
			w.expect("azp "+azp, get("/orders/1", "Authorization: Bearer "+tokenOf(issuer, "", `"azp": `+azp)), allow(plan, ""))
		}
	}
	w.expect("neither", with("https://acme.test", "stranger"), deny(denial.SubscriptionNotFound))
}

func TestRevocation(t *testing.T) {
	revocation := func(rest string) string { return "kind: Revocation\nid: r1\n" + rest }
	good := token()
	tests := []struct {
		rest string
		want bool // revoked
	}{
		{"issuer: acme\njti: j1", true},
		{"issuer: acme\njti: j2", false},
		{"issuer: partner\njti: j1", false},
		{"token_sha256: " + sha(good), true},
		{"token_sha256: " + sha(good+"="), false},
		{"issuer: acme\nclient_id: mobile-app\nissued_before: " + date(now), true},
		{"issuer: acme\nclient_id: mobile-app\nissued_before: " + date(now-60), false},
		{"issuer: acme\nclient_id: desktop-app\nissued_before: " + date(now), false},
		{"issuer: acme\nsubject: alice\nissued_before: " + date(now), true},
		{"issuer: acme\nsubject: bob\nissued_before: " + date(now), false},
		{"issuer: acme\njti: j1\nexpires_at: " + date(now-600), false}, // after the greatest clock_skew
		{"issuer: acme\njti: j1\nexpires_at: " + date(now+1), true},
	}
	for _, tt := range tests {
		w := newWorld(t, common, orders)
		r := get("/orders/1", "Authorization: Bearer "+good)
		w.expect("before", r, allow("orders-jwt", "mobile"))
		want := allow("orders-jwt", "mobile")
		if tt.want {
			want = deny(denial.TokenRevoked)
		}
		w.fold(revocation(tt.rest))
		for range 2 {
			w.expect(tt.rest, r, want)
		}
		w.remove(pb.Kind_KIND_REVOCATION, "r1")
		w.expect("after "+tt.rest, r, allow("orders-jwt", "mobile"))
	}
}

func TestRulesOfDecidingPlan(t *testing.T) {
	w := newWorld(t, common, orders, `
kind: Plan
id: orders-jwt
api: orders
security: JWT
status: PUBLISHED
jwt:
  issuers: [acme]
  audiences: [https://orders.test]
  scopes: {any: [orders.read]}
  claim_rules: [{claim: tenant, mandatory: true, equals: acme}]
`)
	for range 2 {
		w.expect("all met", get("/orders/1", bearer(`"aud":"https://orders.test","scope":"orders.read","tenant":"acme"`)), allow("orders-jwt", "mobile"))
		w.expect("audience", get("/orders/1", bearer(`"scope":"orders.read","tenant":"acme"`)), deny(denial.InvalidToken))
		w.expect("scope", get("/orders/1", bearer(`"aud":"https://orders.test","tenant":"acme"`)), deny(denial.InsufficientScope))
		w.expect("claim", get("/orders/1", bearer(`"aud":"https://orders.test","scope":"orders.read","tenant":"x"`)), deny(denial.ClaimRuleFailed))
	}
	// What was remembered of the plan as it was does not stand for the plan as it is.
	r := get("/orders/1", bearer(`"aud":"https://orders.test","scope":"orders.read","tenant":"acme"`))
	w.put(`
kind: Plan
id: orders-jwt
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme], scopes: {all: [orders.admin]}}
`)
	w.expect("stricter plan", r, deny(denial.InsufficientScope))
}

func TestPlanStatus(t *testing.T) {
	tests := []struct {
		status string
		want   outcome
	}{
		{"STAGING", deny(denial.MissingCredentials)},
		{"PUBLISHED", allow("orders-jwt", "mobile")},
		{"DEPRECATED", allow("orders-jwt", "mobile")},
		{"CLOSED", deny(denial.MissingCredentials)},
	}
	for _, tt := range tests {
		w := newWorld(t, common, orders, "kind: Plan\nid: orders-jwt\napi: orders\nsecurity: JWT\nstatus: "+tt.status+"\njwt: {issuers: [acme]}")
		w.expect(tt.status, get("/orders/1", bearer()), tt.want)
		w.put("kind: Plan\nid: free\napi: orders\nsecurity: KEYLESS\nstatus: " + tt.status)
		if tt.want.denial != nil {
			w.expect("keyless "+tt.status, get("/orders/1"), tt.want)
		} else {
			w.expect("keyless "+tt.status, get("/orders/1"), allow("free", ""))
		}
	}
}

func TestRestrictions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, common, orders, `
kind: Plan
id: free
api: orders
security: KEYLESS
status: PUBLISHED
restrictions:
  rate_limit: {requests: 2, period: 10s}
  resource_filter:
    allow: [{path: "/v1/**", methods: [GET, POST]}]
    deny: [{path: "/v1/admin/**"}]
`)
		w.expect("path", get("/orders/v2"), deny(denial.ResourceForbidden))
		w.expect("denied path", get("/orders/v1/admin/x"), deny(denial.ResourceForbidden))
		if d := w.expect("method", ask("DELETE", "/orders/v1/1"), deny(denial.MethodNotAllowed)); !slices.Equal(d.Allow, []string{"GET", "POST"}) {
			t.Errorf("Allow: %v", d.Allow)
		}
		// None of these has counted.
		w.expect("first", get("/orders/v1/1"), allow("free", ""))
		w.expect("second", get("/orders/v1/1"), allow("free", ""))
		d := w.expect("third", get("/orders/v1/1"), deny(denial.RateLimited))
		if got := d.Refusal.RetryAfter(); got < 10 || got > 11 {
			t.Errorf("Retry-After: %d", got)
		}
		other := get("/orders/v1/1")
		other.Address = other.Address.Next()
		w.expect("another address", other, allow("free", ""))
		time.Sleep(11 * time.Second)
		w.expect("later", get("/orders/v1/1"), allow("free", ""))
	})
}

func TestLimitsBySubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, common, orders, `
kind: Plan
id: orders-jwt
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme]}
restrictions: {quota: {requests: 1, period: 1h}, spike_arrest: {requests: 10, period: 1s}}
---
kind: Subscription
id: desktop-orders
application: desktop
plan: orders-jwt
status: ACCEPTED
`)
		w.expect("first", get("/orders/1", bearer()), allow("orders-jwt", "mobile"))
		w.expect("other token, same application", get("/orders/1", bearer(`"sub":"bob"`)), deny(denial.SpikeArrested))
		w.expect("other application", get("/orders/1", "Authorization: Bearer "+tokenOf("https://acme.test", "desktop-app")), allow("orders-jwt", "desktop"))
		time.Sleep(time.Second)
		w.put(strings.Split(orders, "---")[0]) // compiled anew, counted on
		w.expect("quota", get("/orders/1", bearer()), deny(denial.QuotaExceeded))
		time.Sleep(time.Hour)
		w.expect("next window", get("/orders/1", bearer()), allow("orders-jwt", "mobile"))
	})
}

func TestLimitByClaim(t *testing.T) {
	w := newWorld(t, common, orders, `
kind: Plan
id: orders-jwt
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme]}
restrictions: {quota: {requests: 1, period: 1h, key: "claims.sub + plan + application + request.method"}}
`)
	w.expect("alice", get("/orders/1", bearer()), allow("orders-jwt", "mobile"))
	w.expect("bob", get("/orders/1", bearer(`"sub":"bob"`)), allow("orders-jwt", "mobile"))
	w.expect("alice again", get("/orders/1", bearer()), deny(denial.QuotaExceeded))
}

func TestForward(t *testing.T) {
	plan := func(jwt string) string {
		return "kind: Plan\nid: orders-jwt\napi: orders\nsecurity: JWT\nstatus: PUBLISHED\njwt: {issuers: [acme], " + jwt + "}"
	}
	const headers = `claims_to_headers: [{claim: sub, header: X-User}, {claim: org.name, header: X-Org}, {claim: groups, header: X-Groups}, {claim: n, header: X-N}, {claim: absent, header: X-Absent}, {claim: nothing, header: X-Null}, {claim: org, header: X-Whole}], backend_jwt: {claim: backendJwt, header: X-JWT-Assertion}`
	w := newWorld(t, common, orders, plan(headers))
	r := get("/orders/1", bearer(`"sub":"al\r\nX-Evil: 1 é","org":{"name":"Acme Inc"},"groups":["a","b,admin"," c"],"n":9007199254740993,"nothing":null,"backendJwt":"e30.e30.c2ln"`))
	want := []exchange.HeaderValue{
		{Name: "X-User", Value: "al%0D%0AX-Evil: 1 %C3%A9"},
		{Name: "X-Org", Value: "Acme Inc"},
		{Name: "X-Groups", Value: "a,b%2Cadmin,%20c"},
		{Name: "X-N", Value: "9007199254740993"},
		{Name: "X-Whole", Value: `{"name":"Acme Inc"}`},
		{Name: "X-JWT-Assertion", Value: "e30.e30.c2ln"},
	}
	d := w.expect("headers", r, allow("orders-jwt", "mobile"))
	if !slices.Equal(d.Forward.Set, want) {
		t.Errorf("got %v\nwant %v", d.Forward.Set, want)
	}
	for _, name := range []string{"x-user", "X_USER", "X-Org", "x-absent", "x-null", "X-Jwt-Assertion"} {
		if !d.Forward.Strip.Has([]byte(name)) {
			t.Errorf("%s of a client is not stripped", name)
		}
	}
	if d.Forward.Credential != (compile.Location{Header: "Authorization"}) {
		t.Errorf("credential: %+v", d.Forward.Credential)
	}

	w.put(plan("forward_token: true"))
	d = w.expect("forward_token", r, allow("orders-jwt", "mobile"))
	if d.Forward.Credential != (compile.Location{}) || len(d.Forward.Set) != 0 {
		t.Errorf("got %+v", d.Forward)
	}

	// A keyless plan strips what the other plans set, too.
	w.put(plan(headers), "kind: Plan\nid: free\napi: orders\nsecurity: KEYLESS\nstatus: PUBLISHED")
	if d := w.expect("keyless", get("/orders/1", "X-User: root"), allow("free", "")); !d.Forward.Strip.Has([]byte("X-User")) {
		t.Error("X-User of a client is not stripped by the keyless plan")
	}
}

func TestDecisionIsReused(t *testing.T) {
	w := newWorld(t, common, orders)
	d := &pipeline.Decision{}
	if err := w.pipeline.Decide(w.view, get("/orders/1", bearer()), d); err != nil {
		t.Fatal(err)
	}
	if err := w.pipeline.Decide(w.view, get("/nowhere"), d); err == nil || d.Api != nil || d.Plan != nil || d.Token != nil || d.Application != "" || d.Forward.Credential != (compile.Location{}) {
		t.Errorf("got %v, %+v", err, d)
	}
}
