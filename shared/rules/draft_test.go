package rules_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

const world = `
kind: Issuer
id: acme
issuer: https://idp.acme.test
max_lifetime: 1h
keys: {jwks_urls: ["http://127.0.0.1:1/jwks.json"]}
---
kind: Api
id: orders
context_path: /orders
upstream: {targets: [{url: "http://127.0.0.1:2"}]}
---
kind: Plan
id: gold
api: orders
security: JWT
status: PUBLISHED
auto_accept: true
jwt: {issuers: [acme]}
---
kind: Plan
id: silver
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme]}
---
kind: Plan
id: open
api: orders
security: KEYLESS
---
kind: Application
id: mobile
clients: [{issuer: acme, client_id: mobile-app}]
api_keys: [{id: k1, sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}]
---
kind: Application
id: web
---
kind: Subscription
id: mobile-gold
application: mobile
plan: gold
`

func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func resources(t testing.TB, yaml string) []catalog.Resource {
	t.Helper()
	docs, err := resource.DecodeYAML("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	all := make([]catalog.Resource, len(docs))
	for i, d := range docs {
		all[i] = d.Resource
	}
	return all
}

// applied is the state after an apply that must succeed.
func applied(t testing.TB, s *catalog.State, yaml string) *catalog.State {
	t.Helper()
	return done(t, s, func(d *rules.Draft) {
		for _, r := range resources(t, yaml) {
			d.Apply(r)
		}
		d.DeployTouched()
	})
}

func done(t testing.TB, s *catalog.State, what func(*rules.Draft)) *catalog.State {
	t.Helper()
	d := rules.NewDraft(s, now())
	what(d)
	p, err := d.Finish()
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.WithChanges(p.Changes)
	if err != nil {
		t.Fatal(err)
	}
	if len(next.Rejects()) > 0 {
		t.Fatalf("a proposal cannot be folded: %v", next.Rejects())
	}
	return next
}

// where is "plan/gold jwt.issuers[0]".
func where(f fault.Fault) string {
	return catalog.Ref{Kind: catalog.KindByName(f.Kind), ID: f.ID}.String() + " " + f.Field
}

func ref(text string) catalog.Ref {
	kind, id, _ := strings.Cut(text, "/")
	return catalog.Ref{Kind: catalog.KindByCollection(kind + "s"), ID: id}
}

func step(text, verb string) func(*testing.T, *rules.Draft) {
	return func(_ *testing.T, d *rules.Draft) { d.Step(ref(text), verb, 0) }
}

func apply(yaml string) func(*testing.T, *rules.Draft) {
	return func(t *testing.T, d *rules.Draft) {
		t.Helper()
		for _, r := range resources(t, yaml) {
			d.Apply(r)
		}
		d.DeployTouched()
	}
}

func create(yaml string) func(*testing.T, *rules.Draft) {
	return func(t *testing.T, d *rules.Draft) {
		t.Helper()
		d.Create(resources(t, yaml)[0])
	}
}

func replace(yaml string) func(*testing.T, *rules.Draft) {
	return func(t *testing.T, d *rules.Draft) {
		t.Helper()
		d.Replace(resources(t, yaml)[0])
	}
}

func removal(text string, cascade bool) func(*testing.T, *rules.Draft) {
	return func(_ *testing.T, d *rules.Draft) { d.Remove(ref(text), cascade) }
}

const (
	issuer2 = "kind: Issuer\nid: two\nissuer: https://two.test\nkeys: {jwks_urls: ['http://h/j']}\n"
	api2    = "kind: Api\nid: two\ncontext_path: /two\nupstream: {targets: [{url: 'http://h'}]}\n"
	plan2   = "kind: Plan\nid: two\napi: orders\nsecurity: JWT\njwt: {issuers: [acme]}\n"
	app2    = "kind: Application\nid: two\n"
	sub2    = "kind: Subscription\nid: two\napplication: web\nplan: gold\n"
	rev2    = "kind: Revocation\nid: two\nissuer: acme\n"
)

// Each proposal is refused for exactly the reason stated.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(*testing.T, *rules.Draft)
		where string // ref and field
		code  fault.Code
	}{
		{"id with capitals", apply(strings.Replace(app2, "two", "Two", 1)), "application/Two id", fault.Invalid},
		{"id too long", apply(strings.Replace(app2, "two", strings.Repeat("x", 129), 1)), "application/" + strings.Repeat("x", 129) + " id", fault.Invalid},
		{"the same twice", apply(app2 + "---\n" + app2), "application/two id", fault.Conflict},
		{"create what exists", create("kind: Application\nid: web"), "application/web id", fault.Exists},

		{"alg none", apply(issuer2 + "algorithms: [none]"), "issuer/two algorithms[0]", fault.Invalid},
		{"unknown alg", apply(issuer2 + "algorithms: [RS257]"), "issuer/two algorithms[0]", fault.Invalid},
		{"issuer without keys", apply("kind: Issuer\nid: two\nissuer: https://two.test"), "issuer/two keys", fault.Invalid},
		{"issuer without iss", apply("kind: Issuer\nid: two\nkeys: {jwks_urls: ['http://h/j']}"), "issuer/two issuer", fault.Invalid},
		{"iss taken", apply(strings.Replace(issuer2, "https://two.test", "https://idp.acme.test", 1)), "issuer/two issuer", fault.Conflict},
		{"jwks url without scheme", apply(strings.Replace(issuer2, "http://h/j", "h/j", 1)), "issuer/two keys.jwks_urls[0]", fault.Invalid},
		{"jwks url with password", apply(strings.Replace(issuer2, "http://h/j", "http://u:p@h/j", 1)), "issuer/two keys.jwks_urls[0]", fault.Invalid},
		{"ttl too short", apply(issuer2 + "jwks: {ttl: 1s}"), "issuer/two jwks.ttl", fault.Invalid},
		{"skew too long", apply(issuer2 + "clock_skew: 1h"), "issuer/two clock_skew", fault.Invalid},
		{"ca is no pem", apply(issuer2 + "jwks: {ca_pem: nonsense}"), "issuer/two jwks.ca_pem", fault.Invalid},
		{"short hmac secret", apply("kind: Issuer\nid: two\nissuer: i\nkeys: {hmac_secrets: [{value: short}]}"), "issuer/two keys.hmac_secrets[0]", fault.Invalid},
		{"mask instead of a secret", apply("kind: Issuer\nid: two\nissuer: i\nkeys: {hmac_secrets: [{value: '********'}]}"), "issuer/two keys.hmac_secrets[0].value", fault.Invalid},
		{"claim mapped twice", apply(issuer2 + "claim_mappings: [{remote: a, local: x}, {remote: b, local: x}]"), "issuer/two claim_mappings[1].local", fault.Invalid},

		{"no context path", apply(strings.Replace(api2, "context_path: /two", "", 1)), "api/two context_path", fault.Invalid},
		{"relative context path", apply(strings.Replace(api2, "/two", "two", 1)), "api/two context_path", fault.Invalid},
		{"trailing slash", apply(strings.Replace(api2, "/two", "/two/", 1)), "api/two context_path", fault.Invalid},
		{"dot segment", apply(strings.Replace(api2, "/two", "/a/../two", 1)), "api/two context_path", fault.Invalid},
		{"encoded path", apply(strings.Replace(api2, "/two", "/t%2fwo", 1)), "api/two context_path", fault.Invalid},
		{"reserved path", apply(strings.Replace(api2, "/two", "/.well-known/oauth-protected-resource/orders", 1)), "api/two context_path", fault.Invalid},
		{"the gateway's path", apply(strings.Replace(api2, "/two", "/.well-known/portcullis", 1)), "api/two context_path", fault.Invalid},
		{"path taken", apply(strings.Replace(api2, "/two", "/orders", 1)), "api/two context_path", fault.Conflict},
		{"path taken in the file", apply(api2 + "---\n" + strings.Replace(api2, "id: two", "id: three", 1)), "api/three context_path", fault.Conflict},
		{"host with port", apply(api2 + "hosts: ['a.test:80']"), "api/two hosts[0]", fault.Invalid},
		{"no target", apply("kind: Api\nid: two\ncontext_path: /two"), "api/two upstream.targets", fault.Invalid},
		{"target without scheme", apply(strings.Replace(api2, "http://h", "h:80", 1)), "api/two upstream.targets[0].url", fault.Invalid},
		{"target with query", apply(strings.Replace(api2, "http://h", "http://h/?a=b", 1)), "api/two upstream.targets[0].url", fault.Invalid},
		{"weights zero", apply(strings.Replace(api2, "'http://h'", "'http://h', weight: 0", 1)), "api/two upstream.targets", fault.Invalid},
		{"timeout zero", apply(strings.Replace(api2, "targets:", "response_timeout: 0s, targets:", 1)), "api/two upstream.response_timeout", fault.Invalid},

		{"plan without api", apply(strings.Replace(plan2, "orders", "order", 1)), "plan/two api", fault.Dangling},
		{"plan without issuer", apply(strings.Replace(plan2, "[acme]", "[]", 1)), "plan/two jwt.issuers", fault.Invalid},
		{"plan of unknown issuer", apply(strings.Replace(plan2, "[acme]", "[acne]", 1)), "plan/two jwt.issuers[0]", fault.Dangling},
		{"plan without security", apply("kind: Plan\nid: two\napi: orders"), "plan/two security", fault.Invalid},
		{"keyless with jwt", apply(strings.Replace(plan2, "security: JWT", "security: KEYLESS", 1)), "plan/two jwt", fault.Invalid},
		{"bad selection rule", apply(plan2 + "selection_rule: 'request.headers['"), "plan/two selection_rule", fault.Invalid},
		{"selection rule is no bool", apply(plan2 + "selection_rule: request.method"), "plan/two selection_rule", fault.Invalid},
		{"bad claim expression", apply(strings.Replace(plan2, "[acme]", "[acme], claim_rules: [{claim: a, expression: 'claims.a >'}]", 1)), "plan/two jwt.claim_rules[0].expression", fault.Invalid},
		{"claim rule asks nothing", apply(strings.Replace(plan2, "[acme]", "[acme], claim_rules: [{claim: a}]", 1)), "plan/two jwt.claim_rules[0]", fault.Invalid},
		{"signed claim of ours", apply(strings.Replace(plan2, "[acme]", "[acme], signed_jwt: {claims: [a, exp]}", 1)), "plan/two jwt.signed_jwt.claims[1]", fault.Invalid},
		{"signed claim in our namespace", apply(strings.Replace(plan2, "[acme]", "[acme], signed_jwt: {claims: ['urn:portcullis:plan']}", 1)), "plan/two jwt.signed_jwt.claims[0]", fault.Invalid},
		{"signed header is a claim's", apply(strings.Replace(plan2, "[acme]", "[acme], signed_jwt: {}, claims_to_headers: [{claim: a, header: x-jwt-assertion}]", 1)), "plan/two jwt.signed_jwt.header", fault.Invalid},
		{"bad header", apply(strings.Replace(plan2, "[acme]", "[acme], claims_to_headers: [{claim: a, header: 'X Y'}]", 1)), "plan/two jwt.claims_to_headers[0].header", fault.Invalid},
		{"hop-by-hop header", apply(strings.Replace(plan2, "[acme]", "[acme], claims_to_headers: [{claim: a, header: Connection}]", 1)), "plan/two jwt.claims_to_headers[0].header", fault.Invalid},
		{"limit without period", apply(plan2 + "restrictions: {rate_limit: {requests: 1}}"), "plan/two restrictions.rate_limit.period", fault.Invalid},
		{"limit of nothing", apply(plan2 + "restrictions: {quota: {requests: 0, period: 1s}}"), "plan/two restrictions.quota.requests", fault.Invalid},
		{"bad limit key", apply(plan2 + "restrictions: {rate_limit: {requests: 1, period: 1s, key: '1 +'}}"), "plan/two restrictions.rate_limit.key", fault.Invalid},
		{"half a wildcard", apply(plan2 + "restrictions: {resource_filter: {allow: [{path: /a*}]}}"), "plan/two restrictions.resource_filter.allow[0].path", fault.Invalid},
		{"method in small letters", apply(plan2 + "restrictions: {resource_filter: {deny: [{path: /a, methods: [get]}]}}"), "plan/two restrictions.resource_filter.deny[0].methods[0]", fault.Invalid},
		{"plan back to staging", apply(strings.Replace(plan2, "id: two", "id: gold", 1) + "status: STAGING"), "plan/gold status", fault.Lifecycle},
		{"plan moved by PUT", replace(strings.Replace(plan2, "id: two", "id: gold", 1) + "status: DEPRECATED"), "plan/gold status", fault.Lifecycle},
		{"plan changes its kind", apply("kind: Plan\nid: gold\napi: orders\nsecurity: API_KEY"), "plan/gold security", fault.Conflict},

		{"client_id taken", apply(app2 + "clients: [{issuer: acme, client_id: mobile-app}]"), "application/two clients[0].client_id", fault.Conflict},
		{"client_id twice in the file", apply(app2 + "clients: [{issuer: acme, client_id: n}]\n---\n" + strings.Replace(app2, "two", "three", 1) + "clients: [{issuer: acme, client_id: n}]"), "application/three clients[0].client_id", fault.Conflict},
		{"client of unknown issuer", apply(app2 + "clients: [{issuer: nobody, client_id: n}]"), "application/two clients[0].issuer", fault.Dangling},
		{"api key taken", apply(app2 + "api_keys: [{id: k, sha256: 2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824}]"), "application/two api_keys[0].sha256", fault.Conflict},
		{"api key is no hash", apply(app2 + "api_keys: [{id: k, sha256: secret}]"), "application/two api_keys[0].sha256", fault.Invalid},

		{"subscription of nobody", apply(strings.Replace(sub2, "web", "wep", 1)), "subscription/two application", fault.Dangling},
		{"subscription to nothing", apply(strings.Replace(sub2, "gold", "goldd", 1)), "subscription/two plan", fault.Dangling},
		{"subscription to keyless", apply(strings.Replace(sub2, "gold", "open", 1)), "subscription/two plan", fault.Invalid},
		{"second subscription", apply(strings.Replace(sub2, "web", "mobile", 1)), "subscription/two ", fault.Conflict},
		{"second in the file", apply(sub2 + "---\n" + strings.Replace(sub2, "id: two", "id: three", 1)), "subscription/three ", fault.Conflict},
		{"ends before it starts", apply(sub2 + "starts_at: 2026-02-01T00:00:00Z\nends_at: 2026-01-01T00:00:00Z"), "subscription/two ends_at", fault.Invalid},
		{"subscription moves to another plan", apply("kind: Subscription\nid: mobile-gold\napplication: mobile\nplan: silver"), "subscription/mobile-gold plan", fault.Conflict},
		{"create on a plan in staging", create(strings.Replace(sub2, "gold", "staging", 1)), "subscription/two plan", fault.Lifecycle},
		{"pause what is pending", step("subscription/web-silver", "pause"), "subscription/web-silver ", fault.Lifecycle},
		{"resume what is accepted", step("subscription/mobile-gold", "resume"), "subscription/mobile-gold ", fault.Lifecycle},
		{"unknown step", step("subscription/mobile-gold", "fly"), "subscription/mobile-gold ", fault.NotFound},
		{"step of nothing", step("subscription/none", "pause"), "subscription/none ", fault.NotFound},

		{"revocation of nothing", apply(rev2), "revocation/two ", fault.Invalid},
		{"revocation of unknown issuer", apply(strings.Replace(rev2, "acme", "acne", 1) + "jti: x"), "revocation/two issuer", fault.Dangling},
		{"revoked hash is no hash", apply("kind: Revocation\nid: two\ntoken_sha256: x"), "revocation/two token_sha256", fault.Invalid},
		{"introspection in use", apply("kind: Issuer\nid: asked\nissuer: https://as.test\nkeys: {jwks_urls: ['http://h/j']}"), "issuer/asked introspection", fault.InUse},
		{"revocation names another token", apply("kind: Revocation\nid: held\nissuer: acme\njti: other"), "revocation/held ", fault.Conflict},
		{"revocation ends earlier", apply("kind: Revocation\nid: held\nissuer: acme\njti: x\nexpires_at: 2026-12-01T00:00:00Z"), "revocation/held expires_at", fault.Conflict},
		{"revocation that has ended", create("kind: Revocation\nid: two\nissuer: acme\njti: x\nexpires_at: 2026-11-20T11:59:59Z"), "revocation/two expires_at", fault.Invalid},
		{"revocation that ends now", create("kind: Revocation\nid: two\nissuer: acme\njti: x\nexpires_at: 2026-11-21T12:00:00Z"), "revocation/two expires_at", fault.Invalid},
		{"revocation that ended in 1970", replace("kind: Revocation\nid: two\nissuer: acme\njti: x\nexpires_at: 1970-01-01T00:00:00Z"), "revocation/two expires_at", fault.Invalid},
		{"PUT on a plan in staging", replace(strings.Replace(sub2, "gold", "staging", 1)), "subscription/two plan", fault.Lifecycle},
		{"issued_before with jti", apply(rev2 + "jti: x\nissued_before: 2026-01-01T00:00:00Z"), "revocation/two issued_before", fault.Invalid},

		{"deploy without published plan", step("api/lonely", "deploy"), "api/lonely ", fault.Lifecycle},
		{"stop what is not deployed", step("api/lonely", "stop"), "api/lonely ", fault.Lifecycle},
		{"start what runs", step("api/orders", "start"), "api/orders ", fault.Lifecycle},
		{"unpublish what is not published", step("api/orders", "unpublish"), "api/orders ", fault.Lifecycle},
		{"rollback to nothing", step("api/orders", "rollback"), "api/orders revision", fault.NotFound},

		{"remove an issuer in use", removal("issuer/acme", true), "issuer/acme ", fault.InUse},
		{"remove an api in use", removal("api/orders", false), "api/orders ", fault.InUse},
		{"remove a plan in use", removal("plan/gold", false), "plan/gold ", fault.InUse},
		{"remove an application in use", removal("application/mobile", false), "application/mobile ", fault.InUse},
		{"remove nothing", removal("application/none", false), "application/none ", fault.NotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := applied(t, applied(t, catalog.Empty(), world), `
kind: Subscription
id: web-silver
application: web
plan: silver
---
kind: Plan
id: staging
api: orders
security: JWT
jwt: {issuers: [acme]}
---
kind: Issuer
id: asked
issuer: https://as.test
introspection: {url: "http://h/i", client_id: g, client_secret: {value: s}}
---
kind: Plan
id: asking
api: orders
security: OAUTH2
oauth2: {issuers: [asked]}
---
kind: Revocation
id: held
issuer: acme
jti: x
expires_at: 2027-01-01T00:00:00Z
---
kind: Api
id: lonely
context_path: /lonely
upstream: {targets: [{url: "http://127.0.0.1:2"}]}
`)
			d := rules.NewDraft(s, now())
			c.do(t, d)
			_, err := d.Finish()
			problems, ok := errors.AsType[fault.List](err)
			if !ok || len(problems) != 1 {
				t.Fatalf("error %v, want one problem", err)
			}
			p := problems[0]
			if got := where(p); got != c.where || p.Code != c.code || p.Message == "" {
				t.Fatalf("got  %s: %s: %s\nwant %s: %s", got, p.Code, p.Message, c.where, c.code)
			}
		})
	}
}

