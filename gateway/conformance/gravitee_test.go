package conformance_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// graviteeCommon are the issuer and keys that most rows use.
func graviteeCommon(t *testing.T) string {
	t.Helper()
	return issuer("acme", "{pem: ["+spki(t, "rsa")+"]}") + application("other", "acme other-app") +
		"---\nkind: Application\nid: keyed\nname: keyed\napi_keys: [{id: k1, sha256: " + sha("hello") + "}]\n"
}

func TestGravitee(t *testing.T) {
	rs := key{alg: "RS256", private: pair(t, "rsa")}
	rows := graviteeTokens(t, rs)
	rows = append(rows, graviteeKeys(t, rs)...)
	rows = append(rows, graviteePlans(rs)...)
	rows = append(rows, graviteeLife(rs)...)
	rows = append(rows, graviteeBound(t, rs)...)
	run(t, graviteeCommon(t), rows)
	document{name: "gravitee", title: "Gravitee APIM 4", rows: rows, elsewhere: []elsewhere{
		{"21, 22", "the list of revoked tokens: how it is loaded, kept and configured", "there is no list to load: revocations are resources and part of every node's state"},
		{"28, 29", "how key sets are fetched and kept", "tested in shared/jwks; what differs is in row 27"},
		{"30, 31", "which of its classes and caches Gravitee uses", "the inside of another program; that a cached token never outlives its key is tested in gateway/internal/authn"},
		{"44", "the order of texts of its detailed 401", "answers never tell a caller more than a reason; an operator asks POST /explain"},
		{"48", "errors of the portal", "there is no portal in the gateway"},
		{"49", "sharding tags", "there are none: a node serves what its control plane has"},
	}}.verify(t)
}

