package conformance_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// clientCert is a certificate and the field in which a proxy passes it on (RFC 9440).
func clientCert(t *testing.T, name string) (thumbprint, sum, field string) {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(certificate(t, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(der)
	return b64(hash[:]), fmt.Sprintf("%x", hash), "Client-Cert: :" + base64.StdEncoding.EncodeToString(der) + ":"
}

// proof is a DPoP proof (RFC 9449 section 4.2) by the P-256 key, with changes.
func proof(t *testing.T, n *node, token, jti string, changes object) string {
	t.Helper()
	public := object(jwk(t, "p256", ""))
	delete(public, "use")
	hash := sha256.Sum256([]byte(token))
	k := key{alg: "ES256", private: pair(t, "p256")}
	return k.sign(mustJSON(object{"alg": "ES256", "typ": "dpop+jwt", "jwk": public}), mustJSON(changes.over(object{
		"jti": jti, "htm": "GET", "htu": "http://" + n.front + "/b", "iat": time.Now().Unix(), "ath": b64(hash[:]),
	})))
}

func jkt(t *testing.T) string {
	t.Helper()
	public := jwk(t, "p256", "")
	hash := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, public["x"], public["y"]))
	return b64(hash[:])
}

// boundPlan is an Api at /b whose plan takes bound tokens in these modes.
func boundPlan(t *testing.T, modes string) []string {
	t.Helper()
	return []string{issuer("acme", "{pem: ["+spki(t, "rsa")+"]}"), simple("b", "acme", "confirmation: {"+modes+"}")}
}

func attackOnBinding(t *testing.T, rs key) attack {
	t.Helper()
	return attack{id: "49", what: "a token that is bound to a key or certificate, in other hands", probes: []probe{
		invalid("bound to a certificate, at a plan that cannot check it", rs.token("acme", object{"cnf": object{"x5t#S256": b64(make([]byte, 32))}})),
		invalid("bound to a key, at a plan that cannot check it", rs.token("acme", object{"cnf": object{"jkt": b64(make([]byte, 32))}})),
		invalid("bound to something else", rs.token("acme", object{"cnf": object{"kid": "x"}})),
	}, check: func(t *testing.T, _ *node) {
		t.Helper()
		mine, _, field := clientCert(t, "p256")
		_, _, other := clientCert(t, "p256#2")
		n := behindProxy(t, boundPlan(t, "mtls: WHEN_BOUND, dpop: WHEN_BOUND")...)
		byCert, byKey := rs.token("acme", object{"cnf": object{"x5t#S256": mine}}), rs.token("acme", object{"cnf": object{"jkt": jkt(t)}})
		n.probe(pass("its certificate", "b-jwt", "/b", bearer(byCert), field))
		n.probe(deny("no certificate", 401, "invalid_token", "/b", bearer(byCert)))
		n.probe(deny("another certificate", 401, "invalid_token", "/b", bearer(byCert), other))
		dpop := "Authorization: DPoP " + byKey
		n.probe(pass("its proof", "b-jwt", "/b", dpop, "DPoP: "+proof(t, n, byKey, "1", nil)).alone())
		for say, header := range map[string][]string{
			"as a bearer":     {bearer(byKey)},
			"with a proof":    {bearer(byKey), "DPoP: " + proof(t, n, byKey, "2", nil)},
			"no proof":        {dpop},
			"two proofs":      {dpop, "DPoP: " + proof(t, n, byKey, "3", nil), "DPoP: " + proof(t, n, byKey, "4", nil)},
			"a replay":        {dpop, "DPoP: " + proof(t, n, byKey, "1", nil)},
			"another method":  {dpop, "DPoP: " + proof(t, n, byKey, "5", object{"htm": "POST"})},
			"another address": {dpop, "DPoP: " + proof(t, n, byKey, "6", object{"htu": "http://" + n.front + "/c"})},
			"another token's": {dpop, "DPoP: " + proof(t, n, byCert, "7", nil)},
			"an old one":      {dpop, "DPoP: " + proof(t, n, byKey, "8", object{"iat": time.Now().Unix() - 600})},
			"no jti":          {dpop, "DPoP: " + proof(t, n, byKey, "9", object{"jti": absent{}})},
			"forged":          {dpop, "DPoP: " + forge(proof(t, n, byKey, "10", nil))},
		} {
			got := n.ask(call{target: "/b", header: header})
			challenge := strings.Join(got.header.Values("WWW-Authenticate"), ", ")
			if got.status != 401 || got.reached != 0 || !strings.Contains(challenge, "DPoP ") || !strings.Contains(challenge, `algs="`) {
				t.Errorf("%s: %d %s %s, upstream %d", say, got.status, challenge, got.body, got.reached)
			}
		}
	}}
}