func lookup[T catalog.Resource](t *testing.T, s *catalog.State, text string) T {
	t.Helper()
	r := ref(text)
	m, ok := catalog.Lookup[T](s, r.Kind, r.ID)
	if !ok {
		t.Fatalf("no %s", text)
	}
	return m
}

func TestApplyDeploysAndCountsRevisions(t *testing.T) {
	s := applied(t, catalog.Empty(), world)
	if d := lookup[*pb.Deployment](t, s, "deployment/orders"); d.GetRevision() != 1 || d.GetApi().GetContextPath() != "/orders" {
		t.Fatalf("deployed %v", d)
	}
	again := applied(t, s, world)
	if again.SetHash() != s.SetHash() {
		t.Fatal("applying the same again changes something")
	}

	// A draft differs from what is deployed until it is deployed.
	edit := "kind: Api\nid: orders\ncontext_path: /moved\nupstream: {targets: [{url: 'http://127.0.0.1:2'}]}"
	s = done(t, s, func(d *rules.Draft) { d.Replace(resources(t, edit)[0]) })
	api := lookup[*pb.Api](t, s, "api/orders")
	if !api.GetOutOfSync() || lookup[*pb.Deployment](t, s, "deployment/orders").GetApi().GetContextPath() != "/orders" {
		t.Fatal("an edit is in force without a deployment, or not marked")
	}
	s = done(t, s, func(d *rules.Draft) { d.Step(ref("api/orders"), "deploy", 0) })
	api, dep := lookup[*pb.Api](t, s, "api/orders"), lookup[*pb.Deployment](t, s, "deployment/orders")
	if api.GetOutOfSync() || api.GetRevision() != 2 || dep.GetRevision() != 2 || dep.GetApi().GetContextPath() != "/moved" {
		t.Fatalf("after deploy: %v, %v", api, dep)
	}
	s = done(t, s, func(d *rules.Draft) { d.Step(ref("api/orders"), "rollback", 1) })
	dep = lookup[*pb.Deployment](t, s, "deployment/orders")
	if dep.GetRevision() != 3 || dep.GetApi().GetContextPath() != "/orders" || len(dep.GetPrevious()) != 2 {
		t.Fatalf("after rollback: %v", dep)
	}
	s = done(t, s, func(d *rules.Draft) { d.Step(ref("api/orders"), "stop", 0) })
	if !lookup[*pb.Deployment](t, s, "deployment/orders").GetStopped() || !lookup[*pb.Api](t, s, "api/orders").GetStopped() {
		t.Fatal("stop does not show")
	}
}