func graviteeTokens(t *testing.T, rs key) []row {
	t.Helper()
	good := rs.token("acme", nil)
	unsigned := b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(mustJSON(claims("acme", nil)))) + "."
	return []row{
		{id: "1", what: "a request without a token", theirs: "there is none: 401", setup: simple("g1", "acme"), probes: []probe{
			deny("nothing", 401, "missing_credentials", "/g1"),
		}},
		{id: "2", what: "`Authorization: Basic x`", theirs: "no token: 401", setup: simple("g2", "acme"), probes: []probe{
			deny("Basic", 401, "missing_credentials", "/g2", "Authorization: Basic x"),
		}},
		{
			id: "3", what: "`Authorization: Bearer` and nothing behind it", theirs: "an empty token, which is invalid: 401",
			ours: "400 `invalid_request` (401 with `error_format: GRAVITEE`)", why: "a malformed request is 400 by RFC 6750 section 3.1",
			setup: simple("g3", "acme"), probes: []probe{deny("alone", 400, "invalid_request", "/g3", "Authorization: Bearer")},
		},
		{
			id: "4", what: "`Bearer t`, `bearer t`, and `Bearert` without the blank", theirs: "t is the token in all three",
			ours: "t is the token in the first two; `Bearert` is another scheme, so there is no token: 401", why: "RFC 9110 section 11.4 asks for a blank behind the scheme",
			setup: simple("g4", "acme"), probes: []probe{
				pass("Bearer", "g4-jwt", "/g4", bearer(good)),
				pass("bearer", "g4-jwt", "/g4", "Authorization: bearer "+good),
				deny("no blank", 401, "missing_credentials", "/g4", "Authorization: Bearer"+good),
			},
		},
		{
			id: "5", what: "the query parameter `access_token`", theirs: "it is taken where the header has no token, and sent on to the backend",
			ours: "only where a plan says so (`token_from`), and then it is taken out of the query", why: "a token in a URL ends up in logs and in Referer (RFC 6750 section 5.3)",
			setup: simple("g5", "acme") + simple("g5q", "acme", `token_from: "request.query['access_token']"`), probes: []probe{
				deny("by default", 401, "missing_credentials", "/g5?access_token="+good),
				pass("where the plan says so", "g5q-jwt", "/g5q/x?a=1&access_token="+good).sending(func(r *received) string {
					if r.target != "/x?a=1" {
						return "the target is " + r.target
					}
					return ""
				}),
			},
		},
		{
			id: "6", what: "the client is in `azp`, `aud`, `client_id` or a configured claim", theirs: "each is found; the user is `sub`",
			ours: "`azp`, `client_id` and configured claims are; `aud` only if it is configured and one, as a string or in a list", why: "an audience names who a token is for, not who has it; and which of several would be the client?",
			setup: simple("g6", "acme") + issuer("g6aud", "{pem: ["+spki(t, "rsa")+"]}", "client_id_claims: [aud]") + simple("g6b", "g6aud"), probes: []probe{
				pass("azp", "g6-jwt", "/g6", bearer(good)),
				pass("client_id", "g6-jwt", "/g6", bearer(rs.token("acme", object{"azp": absent{}, "client_id": "app"}))),
				deny("aud", 403, "subscription_not_found", "/g6", bearer(rs.token("acme", object{"azp": absent{}, "aud": "app"}))),
				pass("aud, configured", "g6b-jwt", "/g6b", bearer(rs.token("g6aud", object{"azp": absent{}, "aud": "app"}))),
				pass("aud, a list of one", "g6b-jwt", "/g6b", bearer(rs.token("g6aud", object{"azp": absent{}, "aud": []string{"app"}}))),
				deny("aud, a list of two", 403, "subscription_not_found", "/g6b", bearer(rs.token("g6aud", object{"azp": absent{}, "aud": []string{"app", "other"}}))),
			},
		},
		{
			id: "7", what: "a token with several claims that could name the client", theirs: "a configured claim goes before `azp`, that before `aud`, that before `client_id`",
			ours: "a configured list of claims in its order, else `azp` before `client_id`; `aud` does not stand in between", why: "a token with `aud` keeps its `client_id`, which Gravitee users have asked for",
			setup: simple("g7", "acme") + issuer("g7own", "{pem: ["+spki(t, "rsa")+"]}", "client_id_claims: [app_id]") + simple("g7b", "g7own"), probes: []probe{
				pass("azp wins", "g7-jwt", "/g7", bearer(rs.token("acme", object{"aud": "x", "client_id": "y"}))),
				pass("client_id beside aud", "g7-jwt", "/g7", bearer(rs.token("acme", object{"azp": absent{}, "aud": "x", "client_id": "app"}))),
				pass("configured", "g7b-jwt", "/g7b", bearer(rs.token("g7own", object{"azp": "x", "app_id": "app"}))),
				deny("configured and absent: nothing else is tried", 403, "subscription_not_found", "/g7b", bearer(rs.token("g7own", nil))),
			},
		},
		{
			id: "8", what: "a good token that names no client", theirs: "401", ours: "403 `subscription_not_found`", why: "the token is good; what is missing is the right to call",
			setup: simple("g8", "acme"), probes: []probe{deny("no client", 403, "subscription_not_found", "/g8", bearer(rs.token("acme", object{"azp": absent{}})))},
		},
		{
			id: "9", what: "a configured claim with a dot in its name", theirs: "a claim of that very name goes before a path into objects",
			setup: simple("g9", "acme", "claims_to_headers: [{claim: user.name, header: X-User}]"), probes: []probe{
				pass("nested", "g9-jwt", "/g9", bearer(rs.token("acme", object{"user": object{"name": "nested"}}))).sending(has("X-User", "nested")),
				pass("flat wins", "g9-jwt", "/g9", bearer(rs.token("acme", object{"user": object{"name": "nested"}, "user.name": "flat"}))).sending(has("X-User", "flat")),
			},
		},
		{
			id: "10", what: "claims for later steps", theirs: "with `extractClaims`, the policies of a flow can read them", ours: "claim rules, limit keys and `claims_to_headers` can always read them",
			why: "there are no flows; what a flow would do with claims has fields of its own", setup: simple("g10", "acme", "claims_to_headers: [{claim: sub, header: X-User}]", "claim_rules: [{claim: sub, expression: \"claims.sub == 'alice'\"}]"),
			probes: []probe{
				pass("a header and a rule", "g10-jwt", "/g10", bearer(good)).sending(has("X-User", "alice")),
				deny("the rule", 403, "claim_rule_failed", "/g10", bearer(rs.token("acme", object{"sub": "bob"}))),
			},
		},
		{
			id: "11", what: "whether the token reaches the backend", theirs: "it does, unless `propagateAuthHeader` is false", ours: "it does not, unless `forward_token` is true", why: "a backend that does not need the token should not be able to use it elsewhere",
			setup: simple("g11", "acme") + simple("g11f", "acme", "forward_token: true"), probes: []probe{
				pass("by default", "g11-jwt", "/g11", bearer(good)).sending(has("Authorization", "")),
				pass("forward_token", "g11f-jwt", "/g11f", bearer(good)).sending(has("Authorization", "Bearer "+good)),
			},
		},
		{id: "12", what: "no header, or a token that does not verify", theirs: "401", setup: simple("g12", "acme"), probes: []probe{
			deny("nothing", 401, "missing_credentials", "/g12"),
			deny("another key", 401, "invalid_token", "/g12", bearer(key{alg: "RS256", private: pair(t, "rsa#2")}.token("acme", nil))),
		}},
		{id: "13", what: "an unsigned token", theirs: "401", setup: simple("g13", "acme"), probes: []probe{deny("none", 401, "invalid_token", "/g13", bearer(unsigned))}},
		{
			id: "14", what: "an expired token", theirs: "401 after 60 s of grace", ours: "401 `token_expired` after 30 s of grace, or what `clock_skew` says; 0s: at once", why: "a clock that is a second off must not refuse fresh tokens, and clocks are mostly better than a minute",
			setup: simple("g14", "acme") + issuer("g14none", "{pem: ["+spki(t, "rsa")+"]}", "clock_skew: 0s") + simple("g14n", "g14none") + issuer("g14skew", "{pem: ["+spki(t, "rsa")+"]}", "clock_skew: 60s") + simple("g14s", "g14skew"), probes: []probe{
				pass("5 s ago", "g14-jwt", "/g14", bearer(rs.token("acme", object{"exp": time.Now().Unix() - 5}))),
				deny("40 s ago", 401, "token_expired", "/g14", bearer(rs.token("acme", object{"exp": time.Now().Unix() - 40}))),
				pass("from a clock that is 5 s ahead", "g14-jwt", "/g14", bearer(rs.token("acme", object{"iat": time.Now().Unix() + 5, "nbf": time.Now().Unix() + 5}))),
				deny("5 s ago, without skew", 401, "token_expired", "/g14n", bearer(rs.token("g14none", object{"exp": time.Now().Unix() - 5}))),
				pass("40 s ago, with skew", "g14s-jwt", "/g14s", bearer(rs.token("g14skew", object{"exp": time.Now().Unix() - 40}))),
				deny("70 s ago, with skew", 401, "token_expired", "/g14s", bearer(rs.token("g14skew", object{"exp": time.Now().Unix() - 70}))),
			},
		},
		{id: "15", what: "a token of an issuer that is not known", theirs: "401", setup: simple("g15", "acme"), probes: []probe{
			deny("unknown", 401, "invalid_token", "/g15", bearer(rs.token("nobody", nil))),
			deny("no iss", 401, "invalid_token", "/g15", bearer(rs.token("acme", object{"iss": absent{}}))),
		}},
		{
			id: "16", what: "no key is configured", theirs: "deployed; every token gets 401", ours: "the configuration is refused", why: "a plan that can let nobody in is a mistake, best told to who makes it",
			check: func(t *testing.T, _ *node) {
				t.Helper()
				if fault := refused(t, issuer("acme", "{}"), simple("x", "acme")); !strings.Contains(fault, "keys") {
					t.Errorf("refused with %s", fault)
				}
			},
		},
		{
			id: "19", what: "required scopes", theirs: "401 when they are not met; `scope` as text or list, or `scp`", ours: "403 `insufficient_scope` with the scopes in the challenge", why: "RFC 6750 section 3.1",
			setup: simple("g19", "acme", "scopes: {all: [read, write]}") + simple("g19a", "acme", "scopes: {any: [read, write]}"), probes: []probe{
				deny("none", 403, "insufficient_scope", "/g19", bearer(good)),
				deny("one of two", 403, "insufficient_scope", "/g19", bearer(rs.token("acme", object{"scope": "read"}))),
				pass("all", "g19-jwt", "/g19", bearer(rs.token("acme", object{"scope": "write read more"}))),
				pass("a list", "g19-jwt", "/g19", bearer(rs.token("acme", object{"scope": []string{"write", "read"}}))),
				pass("scp", "g19-jwt", "/g19", bearer(rs.token("acme", object{"scp": []string{"write", "read"}}))),
				pass("one is enough", "g19a-jwt", "/g19a", bearer(rs.token("acme", object{"scope": "write"}))),
				deny("none of them", 403, "insufficient_scope", "/g19a", bearer(rs.token("acme", object{"scope": "other"}))),
			},
			check: func(t *testing.T, n *node) {
				t.Helper()
				if c := n.ask(call{target: "/g19", header: []string{bearer(good)}}).header.Get("WWW-Authenticate"); !strings.Contains(c, `error="insufficient_scope"`) || !strings.Contains(c, `scope="read write"`) {
					t.Errorf("challenge %s", c)
				}
			},
		},
		{
			id: "20", what: "a revoked `jti`", theirs: "401; but every token passes while the list could not be loaded", ours: "401 `token_revoked`, always", why: "a node is ready only when it knows the revocations",
			setup: simple("g20", "acme") + "---\nkind: Revocation\nid: r20\nissuer: acme\njti: revoked\n", probes: []probe{
				deny("revoked", 401, "token_revoked", "/g20", bearer(rs.token("acme", object{"jti": "revoked"}))),
				pass("another", "g20-jwt", "/g20", bearer(good)),
				pass("none", "g20-jwt", "/g20", bearer(rs.token("acme", object{"jti": absent{}}))),
			},
		},
		{
			id: "23", what: "`WWW-Authenticate`", theirs: "a bare `Bearer`, and only if no plan was chosen", ours: "on every 401 and on 403 of tokens, with realm and error code", why: "RFC 9110 section 15.5.2 and RFC 6750 section 3",
			setup: simple("g23", "acme"), check: func(t *testing.T, n *node) {
				t.Helper()
				for want, header := range map[string][]string{`Bearer realm="portcullis"`: nil, `Bearer realm="portcullis", error="invalid_token", error_description="The token is not valid for this API."`: {bearer("a.b.c")}} {
					if got := n.ask(call{target: "/g23", header: header}).header.Values("WWW-Authenticate"); len(got) != 1 || got[0] != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
			},
		},
		{
			id: "32", what: "the header's `typ`", theirs: "any, or none, unless a list of types is configured; then 401 for others", ours: "the same, but known other kinds of token (`dpop+jwt`, `logout+jwt` …) are refused without a list, too", why: "RFC 8725 section 3.11: a token of one kind must not pass for another",
			setup: simple("g32", "acme") + issuer("g32typ", "{pem: ["+spki(t, "rsa")+"]}", "token_types: [at+jwt]") + simple("g32t", "g32typ"), probes: []probe{
				pass("none", "g32-jwt", "/g32", bearer(rs.sign(rs.header(object{"typ": absent{}}), mustJSON(claims("acme", nil))))),
				pass("JWS", "g32-jwt", "/g32", bearer(rs.sign(rs.header(object{"typ": "JWS"}), mustJSON(claims("acme", nil))))),
				deny("another kind", 401, "invalid_token", "/g32", bearer(rs.sign(rs.header(object{"typ": "logout+jwt"}), mustJSON(claims("acme", nil))))),
				pass("configured", "g32t-jwt", "/g32t", bearer(rs.sign(rs.header(object{"typ": "application/AT+jwt"}), mustJSON(claims("g32typ", nil))))),
				deny("not the one that is configured", 401, "invalid_token", "/g32t", bearer(rs.token("g32typ", nil))),
				deny("none, and one is configured", 401, "invalid_token", "/g32t", bearer(rs.sign(rs.header(object{"typ": absent{}}), mustJSON(claims("g32typ", nil))))),
			},
		},
	}
}

