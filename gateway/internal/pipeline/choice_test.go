package pipeline_test

import (
	"strings"
	"testing"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// api is an Api whose plans a test writes, without anything of orders.
const api = `
kind: Api
id: orders
name: Orders
version: 1.0.0
context_path: /orders
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
`

// plan is a published plan with lines of its own.
func plan(id, security string, lines ...string) string {
	return "kind: Plan\napi: orders\nstatus: PUBLISHED\nid: " + id + "\nsecurity: " + security + "\n" + strings.Join(lines, "\n")
}

func subscribed(application, plan string) string {
	return "kind: Subscription\nid: " + application + "-" + plan + "\napplication: " + application + "\nplan: " + plan + "\nstatus: ACCEPTED"
}

func paused(plan string) string {
	return strings.Replace(subscribed("mobile", plan), "ACCEPTED", "PAUSED", 1)
}

const (
	acme    = "jwt: {issuers: [acme]}"
	partner = "jwt: {issuers: [partner]}"
	key     = "X-Api-Key: hello"
)

func TestAPIKey(t *testing.T) {
	w := newWorld(t, common, api, plan("key", "API_KEY"), subscribed("mobile", "key"))
	tests := []struct {
		name    string
		target  string
		headers []string
		want    outcome
	}{
		{"good", "/orders", []string{key}, allow("key", "mobile")},
		{"name in other case", "/orders", []string{"x-API-key: hello"}, allow("key", "mobile")},
		{"none", "/orders", nil, deny(denial.MissingAPIKey)},
		{"empty", "/orders", []string{"X-Api-Key: "}, deny(denial.MissingAPIKey)},
		{"wrong", "/orders", []string{"X-Api-Key: hellO"}, deny(denial.InvalidAPIKey)},
		{"expired", "/orders", []string{"X-Api-Key: old"}, deny(denial.InvalidAPIKey)},
		{"its hash", "/orders", []string{"X-Api-Key: " + keyHash}, deny(denial.InvalidAPIKey)},
		{"two", "/orders", []string{key, key}, deny(denial.InvalidRequest)},
		{"a token, which no plan takes", "/orders", []string{bearer()}, deny(denial.MissingAPIKey)},
		{"both, one of no concern", "/orders", []string{key, bearer()}, allow("key", "mobile")},
		{"in the query, where nobody looks", "/orders?api_key=hello", nil, deny(denial.MissingAPIKey)},
	}
	for _, tt := range tests {
		w.expect(tt.name, get(tt.target, tt.headers...), tt.want)
	}
	early := get("/orders", "X-Api-Key: old")
	early.Now = now - 1
	if d := w.expect("before it expires", early, allow("key", "mobile")); d.KeyID != "old" || d.Forward.Credential != (compile.Location{Header: "X-Api-Key"}) {
		t.Errorf("got %+v", d)
	}

	w.put(paused("key"))
	w.expect("paused", get("/orders", key), deny(denial.SubscriptionInactive))
	w.remove(pb.Kind_KIND_SUBSCRIPTION, "mobile-key")
	w.expect("not subscribed", get("/orders", key), deny(denial.SubscriptionNotFound))
	w.put(plan("key", "API_KEY", "require_subscription: false"))
	w.expect("none needed", get("/orders", key), allow("key", "mobile"))
	w.remove(pb.Kind_KIND_APPLICATION, "mobile")
	w.expect("key is gone", get("/orders", key), deny(denial.InvalidAPIKey))
}

func TestAPIKeyPlaces(t *testing.T) {
	w := newWorld(t, common, api, subscribed("mobile", "key"), plan("key", "API_KEY", "api_key: {header: x-key, query: key}"))
	tests := []struct {
		name    string
		target  string
		headers []string
		want    outcome
		place   compile.Location
	}{
		{"header", "/orders", []string{"X-Key: hello"}, allow("key", "mobile"), compile.Location{Header: "X-Key"}},
		{"query", "/orders?a=1&key=hello", nil, allow("key", "mobile"), compile.Location{Query: "key"}},
		{"encoded query", "/orders?k%65y=hell%6f", nil, allow("key", "mobile"), compile.Location{Query: "key"}},
		{"default header", "/orders", []string{key}, deny(denial.MissingAPIKey), compile.Location{}},
		{"both", "/orders?key=hello", []string{"X-Key: hello"}, deny(denial.InvalidRequest), compile.Location{}},
		{"twice", "/orders?key=hello&k%65y=hello", nil, deny(denial.InvalidRequest), compile.Location{}},
	}
	for _, tt := range tests {
		if d := w.expect(tt.name, get(tt.target, tt.headers...), tt.want); d.Forward.Credential != tt.place {
			t.Errorf("%s: credential at %+v, want %+v", tt.name, d.Forward.Credential, tt.place)
		}
	}
	w.put(plan("key", "API_KEY", "api_key: {query: key}"))
	w.expect("only the query", get("/orders", key), deny(denial.MissingAPIKey))
}

func TestTokenFrom(t *testing.T) {
	good := token()
	from := func(expression string) string {
		return plan("jwt", "JWT", "jwt: {issuers: [acme], token_from: \""+expression+"\"}")
	}
	tests := []struct {
		name, expression string
		target           string
		headers          []string
		want             outcome
		place            compile.Location
	}{
		{"cookie", "request.cookies['session']", "/orders", []string{"Cookie: a=b; session=" + good}, allow("jwt", "mobile"), compile.Location{Cookie: "session"}},
		{"no such cookie", "request.cookies['session']", "/orders", []string{"Cookie: a=b"}, deny(denial.MissingCredentials), compile.Location{}},
		{"empty cookie", "request.cookies['session']", "/orders", []string{"Cookie: session="}, deny(denial.MissingCredentials), compile.Location{}},
		{"cookie twice", "request.cookies['session']", "/orders", []string{"Cookie: session=" + good + "; session=x"}, deny(denial.InvalidRequest), compile.Location{}},
		{"junk in the cookie", "request.cookies['session']", "/orders", []string{"Cookie: session=a b"}, deny(denial.InvalidRequest), compile.Location{}},
		{"bad token in the cookie", "request.cookies['session']", "/orders", []string{"Cookie: session=abc"}, deny(denial.InvalidToken), compile.Location{}},
		{"query", "request.query['access_token']", "/orders?access_token=" + good, nil, allow("jwt", "mobile"), compile.Location{Query: "access_token"}},
		{"query twice", "request.query['access_token']", "/orders?access_token=" + good + "&access_token=" + good, nil, deny(denial.InvalidRequest), compile.Location{}},
		{"header", "request.headers['x-token']", "/orders", []string{"X-Token: " + good}, allow("jwt", "mobile"), compile.Location{Header: "X-Token"}},
		{"header twice", "request.headers['x-token']", "/orders", []string{"X-Token: " + good, "x-token: y"}, deny(denial.InvalidRequest), compile.Location{}},
		{"part of a header", "request.headers['x-token'].substring(4)", "/orders", []string{"X-Token: JWT " + good}, allow("jwt", "mobile"), compile.Location{Header: "X-Token"}},
		{"too short a header", "request.headers['x-token'].substring(4)", "/orders", []string{"X-Token: JW"}, deny(denial.InvalidRequest), compile.Location{}},
		{"changed text", "request.headers['x-token'].replace('~', '.')", "/orders", []string{"X-Token: " + strings.ReplaceAll(good, ".", "~")}, allow("jwt", "mobile"), compile.Location{Header: "X-Token"}},
		{"first of several", "'x-token' in request.headers ? request.headers['x-token'] : request.cookies['session']", "/orders", []string{"Cookie: session=" + good}, allow("jwt", "mobile"), compile.Location{Cookie: "session"}},
		{"the very Authorization field", "request.headers['authorization'].substring(7)", "/orders", []string{"Authorization: Bearer " + good}, allow("jwt", "mobile"), compile.Location{Header: "Authorization"}},
		{"bearer, where nobody takes it from", "request.cookies['session']", "/orders", []string{"Authorization: Bearer " + good}, deny(denial.MissingCredentials), compile.Location{}},
		{"another bearer beside", "request.cookies['session']", "/orders", []string{"Authorization: Bearer x", "Cookie: session=" + good}, allow("jwt", "mobile"), compile.Location{Cookie: "session"}},
		{"the same bearer beside", "request.cookies['session']", "/orders", []string{"Authorization: Bearer " + good, "Cookie: session=" + good}, allow("jwt", "mobile"), compile.Location{Cookie: "session"}},
		{"a DPoP token beside", "request.cookies['session']", "/orders", []string{"Authorization: DPoP x", "DPoP: y", "Cookie: session=" + good}, allow("jwt", "mobile"), compile.Location{Cookie: "session"}},
		{"junk beside", "request.headers['x-token']", "/orders", []string{"Authorization: Bearer x y", "Authorization: Bearer", "X-Token: " + good}, allow("jwt", "mobile"), compile.Location{Header: "X-Token"}},
	}
	for _, tt := range tests {
		w := newWorld(t, common, api, from(tt.expression), subscribed("mobile", "jwt"))
		if d := w.expect(tt.name, get(tt.target, tt.headers...), tt.want); d.Forward.Credential != tt.place {
			t.Errorf("%s: credential at %+v, want %+v", tt.name, d.Forward.Credential, tt.place)
		}
	}
}

func TestExactlyOneCredential(t *testing.T) {
	w := newWorld(t, common, api,
		plan("jwt", "JWT", acme), plan("cookie", "JWT", `jwt: {issuers: [acme], token_from: "request.cookies['session']"}`), plan("key", "API_KEY"), plan("free", "KEYLESS"),
		subscribed("mobile", "jwt"), subscribed("mobile", "key"), subscribed("desktop", "cookie"))
	cookie := "Cookie: session=" + tokenOf("https://acme.test", "desktop-app")
	w.expect("token", get("/orders", bearer()), allow("jwt", "mobile"))
	w.expect("key", get("/orders", key), allow("key", "mobile"))
	w.expect("cookie", get("/orders", cookie), allow("cookie", "desktop"))
	w.expect("none", get("/orders"), allow("free", ""))
	w.expect("token and key", get("/orders", bearer(), key), deny(denial.InvalidRequest))
	w.expect("token and cookie", get("/orders", bearer(), cookie), deny(denial.InvalidRequest))
	w.expect("cookie and key", get("/orders", cookie, key), deny(denial.InvalidRequest))
	w.expect("bad token and key", get("/orders", "Authorization: Bearer x", key), deny(denial.InvalidRequest))
	w.expect("other scheme and key", get("/orders", "Authorization: Basic YTpi", key), allow("key", "mobile"))
}

// What no plan takes is not a credential: it is neither a second one, nor does it
// keep a keyless plan from serving, nor is it taken out of the request.
func TestBearerThatNoPlanTakes(t *testing.T) {
	fromHeader := func(id string, more ...string) string {
		return plan(id, "JWT", append(more, `jwt: {issuers: [acme], token_from: "request.headers['x-assertion']"}`)...)
	}
	other, assertion := "Authorization: Bearer "+tokenOf("https://elsewhere.test", "x"), "X-Assertion: "+token()
	asserted := compile.Location{Header: "X-Assertion"}
	free := plan("free", "KEYLESS")

	tests := []struct {
		name    string
		plans   []string
		headers []string
		want    outcome
		place   compile.Location
	}{
		{"beside an assertion", []string{fromHeader("jwt")}, []string{other, assertion}, allow("jwt", "mobile"), asserted},
		{"beside a bad assertion", []string{fromHeader("jwt")}, []string{bearer(), "X-Assertion: x"}, deny(denial.InvalidToken), compile.Location{}},
		{"instead of an assertion", []string{fromHeader("jwt")}, []string{bearer()}, deny(denial.MissingCredentials), compile.Location{}},
		{"beside an assertion, keyless", []string{fromHeader("jwt"), free}, []string{other, assertion}, allow("jwt", "mobile"), asserted},
		{"alone, keyless", []string{fromHeader("jwt"), free}, []string{other}, allow("free", ""), compile.Location{}},
		{"beside a key", []string{fromHeader("jwt"), plan("key", "API_KEY")}, []string{other, key}, allow("key", "mobile"), compile.Location{Header: "X-Api-Key"}},
		{"beside a key, no plan of tokens", []string{plan("key", "API_KEY")}, []string{other, key}, allow("key", "mobile"), compile.Location{Header: "X-Api-Key"}},
		{"a key and an assertion", []string{fromHeader("jwt"), plan("key", "API_KEY")}, []string{other, key, assertion}, deny(denial.InvalidRequest), compile.Location{}},
		{"where another plan takes it", []string{fromHeader("jwt"), plan("bearer", "JWT", acme)}, []string{other, assertion}, deny(denial.InvalidRequest), compile.Location{}},
		{"where a plan took it that is closed", []string{fromHeader("jwt"), strings.Replace(plan("bearer", "JWT", acme), "PUBLISHED", "CLOSED", 1)}, []string{other, assertion}, allow("jwt", "mobile"), asserted},
		{"DPoP, where the plan of bearer tokens takes none", []string{
			plan("jwt", "JWT", `jwt: {issuers: [acme], token_from: "request.headers['x-assertion']", confirmation: {dpop: WHEN_BOUND}}`), plan("bearer", "JWT", acme),
		}, []string{"Authorization: DPoP x", assertion}, allow("jwt", "mobile"), asserted},
		{"DPoP, where the plan of bearer tokens takes it", []string{
			fromHeader("jwt"), plan("bearer", "JWT", "jwt: {issuers: [acme], confirmation: {dpop: WHEN_BOUND}}"),
		}, []string{"Authorization: DPoP x", assertion}, deny(denial.InvalidRequest), compile.Location{}},
	}
	for _, tt := range tests {
		w := newWorld(t, append([]string{common, api, subscribed("mobile", "jwt"), subscribed("mobile", "key")}, tt.plans...)...)
		if d := w.expect(tt.name, get("/orders", tt.headers...), tt.want); d.Forward.Credential != tt.place {
			t.Errorf("%s: credential at %+v, want %+v", tt.name, d.Forward.Credential, tt.place)
		}
	}
}

// Tokens without iss are for plans that name their issuer, and for no other.
func TestTokensWithoutIssuer(t *testing.T) {
	bare := "kind: Issuer\nid: bare\nno_issuer: true\nkeys: {hmac_secrets: [{value: " + secret + "}]}\n---\n" +
		"kind: Application\nid: legacy\nname: Legacy\nclients: [{issuer: bare, client_id: mobile-app}]\n---\n"
	without := bearer(`"iss":null`)
	w := newWorld(t, common, bare, api, plan("jwt", "JWT", acme), subscribed("mobile", "jwt"), subscribed("legacy", "jwt"))
	w.expect("a plan of another issuer", get("/orders", without), deny(denial.InvalidToken))
	w.expect("its own", get("/orders", bearer()), allow("jwt", "mobile"))

	w = newWorld(t, common, bare, api, plan("jwt", "JWT", "jwt: {issuers: [bare]}"), subscribed("legacy", "jwt"))
	w.expect("its plan", get("/orders", without), allow("jwt", "legacy"))
	w.expect("again", get("/orders", without), allow("jwt", "legacy"))
	w.expect("with an iss", get("/orders", bearer()), deny(denial.InvalidToken))
}

func TestPlanOrder(t *testing.T) {
	tests := []struct {
		name  string
		world []string
		want  outcome
	}{
		{"by order", []string{plan("a", "JWT", acme, "order: 2"), plan("b", "JWT", acme, "order: 1"), subscribed("mobile", "a"), subscribed("mobile", "b")}, allow("b", "mobile")},
		{"by id, orders being equal", []string{plan("b", "JWT", acme), plan("a", "JWT", acme), subscribed("mobile", "a"), subscribed("mobile", "b")}, allow("a", "mobile")},
		{"negative order first", []string{plan("a", "JWT", acme), plan("b", "JWT", acme, "order: -1"), subscribed("mobile", "a"), subscribed("mobile", "b")}, allow("b", "mobile")},
		{"told apart by subscription", []string{plan("a", "JWT", acme), plan("b", "JWT", acme), plan("c", "JWT", acme), subscribed("mobile", "b")}, allow("b", "mobile")},
		{"a paused one does not stop the next", []string{plan("a", "JWT", acme), plan("b", "JWT", acme), paused("a"), subscribed("mobile", "b")}, allow("b", "mobile")},
		{"told apart by issuer", []string{plan("a", "JWT", partner), plan("b", "JWT", acme), subscribed("mobile", "a"), subscribed("mobile", "b")}, allow("b", "mobile")},
		{"told apart by audience", []string{plan("a", "JWT", "jwt: {issuers: [acme], audiences: [x]}"), plan("b", "JWT", acme), subscribed("mobile", "a"), subscribed("mobile", "b")}, allow("b", "mobile")},
		{"told apart by selection rule", []string{plan("a", "JWT", acme, `selection_rule: "'x-vip' in request.headers"`), plan("b", "JWT", acme), subscribed("mobile", "a"), subscribed("mobile", "b")}, allow("b", "mobile")},
		{"selection rule in error", []string{plan("a", "JWT", acme, `selection_rule: "request.headers['x-vip'] != 'no'"`), plan("b", "JWT", acme), subscribed("mobile", "a"), subscribed("mobile", "b")}, allow("b", "mobile")},
		{"selection rule holds", []string{plan("a", "JWT", acme, `selection_rule: "request.method == 'GET'"`), plan("b", "JWT", acme), subscribed("mobile", "a"), subscribed("mobile", "b")}, allow("a", "mobile")},
		{"the first that is subscribed decides, scopes and all", []string{plan("a", "JWT", "jwt: {issuers: [acme], scopes: {all: [x]}}"), plan("b", "JWT", acme), subscribed("mobile", "a"), subscribed("mobile", "b")}, deny(denial.InsufficientScope)},
		{"scopes of a plan that is not subscribed are not asked", []string{plan("a", "JWT", "jwt: {issuers: [acme], scopes: {all: [x]}}"), plan("b", "JWT", acme), subscribed("mobile", "b")}, allow("b", "mobile")},
		{"claim rules decide as well", []string{plan("a", "JWT", "jwt: {issuers: [acme], claim_rules: [{claim: x, mandatory: true}]}"), plan("b", "JWT", acme, "require_subscription: false"), subscribed("mobile", "a")}, deny(denial.ClaimRuleFailed)},
		{"no subscription needed comes first", []string{plan("a", "JWT", acme, "require_subscription: false"), plan("b", "JWT", acme), subscribed("mobile", "b")}, allow("a", "mobile")},
		{"inactive tells more than not found", []string{plan("a", "JWT", acme), plan("b", "JWT", acme), plan("c", "JWT", acme), paused("b")}, deny(denial.SubscriptionInactive)},
		{"inactive tells more than a foreign issuer", []string{plan("a", "JWT", acme), plan("b", "JWT", partner), paused("a")}, deny(denial.SubscriptionInactive)},
		{"not found tells more than a foreign issuer", []string{plan("a", "JWT", partner), plan("b", "JWT", acme), plan("c", "JWT", partner)}, deny(denial.SubscriptionNotFound)},
		{"only foreign issuers", []string{plan("a", "JWT", partner), subscribed("mobile", "a")}, deny(denial.InvalidToken)},
		{"no rule holds", []string{plan("a", "JWT", acme, `selection_rule: "false"`), subscribed("mobile", "a")}, deny(denial.InvalidToken)},
		{"another Api's plan", []string{plan("a", "JWT", acme), strings.Replace(plan("b", "JWT", acme), "api: orders", "api: other", 1), subscribed("mobile", "b")}, deny(denial.SubscriptionNotFound)},
	}
	for _, tt := range tests {
		w := newWorld(t, append([]string{common, api}, tt.world...)...)
		w.expect(tt.name, get("/orders", bearer()), tt.want)
	}
}

func TestKeyless(t *testing.T) {
	free := plan("free", "KEYLESS")
	jwt, apiKey := plan("jwt", "JWT", acme), plan("key", "API_KEY")
	conditional := plan("jwt", "JWT", acme, `selection_rule: "false"`)
	oauth2 := "{kind: Issuer, id: nowhere, issuer: nowhere, introspection: {url: 'http://127.0.0.1:9', client_id: a, client_secret: {value: b}}}\n---\n" +
		plan("oauth", "OAUTH2", "oauth2: {issuers: [nowhere]}")
	tests := []struct {
		name    string
		plans   []string
		headers []string
		want    outcome
	}{
		{"alone", []string{free}, nil, allow("free", "")},
		{"alone, any header", []string{free}, []string{"Authorization: Bearer", "Authorization: Bearer x y", key, key}, allow("free", "")},
		{"no credential", []string{free, jwt, apiKey}, nil, allow("free", "")},
		{"empty field", []string{free, jwt}, []string{"Authorization: "}, allow("free", "")},
		{"Basic", []string{free, jwt}, []string{"Authorization: Basic YTpi"}, allow("free", "")},
		{"a key that nobody takes", []string{free, jwt}, []string{key}, allow("free", "")},
		{"a token that nobody takes", []string{free, apiKey}, []string{bearer()}, allow("free", "")},

		{"junk never falls through", []string{free, jwt}, []string{"Authorization: Bearer junk"}, deny(denial.InvalidToken)},
		{"scheme alone", []string{free, jwt}, []string{"Authorization: Bearer"}, deny(denial.InvalidRequest)},
		{"unknown issuer", []string{free, jwt}, []string{"Authorization: Bearer " + tokenOf("https://evil.test", "mobile-app")}, deny(denial.InvalidToken)},
		{"untrusted issuer", []string{free, jwt}, []string{"Authorization: Bearer " + tokenOf("https://partner.test", "x")}, deny(denial.InvalidToken)},
		{"expired", []string{free, jwt}, []string{bearer(`"exp": 1899999000`)}, deny(denial.TokenExpired)},
		{"not subscribed", []string{free, jwt}, []string{bearer()}, deny(denial.SubscriptionNotFound)},
		{"paused", []string{free, jwt, paused("jwt")}, []string{bearer()}, deny(denial.SubscriptionInactive)},
		{"wrong key", []string{free, jwt, apiKey}, []string{"X-Api-Key: wrong"}, deny(denial.InvalidAPIKey)},
		{"key not subscribed", []string{free, apiKey}, []string{key}, deny(denial.SubscriptionNotFound)},
		{"token, the rule of its plan not holding", []string{free, conditional}, []string{bearer()}, deny(denial.InvalidToken)},
		{"own rule not holding", []string{plan("free", "KEYLESS", `selection_rule: "request.method == 'POST'"`), jwt}, nil, deny(denial.MissingCredentials)},
		{"own rule not holding, alone", []string{plan("free", "KEYLESS", `selection_rule: "request.method == 'POST'"`)}, nil, deny(denial.MissingCredentials)},
		{"token, for OAuth2 only", []string{free, oauth2}, []string{bearer()}, deny(denial.InvalidToken)},
		{"none, with key or token missing", []string{jwt, apiKey}, nil, deny(denial.MissingAnyCredentials)},
		{"no plan at all", nil, []string{bearer()}, deny(denial.MissingCredentials)},
	}
	for _, tt := range tests {
		w := newWorld(t, append([]string{common, api}, tt.plans...)...)
		w.expect(tt.name, get("/orders", tt.headers...), tt.want)
	}
}