func TestSubscriptionLifecycle(t *testing.T) {
	s := applied(t, catalog.Empty(), world)
	status := func(id string) pb.Subscription_Status {
		return lookup[*pb.Subscription](t, s, "subscription/"+id).GetStatus()
	}
	if status("mobile-gold") != pb.Subscription_ACCEPTED {
		t.Error("auto_accept does not accept")
	}
	s = applied(t, s, "kind: Subscription\nid: web-silver\napplication: web\nplan: silver")
	if status("web-silver") != pb.Subscription_PENDING {
		t.Error("without auto_accept a subscription is accepted")
	}
	for verb, want := range map[string]pb.Subscription_Status{"reject": pb.Subscription_REJECTED, "accept": pb.Subscription_ACCEPTED, "close": pb.Subscription_CLOSED} {
		after := done(t, s, func(d *rules.Draft) { d.Step(ref("subscription/web-silver"), verb, 0) })
		if got := lookup[*pb.Subscription](t, after, "subscription/web-silver").GetStatus(); got != want {
			t.Errorf("%s: %s", verb, got)
		}
	}
	// A closed one makes room for the next.
	s = done(t, s, func(d *rules.Draft) { d.Step(ref("subscription/mobile-gold"), "close", 0) })
	s = applied(t, s, "kind: Subscription\nid: next\napplication: mobile\nplan: gold")
	app, plan := s.Handle(pb.Kind_KIND_APPLICATION, "mobile"), s.Handle(pb.Kind_KIND_PLAN, "gold")
	if g, _ := s.Grant(app, plan); !g.Active(now().Unix()) {
		t.Error("the next subscription grants nothing")
	}
	s = done(t, s, func(d *rules.Draft) { d.Remove(ref("subscription/mobile-gold"), false) })
	if g, _ := s.Grant(app, plan); !g.Active(now().Unix()) {
		t.Error("removing the closed one took the grant of the open one")
	}
	// Closing the plan ends its subscriptions.
	s = done(t, s, func(d *rules.Draft) { d.Step(ref("plan/gold"), "close", 0) })
	if status("next") != pb.Subscription_CLOSED {
		t.Error("a closed plan has an open subscription")
	}
	if _, ok := s.Grant(app, plan); ok {
		t.Error("a closed subscription grants")
	}
}

