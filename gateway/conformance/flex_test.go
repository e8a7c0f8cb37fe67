package conformance_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestFlex(t *testing.T) {
	rs := key{alg: "RS256", private: pair(t, "rsa")}
	common := issuer("acme", "{pem: ["+spki(t, "rsa")+"]}")
	rows := append(flexKeys(t, rs), flexClaims(t, rs)...)
	run(t, common, rows)
	document{name: "flex", title: "jwt-validation-flex", rows: rows, elsewhere: []elsewhere{
		{"-", "customKeyExpression", "keys come from an issuer's configuration only; an expression over the request that gives a key would let the request choose it"},
		{"-", "other policies of Flex", "what they do is in a plan's restrictions, or not here at all"},
	}}.verify(t)
}

// flexFormat is an Api that answers as Flex does.
func flexFormat(resources string) string {
	return strings.Replace(resources, "context_path:", "error_format: FLEX\ncontext_path:", 1)
}

func flexKeys(t *testing.T, rs key) []row {
	t.Helper()
	good := rs.token("acme", nil)
	es := func(alg, name string) key { return key{alg: alg, private: pair(t, name)} }
	serve := func(name, kid string) *httptest.Server {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, jwks(t, jwk(t, name, kid))) }))
		t.Cleanup(server.Close)
		return server
	}
	one, two := serve("rsa", "one"), serve("rsa#2", "two")
	down := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(down.Close)
	return []row{
		{id: "1", what: "`jwtOrigin: httpBearerAuthenticationHeader`", theirs: "the bearer token; 400 when there is none, with `error_format: FLEX`", setup: flexFormat(simple("f1", "acme")), probes: []probe{
			pass("bearer", "f1-jwt", "/f1", bearer(good)),
			deny("none", 400, "", "/f1"),
			deny("bad", 401, "", "/f1", bearer("junk")),
		}},
		{id: "2", what: "`jwtOrigin: customExpression` with `jwtExpression`", theirs: "the token is what the expression gives (`token_from` of a plan, in CEL)", setup: simple("f2", "acme", `token_from: "request.headers['jwt']"`), probes: []probe{
			pass("there", "f2-jwt", "/f2", "jwt: "+good).sending(has("Jwt", "")),
			deny("not there", 401, "missing_credentials", "/f2"),
		}},
		{
			id: "3", what: "`signingMethod: rsa, hmac, es`", theirs: "a token of another family is 401", ours: "the family follows from the issuer's keys; `algorithms` narrows it", why: "so that no setting can contradict the key",
			setup: issuer("f3hs", "{hmac_secrets: [{value: \""+secret+"\"}]}") + issuer("f3es", "{pem: ["+spki(t, "p256")+"]}") + simple("f3", "acme") + simple("f3h", "f3hs") + simple("f3e", "f3es"), probes: []probe{
				pass("rsa", "f3-jwt", "/f3", bearer(good)), pass("hmac", "f3h-jwt", "/f3h", bearer(key{alg: "HS256", secret: secret}.token("f3hs", nil))), pass("es", "f3e-jwt", "/f3e", bearer(es("ES256", "p256").token("f3es", nil))),
				deny("hmac for rsa", 401, "invalid_token", "/f3", bearer(key{alg: "HS256", secret: secret}.token("acme", nil))),
				deny("rsa for es", 401, "invalid_token", "/f3e", bearer(rs.token("f3es", nil))),
			},
		},
		{
			id: "4", what: "`signingMethod: none`", theirs: "signatures are not checked; signed and unsigned tokens pass", ours: "there is no such setting: `algorithms: [none]` is refused", why: "a gateway that believes anybody protects nothing",
			setup: simple("f4", "acme"), probes: []probe{deny("unsigned", 401, "invalid_token", "/f4", bearer(b64([]byte(`{"alg":"none"}`))+"."+strings.Split(good, ".")[1]+"."))},
			check: func(t *testing.T, _ *node) {
				t.Helper()
				if fault := refused(t, issuer("acme", "{pem: ["+spki(t, "rsa")+"]}", "algorithms: [none]"), simple("x", "acme")); !strings.Contains(fault, "algorithms") {
					t.Errorf("refused with %s", fault)
				}
			},
		},
		{
			id: "5", what: "`signingKeyLength: 256, 384, 512`", theirs: "the size of the hash; another is 401; ES512 not on Flex", ours: "RSA keys take every size unless `algorithms` says which; the size of ES follows from the curve; ES512 too", why: "the size of a hash is a property of `alg`, and is pinned there",
			setup: issuer("f5one", "{pem: ["+spki(t, "rsa")+"]}", "algorithms: [RS384]") + simple("f5", "f5one") + simple("f5a", "acme") + issuer("f5es", "{pem: ["+spki(t, "p384")+", "+spki(t, "p521")+"]}") + simple("f5e", "f5es"), probes: []probe{
				pass("384", "f5-jwt", "/f5", bearer(key{alg: "RS384", private: pair(t, "rsa")}.token("f5one", nil))),
				deny("256", 401, "invalid_token", "/f5", bearer(rs.token("f5one", nil))),
				pass("512, not pinned", "f5a-jwt", "/f5a", bearer(key{alg: "RS512", private: pair(t, "rsa")}.token("acme", nil))),
				pass("ES384", "f5e-jwt", "/f5e", bearer(es("ES384", "p384").token("f5es", nil))), pass("ES512", "f5e-jwt", "/f5e", bearer(es("ES512", "p521").token("f5es", nil))),
			},
		},
		{
			id: "6", what: "`jwtKeyOrigin: text` with `textKey`", theirs: "the body of a public key's PEM; certificates and PKCS#1 have to be converted; a secret is the text itself, of exactly 32, 48 or 64 characters",
			ours: "a public key, PKCS#1 key or certificate, with or without its armour; a secret has at least the size of the hash", why: "what an operator has at hand should work as it is",
			setup: issuer("f6cert", "{pem: ["+certificate(t, "rsa", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))+"]}") + simple("f6", "f6cert") + simple("f6a", "acme"), probes: []probe{
				pass("the body alone", "f6a-jwt", "/f6a", bearer(good)), pass("a certificate", "f6-jwt", "/f6", bearer(rs.token("f6cert", nil))),
			}, check: func(t *testing.T, _ *node) {
				t.Helper()
				if fault := refused(t, issuer("acme", "{hmac_secrets: [{value: your-(256/384/512)-bit-secret}]}"), simple("x", "acme")); !strings.Contains(fault, "keys.hmac_secrets") {
					t.Errorf("a secret of 29 bytes is refused with %s", fault)
				}
			},
		},
		{
			id: "7", what: "`jwtKeyOrigin: jwks` with `jwksUrl`, several separated by commas", theirs: "a key is looked for in all sets; what one server's failure takes away is its keys alone; 503 while no set was ever had, answered after a fetch on the first request",
			ours: "the same (`keys.jwks_urls`), but the sets are fetched ahead, and belong to one issuer", why: "a request should not wait for a fetch, nor one issuer's key be good for another's token",
			setup: issuer("f7", "{jwks_urls: ["+one.URL+", "+two.URL+", "+down.URL+"]}") + simple("f7a", "f7") + issuer("f7down", "{jwks_urls: ["+down.URL+"]}") + simple("f7d", "f7down"),
			check: func(_ *testing.T, n *node) {
				for _, k := range []key{{alg: "RS256", kid: "one", private: pair(t, "rsa")}, {alg: "RS256", kid: "two", private: pair(t, "rsa#2")}} {
					c := call{target: "/f7a", header: []string{bearer(k.token("f7", nil))}}
					n.until("keys fetched", func() bool { return n.ask(c).status == 200 })
				}
				n.probe(deny("never fetched", 503, "keys_unavailable", "/f7d", bearer(key{alg: "RS256", kid: "one", private: pair(t, "rsa")}.token("f7down", nil))))
			},
		},
		{
			id: "8", what: "`jwksServiceTimeToLive` (minutes), `jwksServiceConnectionTimeout` (milliseconds)", theirs: "how long a set is fresh, and how long a fetch may take; an expired set is used for as long as no new one can be had", ours: "`jwks.ttl`, `jwks.timeout`, and `max_stale` as a bound for expired sets (24 h)", why: "keys that nobody could confirm for a day may have been withdrawn",
			check: func(t *testing.T, _ *node) {
				t.Helper()
				var slow atomic.Bool
				var fetches atomic.Int64
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					fetches.Add(1)
					if slow.Load() {
						select {
						case <-r.Context().Done():
						case <-time.After(5 * time.Second):
						}
						return
					}
					fmt.Fprint(w, jwks(t, jwk(t, "rsa", "one")))
				}))
				t.Cleanup(server.Close)
				n := start(t, issuer("f8", "{jwks_urls: ["+server.URL+"]}", "jwks: {ttl: 10s, timeout: 100ms}"), simple("f8a", "f8"))
				c := call{target: "/f8a", header: []string{bearer(key{alg: "RS256", kid: "one", private: pair(t, "rsa")}.token("f8", nil))}}
				n.until("keys fetched", func() bool { return n.ask(c).status == 200 })
				slow.Store(true)
				n.until("fetched again when the time is over", func() bool { return fetches.Load() > 1 })
				if got := n.ask(c); got.status != 200 {
					t.Errorf("while the server hangs: %d %s", got.status, got.body)
				}
				if fault := refused(t, issuer("f8", "{jwks_urls: ["+server.URL+"]}", "jwks: {ttl: 1s}"), simple("x", "f8")); !strings.Contains(fault, "jwks.ttl") {
					t.Errorf("refused with %s", fault)
				}
			},
		},
	}
}

