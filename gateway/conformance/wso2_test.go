package conformance_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestWSO2(t *testing.T) {
	rs := key{alg: "RS256", private: pair(t, "rsa")}
	common := issuer("acme", "{pem: ["+spki(t, "rsa")+"]}")
	rows := wso2Signatures(t, rs)
	rows = append(rows, wso2Claims(t, rs)...)
	rows = append(rows, wso2Subscriptions(t, rs)...)
	rows = append(rows, wso2Environments(t, rs)...)
	run(t, common, rows)
	document{name: "wso2", title: "WSO2 API Microgateway 3.2, API Manager 4", rows: rows, elsewhere: []elsewhere{
		{"-", "tokens that are bound to a certificate", "as in row 33 of Gravitee"},
		{"-", "how often an unknown `kid` may cause a fetch", "tested under load, with a real identity provider"},
		{"-", "sizes and expiry of its caches", "the inside of another program; that a cached token never outlives its key, its issuer's settings or a revocation is tested in gateway/internal/authn"},
		{"-", "API keys that WSO2 signs as JWTs, and basic authentication", "API keys are opaque here, and there are no users"},
	}}.verify(t)
}

func wso2Signatures(t *testing.T, rs key) []row {
	t.Helper()
	good := rs.token("acme", nil)
	spare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, jwks(t, jwk(t, "rsa#2", "two")))
	}))
	t.Cleanup(spare.Close)
	two := key{alg: "RS256", kid: "two", private: pair(t, "rsa#2")}
	hour := time.Hour
	now := time.Now()
	return []row{
		{id: "1", what: "a token that has not three parts", theirs: "401", setup: simple("w1", "acme"), probes: []probe{
			deny("two", 401, "invalid_token", "/w1", bearer(good[:strings.LastIndex(good, ".")])),
			deny("four", 401, "invalid_token", "/w1", bearer(good+".x")),
			deny("five", 401, "invalid_token", "/w1", bearer("a.b.c.d.e")),
		}},
		{
			id: "2", what: "the algorithm", theirs: "RS256, RS384 and RS512 only", ours: "what the issuer's keys are for: also PS, ES and HS of all sizes, EdDSA with both curves, and ES256K; an issuer with an RSA key and `algorithms: [RS256]` takes RS256 alone",
			why: "the key says what it is good for, never the token", setup: simple("w2", "acme") + issuer("w2one", "{pem: ["+spki(t, "rsa")+"]}", "algorithms: [RS256]") + simple("w2o", "w2one"),
			probes: []probe{
				pass("RS256", "w2-jwt", "/w2", bearer(good)),
				pass("RS512", "w2-jwt", "/w2", bearer(key{alg: "RS512", private: pair(t, "rsa")}.token("acme", nil))),
				pass("PS256", "w2-jwt", "/w2", bearer(key{alg: "PS256", private: pair(t, "rsa")}.token("acme", nil))),
				deny("HS256, no such key", 401, "invalid_token", "/w2", bearer(key{alg: "HS256", secret: secret}.token("acme", nil))),
				deny("ES256, no such key", 401, "invalid_token", "/w2", bearer(key{alg: "ES256", private: pair(t, "p256")}.token("acme", nil))),
				deny("none", 401, "invalid_token", "/w2", bearer(b64([]byte(`{"alg":"none"}`))+"."+strings.Split(good, ".")[1]+".")),
				pass("RS256 where it alone is allowed", "w2o-jwt", "/w2o", bearer(rs.token("w2one", nil))),
				deny("PS256 there", 401, "invalid_token", "/w2o", bearer(key{alg: "PS256", private: pair(t, "rsa")}.token("w2one", nil))),
			},
		},
		{
			id: "3", what: "a JWKS URL and a certificate; a token with `kid`", theirs: "the key set only: a `kid` that is not in it fails, whatever the certificate could verify",
			ours: "the key of that `kid`, or else the issuer's keys that have none, as certificates do", why: "a certificate has no `kid`, so a token's cannot speak against it",
			setup: issuer("w3", "{jwks_urls: ["+spare.URL+"], pem: ["+certificate(t, "rsa", now.Add(-hour), now.Add(hour))+"]}") + simple("w3a", "w3"),
			check: func(_ *testing.T, n *node) {
				first := call{target: "/w3a", header: []string{bearer(two.token("w3", nil))}}
				n.until("keys fetched", func() bool { return n.ask(first).status == 200 })
				n.probe(pass("by the certificate", "w3a-jwt", "/w3a", bearer(key{alg: "RS256", kid: "other", private: pair(t, "rsa")}.token("w3", nil))))
				n.probe(deny("a kid of the set with another key's signature", 401, "invalid_token", "/w3a", bearer(key{alg: "RS256", kid: "two", private: pair(t, "rsa")}.token("w3", nil))))
			},
		},
		{
			id: "4", what: "a JWKS URL; a token without `kid`", theirs: "the certificate if there is one, else a failure", ours: "the issuer's keys that suit the algorithm, of its sets and its certificates", why: "RFC 7515 section 4.1.4: `kid` is a hint, which an issuer need not give",
			setup: issuer("w4", "{jwks_urls: ["+spare.URL+"]}") + simple("w4a", "w4"), check: func(_ *testing.T, n *node) {
				c := call{target: "/w4a", header: []string{bearer(key{alg: "RS256", private: pair(t, "rsa#2")}.token("w4", nil))}}
				n.until("keys fetched", func() bool { return n.ask(c).status == 200 })
				n.probe(probe{say: "again", call: c, status: 200, reason: "", plan: "w4a-jwt"})
			},
		},
		{id: "5", what: "a certificate whose dates do not include now", theirs: "401", setup: issuer("w5", "{pem: ["+certificate(t, "rsa", now.Add(-2*hour), now.Add(-hour))+"]}") + simple("w5a", "w5") +
			issuer("w5n", "{pem: ["+certificate(t, "rsa", now.Add(hour), now.Add(2*hour))+"]}") + simple("w5b", "w5n") + issuer("w5g", "{pem: ["+certificate(t, "rsa", now.Add(-hour), now.Add(hour))+"]}") + simple("w5c", "w5g"), probes: []probe{
			deny("over", 401, "invalid_token", "/w5a", bearer(rs.token("w5", nil))),
			deny("not begun", 401, "invalid_token", "/w5b", bearer(rs.token("w5n", nil))),
			pass("good", "w5c-jwt", "/w5c", bearer(rs.token("w5g", nil))),
		}},
		{
			id: "6", what: "a token that is not cached, and keys from a URL", theirs: "the microgateway fetches the set for each of them", ours: "no request fetches; sets are fetched ahead of time", why: "a flood of new tokens must not become a flood at the identity provider",
			check: func(t *testing.T, _ *node) {
				t.Helper()
				fetches := 0
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					fetches++
					fmt.Fprint(w, jwks(t, jwk(t, "rsa#2", "two")))
				}))
				n := start(t, issuer("w6", "{jwks_urls: ["+server.URL+"]}"), simple("w6a", "w6"))
				for i := range 20 {
					c := call{target: "/w6a", header: []string{bearer(two.token("w6", object{"jti": fmt.Sprint(i)}))}}
					n.until("keys fetched", func() bool { return n.ask(c).status == 200 })
				}
				if server.Close(); fetches != 1 {
					t.Errorf("%d fetches for 20 tokens", fetches)
				}
			},
		},
		{id: "7", what: "another token with the signature of one that was verified, or with its `jti`", theirs: "refused since a fault in its cache was mended", setup: simple("w7", "acme"), probes: []probe{
			pass("the genuine one", "w7-jwt", "/w7", bearer(good)),
			deny("its signature under other claims", 401, "invalid_token", "/w7", bearer(graft(rs.token("acme", object{"sub": "mallory"}), good))),
			deny("its jti, another key", 401, "invalid_token", "/w7", bearer(key{alg: "RS256", private: pair(t, "rsa#2")}.token("acme", nil))),
		}},
		{
			id: "8", what: "two entries of one issuer", theirs: "the first that can do it wins, and they share a cache", ours: "the configuration is refused", why: "whose settings hold must not depend on order",
			check: func(t *testing.T, _ *node) {
				t.Helper()
				twice := strings.ReplaceAll(issuer("acme", "{pem: ["+spki(t, "rsa")+"]}"), "id: acme", "id: again")
				twice = strings.ReplaceAll(strings.ReplaceAll(twice, "acme-app", "again-app"), "issuer: acme,", "issuer: again,")
				if fault := refused(t, issuer("acme", "{pem: ["+spki(t, "rsa")+"]}"), twice, simple("x", "acme")); !strings.Contains(fault, "iss") {
					t.Errorf("refused with %s", fault)
				}
			},
		},
		{
			id: "9", what: "a token without dots", theirs: "introspected", ours: "401 `invalid_token`, unless a plan of kind OAUTH2 takes it", why: "only who configures introspection wants the network on the request path",
			setup: simple("w9", "acme"), probes: []probe{deny("opaque", 401, "invalid_token", "/w9", bearer("opaque"))},
		},
	}
}