func TestRemoveWithCascade(t *testing.T) {
	s := applied(t, catalog.Empty(), world)
	s = done(t, s, func(d *rules.Draft) { d.Remove(ref("api/orders"), true) })
	for _, k := range []pb.Kind{pb.Kind_KIND_API, pb.Kind_KIND_PLAN, pb.Kind_KIND_SUBSCRIPTION, pb.Kind_KIND_DEPLOYMENT} {
		if s.Len(k) != 0 {
			t.Errorf("%d of kind %s are left", s.Len(k), catalog.KindName(k))
		}
	}
	s = done(t, s, func(d *rules.Draft) { d.Remove(ref("application/mobile"), false) })
	s = applied(t, s, "kind: Revocation\nid: r\nissuer: acme\njti: x")
	s = done(t, s, func(d *rules.Draft) {
		d.SetKeySet(&pb.KeySet{Id: "acme", Generation: 1})
	})
	s = done(t, s, func(d *rules.Draft) { d.Remove(ref("issuer/acme"), false) })
	if s.Len(pb.Kind_KIND_KEY_SET) != 0 {
		t.Error("an issuer's key set outlives it")
	}
	// An issuer that is made again does not find its revoked tokens alive.
	if !s.Revocations().Revoked(catalog.TokenFacts{Issuer: "acme", JTI: "x"}, now().Unix()) {
		t.Error("a revocation ended with its issuer")
	}
}