func graviteeKeys(t *testing.T, rs key) []row {
	t.Helper()
	sizes := row{
		id: "25", what: "keys that are given: RSA of 2048 bits and more with RS256, 384 and 512, and secrets", theirs: "all verify; `ssh-rsa` is read, too; a bad key is a warning, and its tokens get 401; a secret that happens to be Base64 is decoded",
		ours: "all verify, and EC, Ed25519, Ed448 and PSS besides; a bad key or an `ssh-rsa` line is refused with the configuration; how a secret is written is said (`encoding`)", why: "a guess about key material is a way in for others",
		setup: issuer("g25rsa", "{pem: ["+spki(t, "rsa")+", "+spki(t, "rsa-3072")+", "+spki(t, "p256")+", "+spki(t, "ed25519")+"]}") + simple("g25", "g25rsa") +
			issuer("g25raw", "{hmac_secrets: [{value: \""+secret+"\"}]}") + simple("g25r", "g25raw") +
			issuer("g25b64", "{hmac_secrets: [{value: "+b64std(secret)+", encoding: BASE64}]}") + simple("g25b", "g25b64"),
	}
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256"} {
		for _, k := range []string{"rsa", "rsa-3072"} {
			sizes.probes = append(sizes.probes, pass(alg+" "+k, "g25-jwt", "/g25", bearer(key{alg: alg, private: pair(t, k)}.token("g25rsa", nil))))
		}
	}
	sizes.probes = append(sizes.probes, pass("ES256", "g25-jwt", "/g25", bearer(key{alg: "ES256", private: pair(t, "p256")}.token("g25rsa", nil))),
		pass("EdDSA", "g25-jwt", "/g25", bearer(key{alg: "EdDSA", private: pair(t, "ed25519")}.token("g25rsa", nil))))
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		sizes.probes = append(sizes.probes, pass(alg, "g25r-jwt", "/g25r", bearer(key{alg: alg, secret: secret}.token("g25raw", nil))),
			pass(alg+" Base64", "g25b-jwt", "/g25b", bearer(key{alg: alg, secret: secret}.token("g25b64", nil))))
	}
	sizes.check = func(t *testing.T, _ *node) {
		t.Helper()
		for _, keys := range []string{"{pem: [bm8ga2V5]}", `{pem: ["ssh-rsa AAAAB3NzaC1yc2E= me"]}`, "{hmac_secrets: [{value: short}]}", "{pem: [" + spki(t, "rsa-1024") + "]}"} {
			if fault := refused(t, issuer("acme", keys), simple("x", "acme")); !strings.Contains(fault, "keys.") {
				t.Errorf("%s is refused with %s", keys, fault)
			}
		}
	}
	return []row{
		sizes,
		{
			id: "26", what: "several issuers, each with several keys that are given", theirs: "each key of the token's issuer is tried, whatever `kid` says",
			setup: issuer("g26a", "{pem: ["+spki(t, "rsa")+", "+spki(t, "rsa#2")+"]}") + issuer("g26b", "{pem: ["+spki(t, "rsa#3")+"]}") +
				api("g26") + plan("g26-jwt", "JWT", "jwt: {issuers: [g26a, g26b]}") + subscribe("g26a-app", "g26-jwt") + subscribe("g26b-app", "g26-jwt"),
			probes: []probe{
				pass("the first", "g26-jwt", "/g26", bearer(rs.token("g26a", nil))),
				pass("the second", "g26-jwt", "/g26", bearer(key{alg: "RS256", kid: "whatever", private: pair(t, "rsa#2")}.token("g26a", nil))),
				pass("another issuer's", "g26-jwt", "/g26", bearer(key{alg: "RS256", private: pair(t, "rsa#3")}.token("g26b", nil))),
				deny("a key of the other issuer", 401, "invalid_token", "/g26", bearer(key{alg: "RS256", private: pair(t, "rsa#3")}.token("g26a", nil))),
			},
		},
		graviteeJWKS(t),
	}
}