// graft puts the signature of one token under another.
func graft(token, other string) string {
	return token[:strings.LastIndex(token, ".")] + other[strings.LastIndex(other, "."):]
}

func wso2Claims(t *testing.T, rs key) []row {
	t.Helper()
	good := rs.token("acme", nil)
	now := time.Now().Unix()
	keys := "{pem: [" + spki(t, "rsa") + "]}"
	return []row{
		{id: "10", what: "`iss`", theirs: "needed, and compared exactly", setup: simple("w10", "acme"), probes: []probe{
			pass("the issuer's", "w10-jwt", "/w10", bearer(good)),
			deny("none", 401, "invalid_token", "/w10", bearer(rs.token("acme", object{"iss": absent{}}))),
			deny("with a slash", 401, "invalid_token", "/w10", bearer(rs.token("acme", object{"iss": "https://acme.test/"}))),
			deny("in another case", 401, "invalid_token", "/w10", bearer(rs.token("acme", object{"iss": "https://ACME.test"}))),
		}},
		{
			id: "11", what: "`aud`", theirs: "the microgateway checks it only if the issuer has an audience: it, or one of the list, must be equal; API Manager 4 does not check it", ours: "as the microgateway", why: "a token for another service must not be good here; API Manager leaves that open",
			setup: simple("w11", "acme") + issuer("w11aud", keys, "audiences: [orders]") + simple("w11a", "w11aud"), probes: []probe{
				pass("not configured", "w11-jwt", "/w11", bearer(rs.token("acme", object{"aud": "x"}))),
				pass("text", "w11a-jwt", "/w11a", bearer(rs.token("w11aud", object{"aud": "orders"}))),
				pass("list", "w11a-jwt", "/w11a", bearer(rs.token("w11aud", object{"aud": []string{"x", "orders"}}))),
				deny("none", 401, "invalid_token", "/w11a", bearer(rs.token("w11aud", nil))),
				deny("another", 401, "invalid_token", "/w11a", bearer(rs.token("w11aud", object{"aud": "orders2"}))),
			},
		},
		{
			id: "12", what: "a token without `exp`", theirs: "accepted", ours: "401, unless the issuer has `require_expiry: false`", why: "a token that never ends can only be revoked",
			setup: simple("w12", "acme") + issuer("w12ever", keys, "require_expiry: false") + simple("w12e", "w12ever"), probes: []probe{
				deny("by default", 401, "invalid_token", "/w12", bearer(rs.token("acme", object{"exp": absent{}}))),
				pass("not required", "w12e-jwt", "/w12e", bearer(rs.token("w12ever", object{"exp": absent{}}))),
			},
		},
		{
			id: "13", what: "`exp` of a token that is in the cache", theirs: "checked each time, without the grace that a new one has", ours: "checked each time, with the same grace", why: "whether a token is good must not depend on who came before",
			setup: issuer("w13skew", keys, "clock_skew: 3s") + simple("w13s", "w13skew") + issuer("w13none", keys, "clock_skew: 0s") + simple("w13", "w13none"), check: func(t *testing.T, n *node) {
				t.Helper()
				end := time.Now().Unix() + 1
				short := call{target: "/w13", header: []string{bearer(rs.token("w13none", object{"exp": end}))}}
				skewed := call{target: "/w13s", header: []string{bearer(rs.token("w13skew", object{"exp": end}))}}
				if a, b := n.ask(short).status, n.ask(skewed).status; a != 200 || b != 200 {
					t.Skipf("the machine is too slow: %d %d", a, b)
				}
				n.until("expired", func() bool { return n.ask(short).reason() == "token_expired" })
				if got := n.ask(skewed).status; time.Now().Unix() < end+3 && got != 200 {
					t.Errorf("within the grace: %d", got)
				}
				n.until("expired", func() bool { return n.ask(skewed).reason() == "token_expired" })
			},
		},
		{
			id: "14", what: "`nbf` in the future", theirs: "has no effect", ours: "401", why: "RFC 7519 section 4.1.5",
			setup: simple("w14", "acme"), probes: []probe{
				deny("future", 401, "invalid_token", "/w14", bearer(rs.token("acme", object{"nbf": now + 300}))),
				pass("past", "w14-jwt", "/w14", bearer(rs.token("acme", object{"nbf": now - 300}))),
			},
		},
		{
			id: "15", what: "`iat` and `jti`", theirs: "not needed", ours: "not needed; `iat` in the future is 401", why: "a token from the future is from a clock, or a person, one should not trust",
			setup: simple("w15", "acme"), probes: []probe{
				pass("neither", "w15-jwt", "/w15", bearer(rs.token("acme", object{"iat": absent{}, "jti": absent{}}))),
				deny("future", 401, "invalid_token", "/w15", bearer(rs.token("acme", object{"iat": now + 300}))),
			},
		},
		{
			id: "16", what: "tolerance for clocks", theirs: "5 s, or 60 s with the old configuration", ours: "30 s, or what `clock_skew` of the issuer says", why: "as in row 14 of Gravitee",
			setup: simple("w16", "acme") + issuer("w16skew", keys, "clock_skew: 5s") + simple("w16s", "w16skew"), probes: []probe{
				pass("within", "w16-jwt", "/w16", bearer(rs.token("acme", object{"exp": now - 2}))),
				deny("outside", 401, "token_expired", "/w16s", bearer(rs.token("w16skew", object{"exp": now - 30}))),
			},
		},
		{
			id: "17", what: "the word `Bearer`", theirs: "any case, with or without a blank behind it", ours: "any case; without a blank it is another scheme", why: "RFC 9110 section 11.4",
			setup: simple("w17", "acme"), probes: []probe{
				pass("any case", "w17-jwt", "/w17", "Authorization: bEaReR "+good),
				deny("no blank", 401, "missing_credentials", "/w17", "Authorization: Bearer"+good),
			},
		},
		{id: "18", what: "another header for the token (`authorizationHeader`)", theirs: "taken from there, and removed", setup: simple("w18", "acme", `token_from: "request.headers['x-token']"`), probes: []probe{
			pass("there", "w18-jwt", "/w18", "X-Token: "+good).sending(has("X-Token", "")),
			deny("elsewhere", 401, "missing_credentials", "/w18", bearer(good)),
		}},
		{id: "19", what: "whether the token reaches the backend", theirs: "it is removed, unless `removeAuthHeaderFromOutMessage` is false", setup: simple("w19", "acme") + simple("w19f", "acme", "forward_token: true"), probes: []probe{
			pass("by default", "w19-jwt", "/w19", bearer(good)).sending(has("Authorization", "")),
			pass("forward_token", "w19f-jwt", "/w19f", bearer(good)).sending(has("Authorization", "Bearer "+good)),
		}},
		{id: "20", what: "a claim mapping", theirs: "the claim gets its local name and loses its own", setup: issuer("w20", keys, "claim_mappings: [{remote: scp, local: scope}, {remote: FName, local: firstName}]") +
			simple("w20a", "w20", "scopes: {all: [read]}", "claims_to_headers: [{claim: firstName, header: X-First}, {claim: FName, header: X-Old}]"), probes: []probe{
			pass("mapped", "w20a-jwt", "/w20a", bearer(rs.token("w20", object{"scp": "read write", "FName": "Ada"}))).sending(func(r *received) string {
				return has("X-First", "Ada")(r) + has("X-Old", "")(r)
			}),
			deny("no scope", 403, "insufficient_scope", "/w20a", bearer(rs.token("w20", nil))),
		}},
		{
			id: "21", what: "`backendJwt` in a token", theirs: "sent as X-JWT-Assertion, also where authentication failed; what the client sends by that name is replaced only then", ours: "sent to who was let through; what the client sends by that name is always removed", why: "a backend trusts that header",
			setup: simple("w21", "acme", "backend_jwt: {claim: backendJwt, header: X-JWT-Assertion}") + simple("w21n", "acme"), probes: []probe{
				pass("sent", "w21-jwt", "/w21", bearer(rs.token("acme", object{"backendJwt": "e.y.J"})), "X-JWT-Assertion: forged").sending(has("X-JWT-Assertion", "e.y.J")),
				pass("there is none", "w21-jwt", "/w21", bearer(good), "X-JWT-Assertion: forged").sending(has("X-JWT-Assertion", "")),
				pass("not configured", "w21n-jwt", "/w21n", bearer(good), "X-JWT-Assertion: forged", "x_jwt_assertion: forged").sending(has("X-JWT-Assertion", "")),
			},
		},
		{
			id: "22", what: "a revoked token", theirs: "the microgateway refuses it only if it is in its cache, and has a `jti`", ours: "always refused; tokens without `jti` by hash, client or subject", why: "the first request with a revoked token is as bad as the second",
			setup: simple("w22", "acme") + "---\nkind: Revocation\nid: r22\nissuer: acme\njti: w22\n---\nkind: Revocation\nid: r22s\nissuer: acme\nsubject: mallory\nissued_before: \"2100-01-01T00:00:00Z\"\n", probes: []probe{
				deny("its first request", 401, "token_revoked", "/w22", bearer(rs.token("acme", object{"jti": "w22"}))),
				deny("its second", 401, "token_revoked", "/w22", bearer(rs.token("acme", object{"jti": "w22"}))),
				deny("by subject, without jti", 401, "token_revoked", "/w22", bearer(rs.token("acme", object{"jti": absent{}, "sub": "mallory", "iat": now - 60}))),
			},
		},
		{
			id: "23", what: "two issuers that use the same `jti`", theirs: "API Manager takes their tokens for each other in its maps", ours: "a `jti` belongs to its issuer", why: "RFC 7519 section 4.1.7 makes it unique within an issuer only",
			setup: issuer("w23b", keys) + simple("w23", "acme") + simple("w23n", "w23b") + "---\nkind: Revocation\nid: r23\nissuer: w23b\njti: w23\n", probes: []probe{
				pass("of the other issuer", "w23-jwt", "/w23", bearer(rs.token("acme", object{"jti": "w23"}))),
				deny("revoked", 401, "token_revoked", "/w23n", bearer(rs.token("w23b", object{"jti": "w23"}))),
			},
		},
	}
}