func TestClientsMoveInOneDraft(t *testing.T) {
	s := applied(t, catalog.Empty(), world)
	s = applied(t, s, "kind: Application\nid: mobile\n---\nkind: Application\nid: web\nclients: [{issuer: acme, client_id: mobile-app}]")
	if c, _ := s.Client("acme", "mobile-app"); c.Application != "web" {
		t.Fatalf("the client belongs to %q", c.Application)
	}
}

// A revocation of all tokens before a moment means every token issued up to then; tokens have
// whole seconds.
func TestRevocationReachesTheTokenOfThisSecond(t *testing.T) {
	s := applied(t, applied(t, catalog.Empty(), world), rev2+"client_id: mobile-app")
	token := catalog.TokenFacts{Issuer: "acme", ClientID: "mobile-app", IssuedAt: now().Unix()}
	if !s.Revocations().Revoked(token, now().Unix()) {
		t.Error("a token of the same second is not revoked")
	}
	token.IssuedAt++
	if s.Revocations().Revoked(token, now().Unix()) {
		t.Error("a later token is revoked")
	}
	// PUT again means now again; the file applied again means what it meant.
	later := now().Add(time.Hour)
	for name, c := range map[string]struct {
		do   func(*rules.Draft, catalog.Resource)
		want bool
	}{"PUT": {(*rules.Draft).Replace, true}, "apply": {(*rules.Draft).Apply, false}} {
		d := rules.NewDraft(s, later)
		c.do(d, resources(t, rev2+"client_id: mobile-app")[0])
		p, err := d.Finish()
		if err != nil {
			t.Fatal(err)
		}
		next, _ := s.WithChanges(p.Changes)
		token.IssuedAt = later.Unix()
		if next.Revocations().Revoked(token, later.Unix()) != c.want {
			t.Errorf("%s: a token issued since is revoked: %v", name, !c.want)
		}
	}
}