func flexClaims(t *testing.T, rs key) []row {
	t.Helper()
	good, unknown := rs.token("acme", nil), rs.token("acme", object{"azp": "unknown"})
	keys := "{pem: [" + spki(t, "rsa") + "]}"
	now := time.Now().Unix()
	rules := `claim_rules: [{claim: role, mandatory: true, expression: "claims.role == 'Member'"}, {claim: tenant, mandatory: true, equals: acme}, {claim: level, expression: "claims.level >= 2"}]`
	return []row{
		{id: "9", what: "`skipClientIdValidation: true`", theirs: "any client with a good token may call (`validate_subscription: false` of the issuer)", setup: "---\nkind: Issuer\nid: f9any\nissuer: https://f9any.test\nvalidate_subscription: false\nkeys: " + keys + "\n" +
			api("f9") + plan("f9-jwt", "JWT", "jwt: {issuers: [f9any]}"), probes: []probe{pass("anybody", "f9-jwt", "/f9", bearer(rs.token("f9any", object{"azp": absent{}})))}},
		{id: "10", what: "`skipClientIdValidation: false`", theirs: "the client needs a contract with the Api; 403 without one, as the sibling policies say, with `error_format: FLEX`", setup: flexFormat(simple("f10", "acme")), probes: []probe{
			pass("subscribed", "f10-jwt", "/f10", bearer(good)), deny("not subscribed", 403, "", "/f10", bearer(unknown)),
		}},
		{
			id: "11", what: "`clientIdExpression`", theirs: "an expression over the claims, `client_id` by default", ours: "names of claims in order (`client_id_claims`), dotted paths included; `azp`, then `client_id` by default", why: "a list of names says all that expressions are used for, and costs nothing",
			setup: simple("f11", "acme") + issuer("f11own", keys, "client_id_claims: [app.client]") + simple("f11o", "f11own"), probes: []probe{
				pass("client_id", "f11-jwt", "/f11", bearer(rs.token("acme", object{"azp": absent{}, "client_id": "app"}))),
				pass("a path", "f11o-jwt", "/f11o", bearer(rs.token("f11own", object{"azp": "x", "app": object{"client": "app"}}))),
			},
		},
		{id: "12", what: "`validateAudClaim: true` with `supportedAudiences`", theirs: "one of the token's audiences must be in the list", setup: simple("f12", "acme", "audiences: [orders, billing]"), probes: []probe{
			pass("text", "f12-jwt", "/f12", bearer(rs.token("acme", object{"aud": "billing"}))), pass("list", "f12-jwt", "/f12", bearer(rs.token("acme", object{"aud": []string{"x", "orders"}}))),
			deny("another", 401, "invalid_token", "/f12", bearer(rs.token("acme", object{"aud": "order"}))),
		}},
		{
			id: "13", what: "`mandatoryAudClaim: false` beside it", theirs: "a token without `aud` passes", ours: "where audiences are asked for, a token without `aud` is 401", why: "an issuer that leaves `aud` out would get past the check",
			setup: simple("f13", "acme", "audiences: [orders]"), probes: []probe{deny("none", 401, "invalid_token", "/f13", bearer(good))},
		},
		{id: "14", what: "`mandatoryExpClaim`", theirs: "`exp` is checked where it is, and needed where this is true", ours: "needed unless the issuer has `require_expiry: false`", why: "the safe choice is the one that needs no word", setup: simple("f14", "acme") +
			issuer("f14ever", keys, "require_expiry: false") + simple("f14e", "f14ever"), probes: []probe{
			deny("past", 401, "token_expired", "/f14", bearer(rs.token("acme", object{"exp": now - 60}))), deny("absent", 401, "invalid_token", "/f14", bearer(rs.token("acme", object{"exp": absent{}}))),
			pass("absent, not needed", "f14e-jwt", "/f14e", bearer(rs.token("f14ever", object{"exp": absent{}}))), deny("past, not needed", 401, "token_expired", "/f14e", bearer(rs.token("f14ever", object{"exp": now - 60}))),
		}},
		{
			id: "15", what: "`exp` of 9999999999 and more", theirs: "the policy crashes: 503", ours: "a date until the year 9999 is a date; beyond it the token is 401", why: "no token may decide what the gateway's status is",
			setup: simple("f15", "acme"), probes: []probe{
				pass("9999999999", "f15-jwt", "/f15", bearer(rs.token("acme", object{"exp": 9999999999}))), deny("beyond", 401, "invalid_token", "/f15", bearer(rs.token("acme", object{"exp": 999999999999}))),
			},
		},
		{
			id: "16", what: "`mandatoryNbfClaim`", theirs: "`nbf` is checked where it is, and needed where this is true: else 401", ours: "the same by `claim_rules: [{claim: nbf, mandatory: true}]`, but 403 `claim_rule_failed` (401 with `error_format: FLEX`)", why: "the token is good; a rule of the plan is not met",
			setup: simple("f16", "acme", "claim_rules: [{claim: nbf, mandatory: true}]") + flexFormat(simple("f16f", "acme", "claim_rules: [{claim: nbf, mandatory: true}]")), probes: []probe{
				pass("past", "f16-jwt", "/f16", bearer(rs.token("acme", object{"nbf": now - 5}))), deny("future", 401, "invalid_token", "/f16", bearer(rs.token("acme", object{"nbf": now + 500}))),
				deny("absent", 403, "claim_rule_failed", "/f16", bearer(good)), deny("absent, in its format", 401, "", "/f16f", bearer(good)),
			},
		},
		{
			id: "17", what: "`validateCustomClaim` with `mandatoryCustomClaims` and `nonMandatoryCustomClaims`", theirs: "a text is compared, an expression must give true; an absent mandatory claim fails, another absent one does not: 401", ours: "the same in `claim_rules`, with `mandatory`, `equals` and `expression` (CEL), but 403 (401 with `error_format: FLEX`)", why: "as in row 16",
			setup: simple("f17", "acme", rules) + flexFormat(simple("f17f", "acme", rules)), probes: []probe{
				pass("all hold", "f17-jwt", "/f17", bearer(rs.token("acme", object{"role": "Member", "tenant": "acme", "level": 2}))),
				pass("the other absent", "f17-jwt", "/f17", bearer(rs.token("acme", object{"role": "Member", "tenant": "acme"}))),
				deny("the other fails", 403, "claim_rule_failed", "/f17", bearer(rs.token("acme", object{"role": "Member", "tenant": "acme", "level": 1}))),
				deny("it cannot be compared", 403, "claim_rule_failed", "/f17", bearer(rs.token("acme", object{"role": "Member", "tenant": "acme", "level": "9"}))),
				deny("a mandatory one absent", 403, "claim_rule_failed", "/f17", bearer(rs.token("acme", object{"role": "Member"}))),
				deny("text differs", 403, "claim_rule_failed", "/f17", bearer(rs.token("acme", object{"role": "Member", "tenant": "acme2"}))),
				deny("in its format", 401, "", "/f17f", bearer(rs.token("acme", object{"role": "Guest", "tenant": "acme"}))),
			},
		},
		{
			id: "18", what: "`claimsToHeaders`", theirs: "a list of claims; how the headers are called is not told", ours: "`claims_to_headers` names each header; a client's own fields of that name are removed", why: "a backend must be able to rely on them",
			setup: simple("f18", "acme", "claims_to_headers: [{claim: sub, header: X-Sub}, {claim: roles, header: X-Roles}]"), probes: []probe{
				pass("text and list", "f18-jwt", "/f18", bearer(rs.token("acme", object{"roles": []string{"a", "b"}})), "X-Sub: forged").sending(func(r *received) string { return has("X-Sub", "alice")(r) + has("X-Roles", "a,b")(r) }),
				pass("absent", "f18-jwt", "/f18", bearer(good), "X-Roles: forged").sending(has("X-Roles", "")),
			},
		},
	}
}
