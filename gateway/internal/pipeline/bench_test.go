package pipeline_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
	"github.com/portcullis-gateway/portcullis/shared/policy/route"
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

// sized is a token of 629 bytes, as RS256 makes them.
func sized(sign func(...string) string, claims ...string) string {
	for n := 0; ; n++ {
		compact := sign(append(claims, `"pad":"`+strings.Repeat("x", n)+`"`)...)
		if len(compact) >= 629 {
			return compact
		}
	}
}

// block is a header section as a front brings it: that of an API client, and more.
func block(t testing.TB, fields ...string) *request.Block {
	t.Helper()
	b := &request.Block{}
	if err := b.Parse([]byte("Host: api.test\r\nUser-Agent: client/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nX-Correlation: 4711\r\n" +
		"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n" + strings.Join(append(fields, "", ""), "\r\n"))); err != nil {
		t.Fatal(err)
	}
	return b
}

// from is a request with header fields as a front brings it.
func from(t testing.TB, target string, fields ...string) *request.Request {
	t.Helper()
	r := get(target)
	r.Header = block(t, fields...)
	return r
}

// decides measures decisions on requests, which come in turn.
func decides(b *testing.B, name string, w *world, want error, requests ...*request.Request) {
	b.Helper()
	d, i := &pipeline.Decision{}, 0
	once := func() {
		if err := w.pipeline.Decide(w.view, requests[i], d); !errors.Is(err, want) {
			b.Fatalf("got %v, want %v", err, want)
		}
		if i++; i == len(requests) {
			i = 0
		}
	}
	for range 3 * len(requests) { // until everything worth remembering is remembered
		once()
	}
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			once()
		}
	})
}

const granted = `"aud":"https://orders.test","scope":"orders.read","tenant":"acme","level":3,"org":{"name":"Acme"}`

// rotation are requests with tokens that differ in their jti.
func rotation(b *testing.B, n int) []*request.Request {
	b.Helper()
	all := make([]*request.Request, n)
	pad := fmt.Sprintf(`"pad":%q`, strings.Repeat("x", 180))
	for i := range all {
		all[i] = from(b, "/orders/v1/items/7", bearer(granted, pad, fmt.Sprintf(`"jti":"j%d"`, i)))
	}
	return all
}

// BenchmarkDecide is the whole decision on requests that go on, by kind of plan.
// The plan behind the tokens has audiences, scopes, claim rules, claims to headers
// and all three limits.
func BenchmarkDecide(b *testing.B) {
	w := restricted(b)
	jwt := from(b, "/orders/v1/items/7", bear(sized(token, granted)))
	decides(b, "token/repeated", w, nil, jwt)
	decides(b, "token/rotation of 10000", w, nil, rotation(b, 10_000)...)
	decides(b, "API key", w, nil, from(b, "/orders/v1/items/7", key))
	decides(b, "keyless", w, nil, from(b, "/orders/v1/items/7"))

	// More tokens than the cache holds: each one is new when it comes.
	w.pipeline = pipeline.New(authn.New(authn.Config{CacheEntries: 32}), restrict.NewStore(0))
	decides(b, "token/new HS256", w, nil, rotation(b, 1000)...)

	w = newWorld(b, common, orders)
	decides(b, "token/no rules", w, nil, from(b, "/orders/v1/items/7", bear(sized(token))))
	w = signing(b, "")
	decides(b, "token/signed JWT", w, nil, from(b, "/orders/v1/items/7", bear(sized(token))))
	w = newWorld(b, common, wso2, api, plan("a", "JWT", "jwt: {issuers: [wso2]}"))
	decides(b, "token/subscription claim", w, nil, from(b, "/orders/v1/items/7", listing(listed)))

	s, ca := newIDP(b), newAuthority(b)
	s.knows("0paque-7f9c2b6e11aa4fd3", answer())
	w = newWorld(b, common, api, opaqueApp, s.issuer("opaque"), plan("oauth", "OAUTH2", oauth), subscribed("web", "oauth"))
	decides(b, "token/introspected", w, nil, from(b, "/orders/v1/items/7", bear("0paque-7f9c2b6e11aa4fd3")))

	peer := ca.client(x509.ExtKeyUsageClientAuth)
	w = newWorld(b, common, api, confirmed("mtls: REQUIRED"), subscribed("mobile", "jwt"))
	bound := from(b, "/orders/v1/items/7", bear(sized(token, `"cnf":{"x5t#S256":"`+thumbprint(peer.Raw)+`"}`)))
	decides(b, "token/certificate-bound", w, nil, withCertificate(bound, peer))
	w = newWorld(b, common, api, holder("{id: c1, sha256: "+fingerprint(peer)+"}"), plan("mtls", "MTLS", ca.pem()), subscribed("partner", "mtls"))
	decides(b, "certificate", w, nil, withCertificate(from(b, "/orders/v1/items/7"), peer))
}