// What was written while it held stays: files and PUTs may go on naming it.
func TestRevocationThatHasEndedStays(t *testing.T) {
	const yaml = rev2 + "jti: x\nexpires_at: 2026-11-22T12:00:00Z"
	s := applied(t, applied(t, catalog.Empty(), world), yaml)
	later := now().Add(48 * time.Hour)
	if _, err := rules.FromResources(resources(t, world+"---\n"+yaml), nil, later); err != nil {
		t.Errorf("in a node's file: %v", err)
	}
	d := rules.NewDraft(s, later)
	d.Replace(resources(t, yaml+"\nreason: said later")[0])
	if _, err := d.Finish(); err != nil {
		t.Errorf("PUT of what it is: %v", err)
	}
	d = rules.NewDraft(s, later)
	d.Apply(resources(t, strings.Replace(yaml, "two", "three", 1))[0])
	p, err := d.Finish()
	if err != nil || len(p.Notes) != 1 || p.Notes[0].Ref.ID != "three" || !strings.Contains(p.Notes[0].Text, "past") {
		t.Errorf("applied: %+v %v", p, err)
	}
}

// A token is accepted for clock_skew after its exp, so its revocation must hold as long.
func TestRevocationOutlivesTheSkew(t *testing.T) {
	s := applied(t, applied(t, catalog.Empty(), world), rev2+"jti: x\nexpires_at: 2026-11-21T12:00:00Z")
	token := catalog.TokenFacts{Issuer: "acme", JTI: "x"}
	end := now().Unix()
	if !s.Revocations().Revoked(token, end+599) || s.Revocations().Revoked(token, end+601) {
		t.Error("the revocation does not end ten minutes after its expires_at")
	}
}