// graviteeBound are the rows of Gravitee about certificates and metadata.
func graviteeBound(t *testing.T, rs key) []row {
	t.Helper()
	return []row{
		{
			id: "33", what: "tokens that are bound to a client certificate (`cnf`), from a header that a proxy sets", theirs: "with the check on: the right certificate 200; another or none 401; a token without `cnf` 401, or 200 with `ignoreMissing`. With it off, `cnf` is ignored",
			ours: "the same with `confirmation: {mtls: REQUIRED}` and `WHEN_BOUND`; with OFF, a bound token is 401", why: "a binding that nobody checks is none",
			check: func(t *testing.T, _ *node) {
				t.Helper()
				mine, _, field := clientCert(t, "p256")
				_, _, other := clientCert(t, "p256#2")
				bound, plain := bearer(rs.token("acme", object{"cnf": object{"x5t#S256": mine}})), bearer(rs.token("acme", nil))
				for mode, want := range map[string][4]int{"REQUIRED": {200, 401, 401, 401}, "WHEN_BOUND": {200, 401, 401, 200}, "OFF": {401, 401, 401, 200}} {
					n := behindProxy(t, boundPlan(t, "mtls: "+mode)...)
					for i, header := range [][]string{{bound, field}, {bound, other}, {bound}, {plain, field}} {
						if got := n.ask(call{target: "/b", header: header}); got.status != want[i] || got.reached != map[int]int{200: 1, 401: 0}[want[i]] {
							t.Errorf("%s, %d: %d %s, want %d", mode, i, got.status, got.body, want[i])
						}
					}
				}
			},
		},
		{
			id: "24", what: "metadata of a protected resource", theirs: "`/.well-known/oauth-protected-resource` before or behind the path of the Api, if authorization servers are configured; named in the challenge",
			ours: "before the path only, if the Api has `protected_resource`; its authorization servers are the issuers of its plans", why: "RFC 9728 section 3.1 puts it there, and a second list of issuers could differ",
			setup: strings.Replace(simple("g24", "acme", "scopes: {any: [read]}"), "context_path:", "protected_resource: {resource: \"https://api.test/g24\"}\ncontext_path:", 1) + simple("g24n", "acme"),
			probes: []probe{
				deny("behind the path", 401, "missing_credentials", "/g24/.well-known/oauth-protected-resource"),
				deny("not configured", 404, "api_not_found", "/.well-known/oauth-protected-resource/g24n"),
				deny("no whole segment", 404, "api_not_found", "/.well-known/oauth-protected-resource/g24x"),
			}, check: func(t *testing.T, n *node) {
				t.Helper()
				got := n.ask(call{target: "/.well-known/oauth-protected-resource/g24"})
				if got.status != 200 || got.reached != 0 || !strings.Contains(got.body, `"authorization_servers":["https://acme.test"]`) || !strings.Contains(got.body, `"scopes_supported":["read"]`) {
					t.Errorf("%d %s", got.status, got.body)
				}
				if c := n.ask(call{target: "/g24"}).header.Get("WWW-Authenticate"); !strings.Contains(c, `resource_metadata="https://api.test/.well-known/oauth-protected-resource/g24"`) {
					t.Errorf("challenge %s", c)
				}
			},
		},
		{id: "39b", what: "the same with a client certificate that is known", theirs: "the mTLS plan is asked first, and serves", check: func(t *testing.T, _ *node) {
			t.Helper()
			_, sum, field := clientCert(t, "p256")
			_, _, other := clientCert(t, "p256#2")
			n := behindProxy(t, graviteeCommon(t), simple("m", "acme"), plan("m-mtls", "MTLS"), plan("m-key", "API_KEY"), plan("m-free", "KEYLESS"),
				"---\nkind: Application\nid: machine\nname: machine\ncertificates: [{id: c1, sha256: "+sum+"}]\n", subscribe("machine", "m-mtls"), subscribe("keyed", "m-key"))
			n.probe(pass("the certificate", "m-mtls", "/m", field))
			n.probe(pass("the token", "m-jwt", "/m", bearer(rs.token("acme", nil))))
			n.probe(pass("nothing", "m-free", "/m"))
			n.probe(deny("an unknown certificate is never keyless", 401, "", "/m", other))
		}},
	}
}