// BenchmarkDeny is the whole decision on requests that are refused, each as it is
// when it comes again: what was worth remembering is remembered.
func BenchmarkDeny(b *testing.B) {
	w := restricted(b)
	deny := func(want *denial.Denial, name, target string, fields ...string) {
		decides(b, want.Reason()+name, w, want, from(b, target, fields...))
	}
	good := bear(sized(token, granted))
	deny(denial.APINotFound, "", "/nowhere", good)
	deny(denial.ResourceForbidden, "", "/orders/v1/admin/x", good)
	deny(denial.InvalidAPIKey, "", "/orders/v1", "X-Api-Key: unknown")
	deny(denial.InvalidRequest, "/two tokens", "/orders/v1", good, good)
	deny(denial.InvalidRequest, "/no token characters", "/orders/v1", bear(strings.Repeat(",", 629)))
	deny(denial.InvalidToken, "/opaque", "/orders/v1", bear(strings.Repeat("t", 629)))
	deny(denial.InvalidToken, "/signature", "/orders/v1", good[:len(good)-4]+"AAAA")
	deny(denial.InvalidToken, "/issuer", "/orders/v1", bear(sized(func(c ...string) string { return tokenOf("https://x.test", "x", c...) })))
	deny(denial.InvalidToken, "/audience", "/orders/v1", bear(sized(token, `"aud":"https://x.test"`)))
	deny(denial.TokenExpired, "", "/orders/v1", bear(sized(token, granted, `"exp":1800000000`)))
	deny(denial.TokenRevoked, "", "/orders/v1", bear(sized(token, granted, `"jti":"other"`)))
	deny(denial.InsufficientScope, "", "/orders/v1", bear(sized(token, granted, `"scope":"none"`)))
	deny(denial.ClaimRuleFailed, "", "/orders/v1", bear(sized(token, granted, `"level":1`)))
	deny(denial.SubscriptionNotFound, "", "/orders/v1",
		bear(sized(func(c ...string) string { return tokenOf("https://acme.test", "desktop-app", c...) }, granted)))
	forbidden := from(b, "/orders/v1/items/7", good)
	forbidden.Method = []byte("DELETE")
	decides(b, denial.MethodNotAllowed.Reason(), w, denial.MethodNotAllowed, forbidden)

	w = newWorld(b, common, api, plan("a", "JWT", acme), paused("a"))
	deny(denial.MissingCredentials, "", "/orders/v1")
	deny(denial.SubscriptionInactive, "", "/orders/v1", bear(sized(token)))
	w = newWorld(b, common, orders, sandboxClient)
	deny(denial.SandboxNotServed, "", "/orders/v1", bear(tokenOf("https://acme.test", "try-out")))
	w = newWorld(b, common, api, confirmed("dpop: REQUIRED"), subscribed("mobile", "jwt"))
	deny(denial.UnboundToken, "/unbound", "/orders/v1", bear(sized(token)))
	ca := newAuthority(b)
	w = newWorld(b, common, api, plan("mtls", "MTLS", ca.pem()))
	decides(b, denial.InvalidCertificate.Reason(), w, denial.InvalidCertificate, withCertificate(from(b, "/orders/v1"), newAuthority(b).client()))

	for want, limit := range map[*denial.Denial]string{denial.RateLimited: "rate_limit", denial.QuotaExceeded: "quota"} {
		w = newWorld(b, common, orders, plan("orders-jwt", "JWT", acme, "restrictions: {"+limit+": {requests: 1, period: 24h}}"))
		r := from(b, "/orders/v1", bear(sized(token)))
		if _, err := w.decide(r); err != nil {
			b.Fatal(err)
		}
		decides(b, want.Reason(), w, want, r)
	}
}

