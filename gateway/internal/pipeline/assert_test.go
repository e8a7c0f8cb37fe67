package pipeline_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	jwt "github.com/portcullis-gateway/portcullis/shared/token"
)

// signing has a plan that signs for 100 s and takes over a claim.
func signing(t testing.TB, settings string) *world {
	t.Helper()
	return newWorld(t, common, orders, `
kind: Plan
id: orders-jwt
name: Gold
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme, partner], signed_jwt: {`+settings+`}, claims_to_headers: [{claim: tenant, header: X-Tenant}]}
`)
}

// sent is what goes upstream in a header; it must be there once at most.
func sent(t testing.TB, d *pipeline.Decision, name string) string {
	t.Helper()
	value, count := "", 0
	for _, h := range d.Forward.Set {
		if h.Name == name {
			value = h.Value
			count++
		}
	}
	if count > 1 {
		t.Errorf("%s is set %d times", name, count)
	}
	return value
}

func (w *world) assertion(r *request.Request) string {
	w.t.Helper()
	d, err := w.decide(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return sent(w.t, d, "X-JWT-Assertion")
}

// opened verifies a JWT as an upstream would do it.
func (w *world) opened(compact string) map[string]any {
	w.t.Helper()
	set, _, err := keyset.ParseJWKS(w.signer.JWKS(), keyset.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := jwt.Parse([]byte(compact))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := u.Verify(set, now); err != nil {
		w.t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal([]byte(u.Claims.JSON()), &claims); err != nil {
		w.t.Fatal(err)
	}
	return claims
}

func at(seconds int64, r *request.Request) *request.Request {
	r.Now += seconds
	return r
}

func TestSignedJWT(t *testing.T) {
	w := signing(t, "lifetime: 100s, claims: [tenant]")
	ask := func() *request.Request { return get("/orders", bearer(`"tenant":"acme"`)) }
	first := w.assertion(ask())
	claims := w.opened(first)
	for name, want := range map[string]any{
		"iss": "portcullis", "aud": "orders", "sub": "alice", "client_id": "mobile-app", "tenant": "acme",
		"iat": float64(now), "exp": float64(now + 100), "urn:portcullis:issuer": "https://acme.test",
		"urn:portcullis:application": "mobile", "urn:portcullis:application_name": "Mobile",
		"urn:portcullis:plan": "orders-jwt", "urn:portcullis:plan_name": "Gold", "urn:portcullis:api": "orders", "urn:portcullis:environment": "PRODUCTION",
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	d, err := w.decide(ask())
	if err != nil || sent(t, d, "X-Tenant") != "acme" || sent(t, d, "X-JWT-Assertion") != first {
		t.Errorf("again: %v, %v", err, d.Forward.Set)
	}
	if got := w.assertion(at(79, ask())); got != first {
		t.Error("signed anew before its time")
	}
	second := w.assertion(at(80, ask()))
	if second == first || w.opened(second)["exp"] != float64(now+180) {
		t.Error("not signed anew in its last fifth")
	}
	// The token lives until now+600, and so does what is signed for it.
	last := w.assertion(at(599, ask()))
	if got := w.opened(last)["exp"]; got != float64(now+600) {
		t.Errorf("exp %v, later than the token's", got)
	}
	if other := w.assertion(get("/orders", bearer(`"tenant":"b"`))); w.opened(other)["tenant"] != "b" {
		t.Error("one token's JWT was sent for another")
	}
}

// What is remembered of a token follows the state: an application that took the
// client over is named at once.
func TestSignedJWTFollowsTheState(t *testing.T) {
	w := signing(t, "")
	before := w.assertion(get("/orders", bearer()))
	w.fold("{kind: Application, id: mobile, name: Mobile}", "{kind: Application, id: other, name: Other, clients: [{issuer: acme, client_id: mobile-app}]}",
		"{kind: Subscription, id: other-orders, application: other, plan: orders-jwt, status: ACCEPTED}")
	after := w.assertion(get("/orders", bearer()))
	if before == after || w.opened(after)["urn:portcullis:application"] != "other" {
		t.Errorf("still %v", w.opened(after))
	}
	w.put(`{kind: Api, id: orders, name: Orders, version: "1", context_path: /orders, upstream: {targets: [{url: "http://127.0.0.1:9"}], sandbox_targets: [{url: "http://127.0.0.1:8"}]}}`)
	production := w.assertion(get("/orders", bearer()))
	w.fold("{kind: Application, id: other, name: Other, clients: [{issuer: acme, client_id: mobile-app, environment: SANDBOX}]}")
	sandbox := w.assertion(get("/orders", bearer()))
	for compact, want := range map[string]string{production: "PRODUCTION", sandbox: "SANDBOX"} {
		if got := w.opened(compact)["urn:portcullis:environment"]; got != want {
			t.Errorf("environment %v, want %s", got, want)
		}
	}
	w.put("{kind: Plan, id: orders-jwt, api: orders, security: JWT, status: PUBLISHED, jwt: {issuers: [acme], signed_jwt: {audience: backend}}}")
	if anew := w.assertion(get("/orders", bearer())); w.opened(anew)["aud"] != "backend" {
		t.Error("the plan's settings of before")
	}
}

func TestSignedJWTHeader(t *testing.T) {
	w := signing(t, "header: X-Caller")
	d, err := w.decide(get("/orders", bearer()))
	if err != nil || sent(t, d, "X-Caller") == "" || sent(t, d, "X-JWT-Assertion") != "" {
		t.Errorf("%v %v", err, d.Forward.Set)
	}
	for _, spelling := range []string{"x-caller", "X_CALLER", "X-Caller"} {
		if !d.Forward.Strip.Has([]byte(spelling)) {
			t.Errorf("a client's %s is not removed", spelling)
		}
	}
}

// A backendJwt claim stands in place of ours, as in WSO2's products.
func TestBackendJWTIsStronger(t *testing.T) {
	w := newWorld(t, common, orders, `
kind: Plan
id: orders-jwt
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme], signed_jwt: {}, backend_jwt: {claim: backendJwt, header: x-jwt-assertion}}
`)
	d, err := w.decide(get("/orders", bearer(`"backendJwt":"given"`)))
	if err != nil || sent(t, d, "x-jwt-assertion") != "given" || sent(t, d, "X-JWT-Assertion") != "" {
		t.Errorf("%v %v", err, d.Forward.Set)
	}
	if got := w.assertion(get("/orders", bearer())); w.opened(got)["sub"] != "alice" {
		t.Errorf("got %q", got)
	}
}

// Requests with one token that come at the same moment share one signature.
func TestSignedOnce(t *testing.T) {
	w := signing(t, "lifetime: 100s")
	header := bearer()
	if _, err := w.decide(get("/orders", header)); err != nil {
		t.Fatal(err)
	}
	for _, later := range []int64{100, 180} { // the old one has ended; the old one is good for a while
		var mu sync.Mutex
		seen := map[string]int{}
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				got := w.assertion(at(later, get("/orders", header)))
				mu.Lock()
				seen[got]++
				mu.Unlock()
			})
		}
		group.Wait()
		if len(seen) > 2 || later == 100 && len(seen) != 1 {
			t.Errorf("%d different JWTs at once", len(seen))
		}
	}
}

func TestNoKeyNoPlan(t *testing.T) {
	w := signing(t, "")
	compiled, _ := compile.NewApi(w.input(all[*pb.Deployment](w, pb.Kind_KIND_DEPLOYMENT)[0]))
	_, err := pipeline.Node{Upstreams: w.pool.Prepare}.Bind(compiled, w.state)
	if err == nil || !strings.Contains(err.Error(), "plan/orders-jwt: signed_jwt") {
		t.Errorf("got %v", err)
	}
}
