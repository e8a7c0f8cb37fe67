package conformance_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
)

func b64std(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

const (
	apiKey = "X-Api-Key: hello"
	basic  = "Authorization: Basic YTpi"
	junk   = "Authorization: Bearer junk"
)

// at is a time that many seconds from now, as resources have it.
func at(seconds int) string {
	return time.Now().Add(time.Duration(seconds) * time.Second).UTC().Format(time.RFC3339)
}

func dated(application, plan, dates string) string {
	return strings.TrimSuffix(subscribe(application, plan), "\n") + "\n" + dates + "\n"
}

func graviteePlans(rs key) []row {
	good, other := rs.token("acme", nil), rs.token("acme", object{"azp": "other-app"})
	gravitee := strings.Replace(simple("g35", "acme"), "context_path:", "error_format: GRAVITEE\ncontext_path:", 1)
	unauthorized := row{id: "35", what: "a JWT plan and a request without a good token, with `error_format: GRAVITEE`", theirs: "401, text `Unauthorized`, and the backend is not called", setup: gravitee}
	for _, header := range []string{"", "Authorization:", basic, apiKey, "X-Gravitee-Api-Key: ", "Authorization: Bearer", "Authorization: Bearer ", junk} {
		p := deny("["+header+"]", 401, "", "/g35")
		if header != "" {
			p.header = []string{header}
		}
		unauthorized.probes = append(unauthorized.probes, p)
	}
	unauthorized.check = func(t *testing.T, n *node) {
		t.Helper()
		if got := n.ask(call{target: "/g35", header: []string{junk}}); got.body != "Unauthorized" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s %s", got.header, got.body)
		}
	}
	return []row{
		{id: "17", what: "an Api with a keyless, an API key and a JWT plan", theirs: "JWT is asked first, then API key, then keyless; JWT needs a subscription", setup: api("g17") +
			plan("g17-a", "KEYLESS") + plan("g17-b", "API_KEY") + plan("g17-c", "JWT", "jwt: {issuers: [acme]}") + subscribe("acme-app", "g17-c"), check: func(t *testing.T, n *node) {
			t.Helper()
			var order []string
			for _, s := range n.explain(call{target: "/g17"}).Steps {
				if s.Plan != "" && s.Step == "presented" {
					order = append(order, s.Plan)
				}
			}
			if got := strings.Join(order, " "); got != "g17-c g17-b" {
				t.Errorf("asked before the keyless plan: %s", got)
			}
			n.probe(pass("subscribed", "g17-c", "/g17", bearer(good)))
			n.probe(deny("not subscribed", 403, "subscription_not_found", "/g17", bearer(other)))
		}},
		{
			id: "18", what: "what a token's client is, when plans are chosen", theirs: "the client of the token, before it is verified", ours: "the client of the verified token", why: "nothing is looked up for a client that may be invented",
			setup: simple("g18", "acme"), probes: []probe{
				deny("forged, for a client without subscription", 401, "invalid_token", "/g18", bearer(forge(other))),
				deny("forged, for a subscribed client", 401, "invalid_token", "/g18", bearer(forge(good))),
			},
		},
		{id: "34", what: "a valid token and a subscription", theirs: "200, and the backend is called once", setup: simple("g34", "acme"), probes: []probe{pass("good", "g34-jwt", "/g34", bearer(good))}},
		unauthorized,
		{
			id: "36", what: "a valid token without subscription, or with one that has ended; an expired token", theirs: "401 each", ours: "403 `subscription_not_found`, 403 `subscription_inactive`, 401 `token_expired`", why: "who is refused should know whether a new token would help",
			setup: simple("g36", "acme") + dated("other", "g36-jwt", "ends_at: "+at(-60)), probes: []probe{
				deny("no subscription", 403, "subscription_not_found", "/g36", bearer(rs.token("acme", object{"azp": "nobody"}))),
				deny("it has ended", 403, "subscription_inactive", "/g36", bearer(other)),
				deny("expired token", 401, "token_expired", "/g36", bearer(rs.token("acme", object{"exp": time.Now().Unix() - 60}))),
			},
		},
		{
			id: "37", what: "the client id is inside an object (`client_id_claims: [app.id]`)", theirs: "200 with a subscription; a wrong or missing value is 401", ours: "the same, but 403 `subscription_not_found`", why: "as in row 8",
			setup: strings.Replace(issuer("g37nested", "{hmac_secrets: [{value: \""+secret+"\"}]}", "client_id_claims: [app.id]"), `"app"`, `"nested"`, 1) +
				simple("g37", "acme") + plan("g37-nested", "JWT", "jwt: {issuers: [g37nested]}") + subscribe("g37nested-app", "g37-nested"),
			probes: []probe{
				pass("nested", "g37-nested", "/g37", bearer(key{alg: "HS256", secret: secret}.token("g37nested", object{"app": object{"id": "nested"}}))),
				deny("wrong", 403, "subscription_not_found", "/g37", bearer(key{alg: "HS256", secret: secret}.token("g37nested", object{"app": object{"id": "x"}}))),
				deny("leaf absent", 403, "subscription_not_found", "/g37", bearer(key{alg: "HS256", secret: secret}.token("g37nested", object{"app": object{}}))),
				pass("the flat plan of the same Api", "g37-jwt", "/g37", bearer(good)),
			},
		},
		{
			id: "38", what: "a keyless and a JWT plan", theirs: "keyless serves requests without a Bearer credential, and a valid token whose selection rule does not hold; `Bearer` and junk are 401",
			ours: "keyless serves requests without a Bearer credential only: a token whose plan is not selected is 401, `Bearer` alone 400", why: "a credential that is presented is never ignored; who wants to be anonymous sends none",
			setup: simple("g38", "acme") + plan("g38-free", "KEYLESS") + api("g38r") + plan("g38r-jwt", "JWT", "jwt: {issuers: [acme]}", `selection_rule: "'x-select' in request.headers"`) + plan("g38r-free", "KEYLESS") + subscribe("acme-app", "g38r-jwt"),
			probes: []probe{
				pass("nothing", "g38-free", "/g38"),
				pass("an API key, which no plan takes", "g38-free", "/g38", apiKey),
				pass("empty", "g38-free", "/g38", "Authorization:"),
				pass("Basic", "g38-free", "/g38", basic),
				deny("junk", 401, "invalid_token", "/g38", junk),
				deny("Bearer alone", 400, "invalid_request", "/g38", "Authorization: Bearer"),
				pass("a token", "g38-jwt", "/g38", bearer(good)),
				pass("a token, selected", "g38r-jwt", "/g38r", bearer(good), "X-Select: 1"),
				deny("a token, not selected", 401, "invalid_token", "/g38r", bearer(good)),
			},
		},
		{
			id: "39", what: "a keyless, an API key and a JWT plan", theirs: "each kind of credential selects its plan; a wrong one is 401, never keyless",
			setup: simple("g39", "acme") + plan("g39-free", "KEYLESS") + plan("g39-key", "API_KEY") + subscribe("keyed", "g39-key"), probes: []probe{
				pass("nothing", "g39-free", "/g39"),
				pass("token", "g39-jwt", "/g39", bearer(good)),
				pass("API key", "g39-key", "/g39", apiKey),
				deny("wrong key", 401, "invalid_api_key", "/g39", "X-Api-Key: x"),
				deny("wrong token", 401, "invalid_token", "/g39", junk),
				deny("both", 400, "invalid_request", "/g39", apiKey, bearer(good)),
			},
		},
		{
			id: "40", what: "three JWT plans of one issuer and three applications, without rules", theirs: "each token is served by the plan of its own subscription",
			setup: api("g40") + plan("g40-a", "JWT", "jwt: {issuers: [acme]}") + plan("g40-b", "JWT", "jwt: {issuers: [acme]}") + plan("g40-c", "JWT", "jwt: {issuers: [acme]}") +
				application("third", "acme third-app") + subscribe("acme-app", "g40-b") + subscribe("other", "g40-c") + subscribe("third", "g40-a"),
			probes: []probe{
				pass("first", "g40-b", "/g40", bearer(good)), pass("second", "g40-c", "/g40", bearer(other)),
				pass("third", "g40-a", "/g40", bearer(rs.token("acme", object{"azp": "third-app"}))),
			},
		},
		{id: "41", what: "an invalid token on an Api of several plans", theirs: "401", setup: simple("g41", "acme") + plan("g41-b", "JWT", "jwt: {issuers: [acme]}", "order: 2") + plan("g41-key", "API_KEY"), probes: []probe{
			deny("forged", 401, "invalid_token", "/g41", bearer(forge(good))),
		}},
		{
			id: "42", what: "which plan has the say", theirs: "the first that fits, and no other: what it refuses is refused", setup: api("g42") + plan("g42-a", "JWT", "jwt: {issuers: [acme], scopes: {all: [x]}}", "order: 1") +
				plan("g42-b", "JWT", "jwt: {issuers: [acme]}", "order: 2") + subscribe("acme-app", "g42-a", "g42-b") + api("g42n") + plan("g42n-a", "JWT", "jwt: {issuers: [acme]}", `selection_rule: "false"`),
			probes: []probe{
				deny("the first refuses", 403, "insufficient_scope", "/g42", bearer(good)),
				pass("the first allows", "g42-a", "/g42", bearer(rs.token("acme", object{"scope": "x"}))),
				deny("none fits", 401, "invalid_token", "/g42n", bearer(good)),
				deny("none fits, nothing presented", 401, "missing_credentials", "/g42n"),
			},
		},
		{
			id: "43", what: "selection rules and subscriptions of a plan", theirs: "the plan has a say if its rule holds and the client's subscription is to this plan and in its dates; not if the rule fails to evaluate; `validateSubscription: false` skips the subscription",
			setup: api("g43") + plan("g43-a", "JWT", "jwt: {issuers: [acme]}", `selection_rule: "request.headers['x-plan'] == 'a'"`) + plan("g43-b", "JWT", "jwt: {issuers: [acme]}", `selection_rule: "request.query['plan'] == 'b'"`) +
				subscribe("acme-app", "g43-a", "g43-b") + subscribe("other", "g43-b") + simple("g43n", "acme") + plan("g43n-open", "JWT", "jwt: {issuers: [acme]}", "require_subscription: false", `selection_rule: "'x-open' in request.headers"`),
			probes: []probe{
				pass("rule a", "g43-a", "/g43", bearer(good), "X-Plan: a"),
				pass("rule b", "g43-b", "/g43?plan=b", bearer(good)),
				deny("no rule holds", 401, "invalid_token", "/g43?plan=c", bearer(good), "X-Plan: c"),
				deny("a rule that cannot be evaluated", 401, "invalid_token", "/g43", bearer(good)),
				deny("subscribed to the other plan", 403, "subscription_not_found", "/g43", bearer(other), "X-Plan: a"),
				deny("not subscribed", 403, "subscription_not_found", "/g43n", bearer(other)),
				pass("no subscription asked", "g43n-open", "/g43n", bearer(other), "X-Open: 1"),
			},
		},
		{
			id: "46", what: "the dates of a subscription", theirs: "not started or ended: none; between, or without dates: good", setup: api("g46") + plan("g46-a", "JWT", "jwt: {issuers: [acme]}", `selection_rule: "'x-a' in request.headers"`) + plan("g46-b", "JWT", "jwt: {issuers: [acme]}", `selection_rule: "'x-b' in request.headers"`) +
				plan("g46-c", "JWT", "jwt: {issuers: [acme]}", `selection_rule: "'x-c' in request.headers"`) + dated("acme-app", "g46-a", "starts_at: "+at(600)) + dated("acme-app", "g46-b", "ends_at: "+at(-1)) +
				dated("acme-app", "g46-c", "starts_at: "+at(-600)+"\nends_at: "+at(600)),
			probes: []probe{
				deny("not started", 403, "subscription_inactive", "/g46", bearer(good), "X-A: 1"),
				deny("ended", 403, "subscription_inactive", "/g46", bearer(good), "X-B: 1"),
				pass("between", "g46-c", "/g46", bearer(good), "X-C: 1"),
			},
		},
	}
}