// graviteeJWKS has a key server of its own, and one that never answers well.
func graviteeJWKS(t *testing.T) row {
	t.Helper()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, jwks(t, jwk(t, "rsa", "one"), jwk(t, "rsa#2", "two"), jwk(t, "p256", "")))
	}))
	t.Cleanup(good.Close)
	down := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(down.Close)
	rs := func(kid, name string) key { return key{alg: "RS256", kid: kid, private: pair(t, name)} }
	return row{
		id: "27", what: "keys from a JWKS URL", theirs: "found by `kid` and type; an unknown `kid` is 401; when the set cannot be had at first, 500 after a fetch for each request",
		ours: "the same, but 503 with `Retry-After` while no set was ever had, and requests never fetch", why: "the token may be good; and callers must not be able to make a node fetch",
		setup: issuer("g27url", "{jwks_urls: ["+good.URL+"]}") + simple("g27", "g27url") + issuer("g27down", "{jwks_urls: ["+down.URL+"]}") + simple("g27d", "g27down"),
		check: func(_ *testing.T, n *node) {
			first := call{target: "/g27", header: []string{bearer(rs("one", "rsa").token("g27url", nil))}}
			n.until("keys fetched", func() bool { return n.ask(first).status == 200 })
			n.probe(pass("by kid", "g27-jwt", "/g27", bearer(rs("two", "rsa#2").token("g27url", nil))))
			n.probe(pass("without kid", "g27-jwt", "/g27", bearer(rs("", "rsa#2").token("g27url", nil))))
			n.probe(deny("unknown kid", 401, "invalid_token", "/g27", bearer(rs("three", "rsa").token("g27url", nil))))
			n.probe(deny("kid of another key", 401, "invalid_token", "/g27", bearer(rs("two", "rsa").token("g27url", nil))))
			p := deny("never fetched", 503, "keys_unavailable", "/g27d", bearer(rs("one", "rsa").token("g27down", nil)))
			n.probe(p)
			if got := n.ask(p.call); got.header.Get("Retry-After") == "" {
				n.t.Error("503 without Retry-After")
			}
		},
	}
}
