//go:build !race

package pipeline_test

import (
	"crypto/x509"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
)

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
	introspected := withCertificate(get("/orders"), peer)
	introspected.Header = &adapter{authorization: []byte("Bearer 0paque")}
	decideWithoutAllocating(t, both, []allocation{{"introspected token", introspected, "oauth"}})

	w := newWorld(t, common, api, holder("{id: c1, sha256: "+fingerprint(peer)+"}"), plan("mtls", "MTLS", cert.pem()), subscribed("partner", "mtls"))
	withCert := withCertificate(get("/orders"), peer)
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
