//go:build !race

package pipeline_test

import (
	"crypto/x509"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
)

// adapter is a Header as an HTTP stack would offer it: its bytes are there already.
type adapter struct{ authorization, key []byte }

func (a *adapter) Get(name string) ([]byte, int) {
	switch {
	case name == "Authorization" && a.authorization != nil:
		return a.authorization, 1
	case name == "X-Api-Key" && a.key != nil:
		return a.key, 1
	}
	return nil, 0
}

// restricted has everything in it that a repeated token is decided by.
func restricted(t testing.TB) *world {
	t.Helper()
	return newWorld(t, common, orders, `
kind: Plan
id: orders-jwt
api: orders
security: JWT
status: PUBLISHED
jwt:
  issuers: [acme, partner]
  audiences: [https://orders.test]
  scopes: {any: [orders.read, orders.write]}
  claim_rules: [{claim: tenant, mandatory: true, equals: acme}, {claim: level, expression: "claims.level >= 2"}]
  claims_to_headers: [{claim: sub, header: X-User-Id}, {claim: org.name, header: X-Org}]
restrictions:
  rate_limit: {requests: 1000000000, period: 1s}
  quota: {requests: 1000000000, period: 24h}
  spike_arrest: {requests: 1000000000, period: 1s}
  resource_filter: {allow: [{path: "/v1/**", methods: [GET, POST]}], deny: [{path: "/v1/admin/**"}]}
---
kind: Plan
id: orders-key
api: orders
security: API_KEY
status: PUBLISHED
---
kind: Plan
id: free
api: orders
security: KEYLESS
status: PUBLISHED
---
kind: Subscription
id: mobile-key
application: mobile
plan: orders-key
status: ACCEPTED
---
kind: Revocation
id: other
issuer: acme
jti: other
`)
}

func repeated() *request.Request {
	r := get("/orders/v1/items/7")
	r.Header = &adapter{authorization: []byte("Bearer " + token(
		`"aud":"https://orders.test","scope":"orders.read","tenant":"acme","level":3,"org":{"name":"Acme"}`))}
	return r
}

func TestDecideAllocatesNothing(t *testing.T) {
	w := restricted(t)
	withKey := get("/orders/v1/items/7")
	withKey.Header = &adapter{key: []byte("hello")}
	tests := []allocation{
		{"repeated token", repeated(), "orders-jwt"},
		{"API key", withKey, "orders-key"},
		{"keyless", func() *request.Request { r := get("/orders/v1"); r.Header = &adapter{}; return r }(), "free"},
		{"filtered", func() *request.Request { r := repeated(); r.Path = []byte("/orders/v2"); return r }(), ""},
		{"no such Api", get("/nowhere"), ""},
	}
	decideWithoutAllocating(t, w, tests)
}

// Introspected tokens, certificates and tokens that are bound to one are as cheap.
func TestDecideAllocatesNothingForTheOthers(t *testing.T) {
	s, cert := newIDP(t), newAuthority(t)
	peer := cert.client(x509.ExtKeyUsageClientAuth)
	s.knows("0paque", answer(`"cnf":{"x5t#S256":"`+thumbprint(peer.Raw)+`"}`))
	both := newWorld(t, common, api, opaqueApp, s.issuer("opaque"), subscribed("web", "oauth"), plan("jwt", "JWT", acme),
		plan("oauth", "OAUTH2", "oauth2: {issuers: [opaque], confirmation: {mtls: REQUIRED}}"))
	introspected := withPeer(get("/orders"), peer)
	introspected.Header = &adapter{authorization: []byte("Bearer 0paque")}
	decideWithoutAllocating(t, both, []allocation{{"introspected token", introspected, "oauth"}})

	w := newWorld(t, common, api, holder("{id: c1, sha256: "+fingerprint(peer)+"}"), plan("mtls", "MTLS", cert.pem()), subscribed("partner", "mtls"))
	withCert := withPeer(get("/orders"), peer)
	withCert.Header = &adapter{}
	decideWithoutAllocating(t, w, []allocation{{"certificate", withCert, "mtls"}})
}

type allocation struct {
	name string
	r    *request.Request
	plan string // empty: denied
}

func decideWithoutAllocating(t *testing.T, w *world, tests []allocation) {
	t.Helper()
	for _, tt := range tests {
		d := &pipeline.Decision{}
		n := testing.AllocsPerRun(100, func() {
			err := w.pipeline.Decide(w.view, tt.r, d)
			if err != nil && tt.plan != "" || err == nil && d.Plan.ID != tt.plan {
				t.Errorf("%s: %v", tt.name, err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	w := restricted(b)
	hit, d := repeated(), &pipeline.Decision{}
	b.Run("hit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := w.pipeline.Decide(w.view, hit, d); err != nil {
				b.Fatal(err)
			}
		}
	})
	denied := repeated()
	denied.Path = []byte("/orders/v1/admin/x")
	b.Run("denied", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := w.pipeline.Decide(w.view, denied, d); err == nil {
				b.Fatal("allowed")
			}
		}
	})
}