func TestSecretsAreKept(t *testing.T) {
	yaml := "kind: Issuer\nid: two\nissuer: i\nkeys: {hmac_secrets: [{value: '%s'}]}"
	secret := strings.Repeat("s", 32)
	s := applied(t, catalog.Empty(), fmt.Sprintf(yaml, secret))
	s = applied(t, s, fmt.Sprintf(yaml, "********")+"\nname: renamed")
	i := lookup[*pb.Issuer](t, s, "issuer/two")
	if i.GetName() != "renamed" || i.GetKeys().GetHmacSecrets()[0].GetValue() != secret {
		t.Errorf("%v", i)
	}
	yaml = "kind: Issuer\nid: keys\nissuer: k\nkeys: {jwks_urls: ['https://k.test']}\njwks: {bearer_token: {value: '%s'}}"
	s = applied(t, applied(t, s, fmt.Sprintf(yaml, secret)), fmt.Sprintf(yaml, "********")+"\nname: renamed")
	if i := lookup[*pb.Issuer](t, s, "issuer/keys"); i.GetName() != "renamed" || i.GetJwks().GetBearerToken().GetValue() != secret {
		t.Errorf("%v", i)
	}
}

func TestFileStateIsInForceAsWritten(t *testing.T) {
	s, err := rules.FromResources(resources(t, strings.ReplaceAll(world, "auto_accept: true\n", "")), nil, now())
	if err != nil {
		t.Fatal(err)
	}
	if lookup[*pb.Subscription](t, s, "subscription/mobile-gold").GetStatus() != pb.Subscription_ACCEPTED {
		t.Error("a subscription in a file is not accepted")
	}
	if s.Len(pb.Kind_KIND_DEPLOYMENT) != 1 || lookup[*pb.Plan](t, s, "plan/open").GetStatus() != pb.Plan_PUBLISHED {
		t.Error("not in force as written")
	}
}