func wso2Subscriptions(t *testing.T, rs key) []row {
	t.Helper()
	keys := "{pem: [" + spki(t, "rsa") + "]}"
	list := func(entries ...object) object {
		return object{"subscribedAPIs": entries, "application": object{"id": 1, "name": "a", "tier": "Unlimited", "owner": "admin"}}
	}
	entry := object{"name": "PizzaShackAPI", "context": "/pizzashack/1.0.0", "version": "1.0.0", "publisher": "admin", "subscriptionTier": "Gold", "subscriberTenantDomain": "carbon.super"}
	good, none := rs.token("acme", nil), rs.token("acme", object{"azp": "unknown"})
	return []row{
		{
			id: "24", what: "which claim names the client (`consumerKeyClaim`)", theirs: "the microgateway takes `aud` or the first of its list, API Manager 4 `azp`, if nothing else is configured", ours: "`azp`, then `client_id`, or `client_id_claims`; a list names one only if it has one element", why: "as in row 6 of Gravitee",
			setup: simple("w24", "acme") + issuer("w24own", keys, "client_id_claims: [consumerKey]") + simple("w24o", "w24own"), probes: []probe{
				pass("azp", "w24-jwt", "/w24", bearer(good)),
				deny("aud", 403, "subscription_not_found", "/w24", bearer(rs.token("acme", object{"azp": absent{}, "aud": "app"}))),
				pass("configured", "w24o-jwt", "/w24o", bearer(rs.token("w24own", object{"azp": "x", "consumerKey": "app"}))),
			},
		},
		{id: "25", what: "subscriptions in a token of 3.0 or 3.1 (`subscribedAPIs`)", theirs: "an entry with the Api's name and version, or version `*`, subscribes", setup: "---\nkind: Api\nid: w25\nname: PizzaShackAPI\nversion: 1.0.0\ncontext_path: /pizzashack\nupstream: {targets: [{url: $UPSTREAM}]}\n" +
			plan("w25-jwt", "JWT", "jwt: {issuers: [w25iss]}") + "---\nkind: Issuer\nid: w25iss\nissuer: https://w25iss.test\nsubscription_claim: subscribedAPIs\nkeys: " + keys + "\n", probes: []probe{
			pass("listed", "w25-jwt", "/pizzashack/menu", bearer(rs.token("w25iss", list(entry)))),
			pass("every version", "w25-jwt", "/pizzashack", bearer(rs.token("w25iss", list(object{"name": "PizzaShackAPI", "version": "*"})))),
			pass("again", "w25-jwt", "/pizzashack", bearer(rs.token("w25iss", list(object{"name": "PizzaShackAPI", "version": "*"})))),
			deny("another version", 403, "subscription_not_found", "/pizzashack", bearer(rs.token("w25iss", list(object{"name": "PizzaShackAPI", "version": "2.0.0"})))),
			deny("another Api", 403, "subscription_not_found", "/pizzashack", bearer(rs.token("w25iss", list(object{"name": "Other", "context": "/other/1.0.0", "version": "1.0.0"})))),
			deny("no list", 403, "subscription_not_found", "/pizzashack", bearer(rs.token("w25iss", nil))),
			deny("not a list of objects", 403, "subscription_not_found", "/pizzashack", bearer(rs.token("w25iss", object{"subscribedAPIs": []string{"PizzaShackAPI"}}))),
		}},
		{
			id: "26", what: "such a list in a token of any other trusted issuer", theirs: "believed, with the tier it names", ours: "without effect, unless the issuer has `subscription_claim`; the tier is never believed", why: "an identity provider that lets clients choose claims would let them choose their rights",
			setup: strings.Replace(api("w26"), "name: w26", "name: PizzaShack2", 1) + plan("w26-jwt", "JWT", "jwt: {issuers: [acme]}"), probes: []probe{
				deny("believed by nobody", 403, "subscription_not_found", "/w26", bearer(rs.token("acme", list(object{"name": "PizzaShack2", "version": "1.0.0", "context": "/w26/1.0.0"})))),
			},
		},
		{
			id: "27", what: "no mapping, application or subscription for the client", theirs: "403/900908; if the issuer's `validateSubscription` is false, any client may call", setup: simple("w27", "acme") + strings.Replace(simple("w27w", "acme"), "context_path:", "error_format: WSO2\ncontext_path:", 1) +
				"---\nkind: Issuer\nid: w27any\nissuer: https://w27any.test\nvalidate_subscription: false\nkeys: " + keys + "\n" + api("w27a") + plan("w27a-jwt", "JWT", "jwt: {issuers: [w27any]}"), probes: []probe{
				deny("unknown client", 403, "subscription_not_found", "/w27", bearer(none)),
				deny("in its format", 403, "", "/w27w", bearer(none)),
				pass("not validated", "w27a-jwt", "/w27a", bearer(rs.token("w27any", object{"azp": "anybody"}))),
			}, check: func(t *testing.T, n *node) {
				t.Helper()
				if got := n.ask(call{target: "/w27w", header: []string{bearer(none)}}); !strings.Contains(got.body, `"code":900908`) {
					t.Error(got.body)
				}
			},
		},
		{
			id: "28", what: "a subscription that is BLOCKED or ON_HOLD", theirs: "401/900907, 401/900909", ours: "403 `subscription_inactive`, code 900909 (401 with `error_format: WSO2`)", why: "a new token would not help, and there is one state, PAUSED, for both",
			setup: simple("w28", "acme") + "status: PAUSED\n" + strings.Replace(simple("w28w", "acme"), "context_path:", "error_format: WSO2\ncontext_path:", 1) + "status: PENDING\n", probes: []probe{
				deny("paused", 403, "subscription_inactive", "/w28", bearer(good)),
				deny("in its format", 401, "", "/w28w", bearer(good)),
			},
		},
		{
			id: "29", what: "codes of an unknown issuer, and of an expired token", theirs: "900901 for both in the microgateway", ours: "900901 and 900903 (900901 with `error_format: WSO2`)", why: "an expired token can be renewed",
			setup: strings.Replace(simple("w29", "acme"), "context_path:", "error_format: WSO2\ncontext_path:", 1) + simple("w29o", "acme"), check: func(t *testing.T, n *node) {
				t.Helper()
				expired := bearer(rs.token("acme", object{"exp": time.Now().Unix() - 90}))
				for _, c := range []struct{ target, header, code string }{
					{"/w29", bearer(rs.token("nobody", nil)), "900901"}, {"/w29", expired, "900901"}, {"/w29o", expired, "900903"}, {"/w29o", bearer(rs.token("nobody", nil)), "900901"},
				} {
					if got := n.ask(call{target: c.target, header: []string{c.header}}); got.status != 401 || !strings.Contains(got.body, `"code":`+c.code) {
						t.Errorf("%s: %d %s", c.target, got.status, got.body)
					}
				}
			},
		},
	}
}
