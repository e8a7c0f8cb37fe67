package authz_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/policy/authz"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// plan compiles a plan from its JSON.
func plan(t testing.TB, json string) *authz.Plan {
	t.Helper()
	p := &pb.Plan{}
	if err := protojson.Unmarshal([]byte(json), p); err != nil {
		t.Fatalf("%s: %v", json, err)
	}
	compiled, faults := authz.Compile(p)
	if len(faults) > 0 {
		t.Fatalf("%s: %v", json, faults)
	}
	return compiled
}

// claims reads a payload as a token's.
func claims(t testing.TB, payload string) *token.Claims {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	compact := encode([]byte(`{"alg":"ES256"}`)) + "." + encode([]byte(payload)) + "." + encode(make([]byte, 64))
	u, err := token.Parse([]byte(compact))
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return u.Claims
}

type allowTest struct {
	jwt, claims string
	want        *denial.Denial
	fault       string
}

func allow(jwt, claims string) allowTest { return allowTest{jwt, claims, nil, ""} }

func deny(jwt, claims string, want *denial.Denial, fault string) allowTest {
	return allowTest{jwt, claims, want, fault}
}

func TestAllow(t *testing.T) {
	scope := func(jwt, claims string) allowTest {
		return deny(jwt, claims, denial.InsufficientScope, "jwt.scopes")
	}
	rule := func(jwt, claims string) allowTest {
		return deny(jwt, claims, denial.ClaimRuleFailed, "jwt.claim_rules[0]")
	}
	audience := func(jwt, claims string) allowTest {
		return deny(jwt, claims, denial.InvalidToken, "jwt.audiences")
	}
	const (
		aud      = `"audiences":["https://a.test","https://b.test"]`
		all      = `"scopes":{"all":["read","write"]}`
		one      = `"scopes":{"any":["read","write"]}`
		both     = `"scopes":{"all":["api"],"any":["read","write"]}`
		tenant   = `"claim_rules":[{"claim":"tenant","mandatory":true,"equals":"acme"}]`
		optional = `"claim_rules":[{"claim":"tenant","equals":"acme"}]`
		level    = `"claim_rules":[{"claim":"level","expression":"claims.level >= 2"}]`
		present  = `"claim_rules":[{"claim":"org.name","mandatory":true}]`
	)
	equals := func(value string) string {
		return `"claim_rules":[{"claim":"c","mandatory":true,"equals":` + value + `}]`
	}
	tests := []allowTest{
		allow(``, `{}`),

		allow(aud, `{"aud":"https://a.test"}`),
		allow(aud, `{"aud":["x","https://b.test"]}`),
		audience(aud, `{}`),
		audience(aud, `{"aud":"https://a.test/"}`),
		audience(aud, `{"aud":"https://a.test https://b.test"}`), // one value, not two words
		audience(aud, `{"aud":["https://A.test"]}`),

		allow(all, `{"scope":"write other read"}`),
		allow(all, `{"scope":["read","write"]}`),
		allow(all, `{"scp":["read","write"]}`),
		allow(all, `{"scp":"read write"}`),
		scope(all, `{"scope":"read"}`),
		scope(all, `{"scope":"read write2"}`),
		scope(all, `{"scope":"READ WRITE"}`),
		scope(all, `{}`),
		scope(all, `{"scope":["read",{"a":1},"write"]}`),
		allow(all, `{"scope":null,"scp":"read write"}`), // null is not there
		scope(all, `{"scope":null}`),
		scope(all, `{"scope":"","scp":"read write"}`), // scope is there, so scp is not asked
		allow(one, `{"scope":"write"}`),
		allow(one, `{"scp":["x","read"]}`),
		scope(one, `{"scope":"reads"}`),
		scope(one, `{"scope":7}`),
		allow(both, `{"scope":"api write"}`),
		scope(both, `{"scope":"read write"}`),
		scope(both, `{"scope":"api"}`),

		allow(tenant, `{"tenant":"acme"}`),
		allow(tenant, `{"tenant":["x","acme"]}`),
		rule(tenant, `{"tenant":"acme2"}`),
		rule(tenant, `{"tenant":["x"]}`),
		rule(tenant, `{"tenant":[["acme"]]}`),
		rule(tenant, `{"tenant":{"acme":true}}`),
		rule(tenant, `{"tenant":null}`),
		rule(tenant, `{}`),
		allow(optional, `{}`),
		rule(optional, `{"tenant":""}`),
		allow(optional, `{"tenant":null}`),

		allow(level, `{"level":2}`),
		allow(level, `{"level":2.5}`),
		allow(level, `{}`),
		rule(level, `{"level":1}`),
		rule(level, `{"level":"9"}`), // cannot be compared

		allow(present, `{"org":{"name":"x"}}`),
		allow(present, `{"org.name":"x"}`),
		rule(present, `{"org":{}}`),
		rule(present, `{"name":"x"}`),

		allow(equals(`7`), `{"c":7}`),
		allow(equals(`7`), `{"c":7.0}`),
		allow(equals(`7`), `{"c":[1,7]}`),
		rule(equals(`7`), `{"c":"7"}`),
		rule(equals(`7`), `{"c":70}`),
		rule(equals(`9007199254740992`), `{"c":9007199254740993}`),
		allow(equals(`18446744073709549568`), `{"c":18446744073709549568}`),
		rule(equals(`18446744073709551615`), `{"c":18446744073709551615}`), // not exact
		allow(equals(`true`), `{"c":true}`),
		rule(equals(`true`), `{"c":"true"}`),
		rule(equals(`true`), `{"c":1}`),
		rule(equals(`false`), `{"c":null}`),
		rule(equals(`""`), `{"c":[]}`),
		allow(equals(`["a","b"]`), `{"c":["a","b"]}`),
		allow(equals(`["a","b"]`), `{"c":[["a","b"]]}`),
		rule(equals(`["a","b"]`), `{"c":["a","b","c"]}`),
		rule(equals(`["a","b"]`), `{"c":["b","a"]}`),
		allow(equals(`{"a":1,"b":[true]}`), `{"c":{"b":[true],"a":1}}`),
		rule(equals(`{"a":1}`), `{"c":{"a":1,"b":2}}`),
		rule(equals(`{"a":null}`), `{"c":{"b":null}}`),

		// The first thing that is wrong is the answer.
		audience(aud+`,`+all+`,`+tenant, `{}`),
		scope(aud+`,`+all+`,`+tenant, `{"aud":"https://a.test"}`),
		rule(aud+`,`+all+`,`+tenant, `{"aud":"https://a.test","scope":"read write"}`),
		allow(aud+`,`+all+`,`+tenant, `{"aud":"https://a.test","scope":"read write","tenant":"acme"}`),
		deny(`"claim_rules":[{"claim":"a"},{"claim":"b","mandatory":true}]`, `{"a":1}`, denial.ClaimRuleFailed, "jwt.claim_rules[1] (b)"),
		deny(`"claim_rules":[{"claim":"a","mandatory":true,"equals":1,"expression":"claims.a == 2"}]`, `{"a":1}`, denial.ClaimRuleFailed, "jwt.claim_rules[0] (a)"),
	}
	for _, tt := range tests {
		p := plan(t, `{"id":"p","security":"JWT","jwt":{`+tt.jwt+`}}`)
		c := claims(t, tt.claims)
		err := p.Allow(c)
		if tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("{%s} on %s: got %v, want %v", tt.jwt, tt.claims, err, tt.want)
		}
		if fault := p.Fault(c); !strings.HasPrefix(fault, tt.fault) || (fault == "") != (tt.fault == "") {
			t.Errorf("{%s} on %s: fault %q, want %q", tt.jwt, tt.claims, fault, tt.fault)
		}
	}
}