// TestRevocationsOfAFileHaveTimes: without one, each reading would revoke what was issued
// since the reading before. The control plane remembers it.
func TestRevocationsOfAFileHaveTimes(t *testing.T) {
	for _, target := range []string{"client_id: mobile-app", "subject: alice"} {
		revocation := "kind: Revocation\nid: r\nissuer: acme\n" + target + "\n"
		const want = "revocation/r: issued_before: is needed in a file with client_id or subject: nobody remembers when the revocation was written (hint: write the time of the revocation: 20"
		if _, err := rules.FromResources(resources(t, world+"---\n"+revocation), nil, now()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", target, err, want)
		}
		s, err := rules.FromResources(resources(t, world+"---\n"+revocation+"issued_before: 2026-01-01T00:00:00Z"), nil, now())
		if err != nil {
			t.Fatal(err)
		}
		if got := lookup[*pb.Revocation](t, s, "revocation/r").GetIssuedBefore().AsTime(); !got.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: issued before %s", target, got)
		}
		applied(t, applied(t, catalog.Empty(), world), revocation)
	}
	if _, err := rules.FromResources(resources(t, world+"---\nkind: Revocation\nid: r\nissuer: acme\njti: x"), nil, now()); err != nil {
		t.Errorf("a single token: %v", err)
	}
}

// Ids whose 32-bit hashes collide are different ids.
func TestTwoOpenSubscriptionsAreNoticed(t *testing.T) {
	s := applied(t, catalog.Empty(), world)
	s = applied(t, s, "kind: Subscription\nid: sub-18438\napplication: web\nplan: gold")
	d := rules.NewDraft(s, now())
	d.Create(resources(t, "kind: Subscription\nid: sub-228880\napplication: web\nplan: gold")[0])
	if _, err := d.Finish(); err == nil {
		t.Error("a second open subscription was accepted")
	}
}

// Handles go on counting after a resync, because counters of requests go by them.
func TestHandlesAreNotGivenTwice(t *testing.T) {
	s := applied(t, catalog.Empty(), world)
	old := s.Handle(pb.Kind_KIND_PLAN, "gold")
	b := catalog.NewBuilder(catalog.Position{Epoch: 1, Sequence: 1}, s)
	for raw := range s.Changes() {
		b.Add(raw)
	}
	if got := b.State().Handle(pb.Kind_KIND_PLAN, "gold"); got <= old {
		t.Errorf("handle %d after %d", got, old)
	}
	again, err := rules.FromResources(resources(t, world), s, now())
	if err != nil || again.Handle(pb.Kind_KIND_PLAN, "gold") <= old {
		t.Errorf("handle %d after %d, error %v", again.Handle(pb.Kind_KIND_PLAN, "gold"), old, err)
	}
}