// forge changes the last but one character of a token's signature.
func forge(token string) string {
	i := len(token) - 10
	c := byte('A')
	if token[i] == c {
		c = 'B'
	}
	return token[:i] + string(c) + token[i+1:]
}

// graviteeLife are the rows in which something changes while the node runs. Each has a node of its own.
func graviteeLife(rs key) []row {
	good := call{target: "/life", header: []string{bearer(rs.token("acme", nil))}}
	renamed := call{target: "/life", header: []string{bearer(rs.token("acme", object{"azp": "renamed"}))}}
	return []row{
		{
			id: "45", what: "an application's client id changes, or its subscription is closed", theirs: "the old client id is refused and the new one served; a subscription that is not accepted entitles to nothing", check: func(t *testing.T, _ *node) {
				t.Helper()
				common := graviteeCommon(t)
				n := start(t, common, simple("life", "acme"))
				n.probe(probe{say: "before", call: good, status: 200, reason: "", plan: "life-jwt"})
				n.write(strings.Replace(common, `"app"`, `"renamed"`, 1), simple("life", "acme"))
				n.until("renamed", func() bool { return n.ask(renamed).status == http.StatusOK })
				n.probe(probe{say: "the old client id", call: good, status: 403, reason: "subscription_not_found", plan: ""})
				n.write(common, simple("life", "acme")+"status: PAUSED\n")
				n.until("paused", func() bool { return n.ask(good).reason() == "subscription_inactive" })
				n.write(common, api("life"), plan("life-jwt", "JWT", "jwt: {issuers: [acme]}"))
				n.until("gone", func() bool { return n.ask(good).reason() == "subscription_not_found" })
			},
		},
		{
			id: "47", what: "a plan is published or closed", theirs: "it takes effect when the Api is deployed again: a closed keyless plan goes on serving until then",
			ours: "it takes effect at once, on every node", why: "closing a plan is how access is taken away",
			check: func(t *testing.T, _ *node) {
				t.Helper()
				common := graviteeCommon(t)
				n := start(t, common, simple("life", "acme"), plan("life-free", "KEYLESS"))
				free := call{target: "/life"}
				n.probe(probe{say: "keyless", call: free, status: 200, reason: "", plan: "life-free"})
				n.write(common, simple("life", "acme"), strings.Replace(plan("life-free", "KEYLESS"), "PUBLISHED", "STAGING", 1))
				n.until("staged again", func() bool { return n.ask(free).reason() == "missing_credentials" })
				n.probe(probe{say: "the other plan", call: good, status: 200, reason: "", plan: "life-jwt"})
				n.write(common, simple("life", "acme"), strings.Replace(plan("life-free", "KEYLESS"), "PUBLISHED", "DEPRECATED", 1))
				n.until("deprecated plans serve", func() bool { return n.ask(free).status == http.StatusOK })
			},
		},
	}
}