// wso2Environments are the rows of WSO2 that need more than a JWT plan.
func wso2Environments(t *testing.T, rs key) []row {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		if r.FormValue("token") == "opaque" {
			fmt.Fprintf(w, `{"active":true,"iss":"https://w30.test","client_id":"app","exp":%d}`, time.Now().Unix()+600)
			return
		}
		fmt.Fprint(w, `{"active":false}`)
	}))
	t.Cleanup(server.Close)
	introspection := "---\nkind: Issuer\nid: w30\nissuer: https://w30.test\nintrospection: {url: \"" + server.URL + "\", client_id: gw, client_secret: {value: s}}\n" + application("w30-app", "w30 app")
	return []row{
		{id: "30", what: "an opaque token", theirs: "introspected; the answer is cached", setup: introspection + api("w30a") + plan("w30a-opaque", "OAUTH2", "oauth2: {issuers: [w30]}") + subscribe("w30-app", "w30a-opaque"), probes: []probe{
			pass("active", "w30a-opaque", "/w30a", bearer("opaque")), pass("again", "w30a-opaque", "/w30a", bearer("opaque")), deny("not active", 401, "invalid_token", "/w30a", bearer("other")),
		}},
		{
			id: "31", what: "the token of a SANDBOX key", theirs: "goes to the sandbox endpoint; 900901 where there is none", ours: "the same, but 403", why: "the token is good; this Api has nothing for it",
			setup: simple("w31n", "w31iss") + strings.Replace(issuer("w31iss", "{pem: ["+spki(t, "rsa")+"]}"), `client_id: "app"`, `environment: SANDBOX, client_id: "app"`, 1) +
				strings.Replace(simple("w31", "w31iss"), "targets: [{url: $UPSTREAM}]", `targets: [{url: "http://127.0.0.1:9"}], sandbox_targets: [{url: $UPSTREAM}]`, 1),
			probes: []probe{
				pass("a sandbox", "w31-jwt", "/w31", bearer(rs.token("w31iss", nil))),
				deny("none", 403, "", "/w31n", bearer(rs.token("w31iss", nil))),
			},
		},
		{
			id: "32", what: "a JWT that the gateway signs for the backend", theirs: "in X-JWT-Assertion, with claims of the application and the API in WSO2's dialect", ours: "with `signed_jwt`, in X-JWT-Assertion by default, with the claims that are named; its key set is served by every node", why: "standard claims need no dialect",
			check: func(t *testing.T, _ *node) {
				t.Helper()
				n := start(t, issuer("acme", "{pem: ["+spki(t, "rsa")+"]}"), simple("b", "acme", "signed_jwt: {claims: [tenant]}"))
				n.probe(pass("sent", "b-jwt", "/b", bearer(rs.token("acme", object{"tenant": "t"})), "X-JWT-Assertion: forged").sending(func(r *received) string {
					parts := strings.Split(r.header.Get("X-JWT-Assertion"), ".")
					if len(parts) != 3 {
						return "the assertion is " + r.header.Get("X-JWT-Assertion")
					}
					payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
					if !strings.Contains(string(payload), `"tenant":"t"`) || !strings.Contains(string(payload), `"aud":"b"`) {
						return string(payload)
					}
					return ""
				}))
				if got := n.ask(call{target: "/.well-known/portcullis/jwks.json"}); got.status != 200 || !strings.Contains(got.body, `"keys":[{`) {
					t.Errorf("key set: %d %s", got.status, got.body)
				}
			},
		},
	}
}