func TestScopeChallengeNamesScopes(t *testing.T) {
	err := plan(t, `{"security":"JWT","jwt":{"scopes":{"all":["api"],"any":["read","write"]}}}`).Allow(claims(t, `{}`))
	d, ok := errors.AsType[*denial.Denial](err)
	if !ok || !strings.Contains(d.Answer(pb.Api_PROBLEM).Challenge, `scope="api read write"`) {
		t.Errorf("got %v", err)
	}
}

func TestNeedsSubscription(t *testing.T) {
	tests := []struct {
		plan string
		want bool
	}{
		{`{"security":"JWT"}`, true},
		{`{"security":"JWT","require_subscription":true}`, true},
		{`{"security":"JWT","require_subscription":false}`, false},
		{`{"security":"API_KEY"}`, true},
		{`{"security":"API_KEY","require_subscription":false}`, false},
		{`{"security":"KEYLESS"}`, false},
		{`{"security":"KEYLESS","require_subscription":true}`, false},
	}
	for _, tt := range tests {
		if got := plan(t, tt.plan).NeedsSubscription(); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.plan, got, tt.want)
		}
	}
}

func TestSelected(t *testing.T) {
	r := fields{"x-internal": "yes"}
	tests := []struct {
		rule string
		want bool
	}{
		{``, true},
		{`'x-internal' in request.headers`, true},
		{`!('x-internal' in request.headers)`, false},
		{`request.headers['x-internal'] == 'yes' && request.method == 'GET'`, true},
		{`request.headers['x-absent'] == 'yes'`, false}, // an error does not select
		{`request.headers['x-absent'] != 'yes'`, false},
	}
	for _, tt := range tests {
		p := plan(t, `{"security":"JWT","selection_rule":"`+tt.rule+`"}`)
		if got := p.Selected(r); got != tt.want || p.Conditional() != (tt.rule != "") {
			t.Errorf("%s: got %v, want %v", tt.rule, got, tt.want)
		}
	}
}

func TestTrusts(t *testing.T) {
	p := plan(t, `{"security":"JWT","jwt":{"issuers":["acme","partner"]}}`)
	for issuer, want := range map[string]bool{"acme": true, "partner": true, "other": false, "": false, "acm": false} {
		if got := p.Trusts(issuer); got != want {
			t.Errorf("%q: got %v, want %v", issuer, got, want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	tests := []struct{ plan, want string }{
		{`{"selection_rule":"request."}`, "selection_rule: "},
		{`{"jwt":{"claim_rules":[{"claim":"a"},{"claim":"b","expression":"claims +"}]}}`, "jwt.claim_rules[1].expression: "},
	}
	for _, tt := range tests {
		p := &pb.Plan{}
		if err := protojson.Unmarshal([]byte(tt.plan), p); err != nil {
			t.Fatal(err)
		}
		if _, faults := authz.Compile(p); len(faults) != 1 || !strings.HasPrefix(faults.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.plan, faults, tt.want)
		}
	}
}

// fields is a request by its header fields, with names in lower case.
type fields map[string]string

func (f fields) Header(name string) (string, bool) {
	value, ok := f[strings.ToLower(name)]
	return value, ok
}
func (fields) Query(string) (string, bool)  { return "", false }
func (fields) Cookie(string) (string, bool) { return "", false }
func (fields) Method() string               { return "GET" }
func (fields) Path() string                 { return "/" }
func (fields) Host() string                 { return "api.test" }
func (fields) ClientIP() string             { return "192.0.2.7" }