// BenchmarkCompile makes an Api with three plans.
func BenchmarkCompile(b *testing.B) {
	w := restricted(b)
	d := all[*pb.Deployment](w, pb.Kind_KIND_DEPLOYMENT)[0]
	b.ReportAllocs()
	for b.Loop() {
		w.bound(d)
	}
}

// BenchmarkDecideInFleetOf is a decision by how much there is. The requests come
// from up to 1,000 applications in turn and go to up to 1,000 Apis.
func BenchmarkDecideInFleetOf(b *testing.B) {
	for _, size := range []struct{ apis, subscriptions int }{{1, 1000}, {10_000, 1000}, {1, 1_000_000}, {10_000, 1_000_000}} {
		b.Run(fmt.Sprintf("apis=%d/subscriptions=%d", size.apis, size.subscriptions), func(b *testing.B) {
			w, requests := fleetOf(b, size.apis, size.subscriptions)
			d, i := &pipeline.Decision{}, 0
			once := func() {
				if err := w.pipeline.Decide(w.view, requests[i], d); err != nil {
					b.Fatal(err)
				}
				if i++; i == len(requests) {
					i = 0
				}
			}
			for range 3 * len(requests) {
				once()
			}
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}

// fleetOf is a world with so many Apis of one plan each, and applications with ten
// subscriptions each.
func fleetOf(b *testing.B, apis, subscriptions int) (*world, []*request.Request) {
	b.Helper()
	w := newWorld(b, common)
	builder := catalog.NewBuilder(catalog.Position{Epoch: 1, EpochID: "bench", Sequence: 1}, nil)
	for raw := range w.state.Changes() {
		builder.Add(raw)
	}
	add := func(kind pb.Kind, id string, m proto.Message) {
		body, err := proto.Marshal(m)
		if err != nil {
			b.Fatal(err)
		}
		raw, err := proto.Marshal(&pb.Change{Kind: kind, Id: id, Version: 1, Resource: body, CreatedAt: 1})
		if err != nil {
			b.Fatal(err)
		}
		builder.Add(string(raw))
	}
	applications, plans := subscriptions/10, max(apis, 10)
	for i := range plans {
		add(pb.Kind_KIND_PLAN, fmt.Sprint("plan-", i), &pb.Plan{
			Api: fmt.Sprint("api-", i%apis), Security: pb.Plan_JWT, Status: pb.Plan_PUBLISHED, Jwt: &pb.JwtSettings{Issuers: []string{"acme"}},
		})
	}
	for i := range applications {
		app := fmt.Sprintf("app-%06d", i)
		add(pb.Kind_KIND_APPLICATION, app, &pb.Application{Name: app, Clients: []*pb.Client{{Issuer: "acme", ClientId: "client-" + app}}})
		for j := range 10 {
			add(pb.Kind_KIND_SUBSCRIPTION, fmt.Sprintf("sub-%06d-%d", i, j), &pb.Subscription{
				Application: app, Plan: fmt.Sprint("plan-", (i+j*plans/10)%plans), Status: pb.Subscription_ACCEPTED,
			})
		}
	}
	w.state = builder.State()
	var entries []route.Entry[pipeline.Api]
	for i := range apis {
		d := &pb.Deployment{Id: fmt.Sprint("api-", i), Revision: 1, Api: &pb.Api{
			ContextPath: fmt.Sprint("/team-", i, "/orders"), Upstream: &pb.Upstream{Targets: []*pb.Target{{Url: "http://127.0.0.1:9"}}},
		}}
		p, _ := catalog.Lookup[*pb.Plan](w.state, pb.Kind_KIND_PLAN, fmt.Sprint("plan-", i))
		in := w.input(d)
		in.Plans = []*pb.Plan{p}
		entries = append(entries, w.boundTo(in).Entries()...)
	}
	table, err := route.New(entries)
	if err != nil {
		b.Fatal(err)
	}
	w.view = pipeline.NewView(w.state, table, w.view.Keyring)
	var requests []*request.Request
	for i := 0; i < applications; i += max(1, applications/1000) {
		// Its first subscription is to plan i. With one Api of ten plans only plan-0
		// serves there, which every application has.
		compact := tokenOf("https://acme.test", fmt.Sprintf("client-app-%06d", i))
		requests = append(requests, from(b, fmt.Sprintf("/team-%d/orders/v1/items/7", i%apis), bear(compact)))
	}
	return w, requests
}
