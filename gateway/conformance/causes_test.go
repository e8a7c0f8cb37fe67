package conformance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// notAsked are the causes that no single request brings about here, and where they are shown.
var notAsked = map[cause.Cause]string{
	cause.NotReady:            "TestNodeWithoutState",
	cause.APIStopped:          "TestRoute of package pipeline: files cannot stop an Api",
	cause.IssuerNotInForce:    "a node that serves from files does not start without what they need",
	cause.IntrospectionOff:    "package authn: no plan compiles whose issuer has none",
	cause.NotInForce:          "TestWhatCannotBeCompiledIsNotInForce of package feed",
	cause.IssuerAmbiguous:     "package authn: two issuers whose fetched key sets share a key",
	cause.ProofMemory:         "TestDPoPMemoryIsBounded of package pipeline: it takes half a million proofs",
	cause.ProofShare:          "TestDPoPMemoryIsShared of package pipeline",
	cause.IntrospectionBusy:   "package introspect: it takes as many slow questions as may be open",
	cause.UpstreamBusy:        "it takes 8,192 connections",
	cause.UpstreamSend:        "package forwardtest: an upstream that closes while it is sent to",
	cause.UpstreamSendTimeout: "package forwardtest: an upstream that does not read",
	cause.Signing:             "only if the standard library fails to sign",
	cause.Panic:               "fronttest",
	cause.Internal:            "fronttest",
}

// refusal is a request, and the cause for which it must be refused.
type refusal struct {
	cause cause.Cause
	call
	raw  string // in place of call; HOST is the node's address
	open bool   // raw does not end
	// first is done just before; nil: nothing.
	first func()
}

// TestEveryCause brings each cause about with a request, and reads it where an operator
// does: in the explanation of the answer's request id.
func TestEveryCause(t *testing.T) {
	rs := key{alg: "RS256", kid: "k1", private: pair(t, "rsa")}
	n := &node{t: t, logger: slog.New(slog.DiscardHandler), change: func(cfg *gateway.Config) {
		cfg.TrustedProxies, cfg.ClientCertHeader, cfg.MaxTokenSize = []string{"127.0.0.1/32"}, "Client-Cert", 4<<10
		cfg.ReadTimeout = 300 * time.Millisecond
	}}
	resources, refusals := refusalsOfTokens(t, rs)
	for _, more := range []func(*testing.T, key) (string, []refusal){refusalsOfRequests, refusalsOfCallers, refusalsOfUpstreams, refusalsOfIntrospection} {
		r, list := more(t, rs)
		resources, refusals = resources+r, append(refusals, list...)
	}
	bound, later := refusalsOfBindings(t, rs)
	n.run(resources + bound)
	refusals = append(refusals, later(n)...)
	seen := map[cause.Cause]bool{}
	for _, r := range refusals {
		if r.first != nil {
			r.first()
		}
		var a answer
		switch text := strings.ReplaceAll(r.raw, "HOST", n.front); {
		case r.open:
			a = n.unfinished(text)
		case text != "":
			a = n.raw(text)
		default:
			a = n.ask(r.call)
		}
		seen[r.cause] = true
		if got := n.why(a); got != r.cause.String() {
			t.Errorf("%s: %d %s because of %q: %+v %.80s", r.cause, a.status, a.reason(), got, r.call, r.raw)
		}
	}
	for c := cause.Unspecified + 1; c < cause.Count; c++ {
		if where := notAsked[c]; seen[c] == (where != "") {
			t.Errorf("%s: asked here %v, elsewhere %q", c, seen[c], where)
		}
	}
}

// TestNodeWithoutState: a node that nobody has told anything yet says so.
func TestNodeWithoutState(t *testing.T) {
	n := &node{t: t, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}}
	t.Cleanup(n.client.CloseIdleConnections)
	cfg := gateway.DefaultConfig()
	cfg.Listen, cfg.AdminListen, cfg.DataDir = "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	cfg.Control, cfg.NATS = []string{"http://127.0.0.1:9"}, []string{"nats://127.0.0.1:9"}
	listening := make(chan struct{})
	cfg.Listening = func(front, admin string) {
		n.front, n.admin = front, "http://"+admin
		close(listening)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- gateway.Run(ctx, cfg) }()
	<-listening
	if a := n.ask(call{target: "/"}); a.status != http.StatusServiceUnavailable || n.why(a) != cause.NotReady.String() {
		t.Errorf("%d %s because of %s", a.status, a.body, n.why(a))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// unfinished is raw for what the client goes on to send, and never does.
func (n *node) unfinished(text string) answer {
	n.t.Helper()
	c, err := net.Dial("tcp", n.front)
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		n.t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		n.t.Error(err)
	}
	return n.parse(all, n.reached.Load())
}

// why asks the node why it refused a request.
func (n *node) why(a answer) string {
	n.t.Helper()
	resp, err := n.client.Get(n.admin + "/explain?request_id=" + url.QueryEscape(a.header.Get("X-Request-Id")))
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	var told struct{ Cause, Reason, Error string }
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil {
		n.t.Fatal(err)
	}
	if told.Reason != a.reason() {
		n.t.Errorf("answered with %q, explained as %q: %s", a.reason(), told.Reason, told.Error)
	}
	return told.Cause
}

// refusalsOfTokens: each issuer asks for something, and has an Api of its name.
func refusalsOfTokens(t *testing.T, rs key) (resources string, refusals []refusal) {
	t.Helper()
	keys := "{jwks: " + jwks(t, jwk(t, "rsa", "k1")) + "}"
	own := func(id, keys string, lines ...string) { resources += issuer(id, keys, lines...) + simple(id, id) }
	of := func(c cause.Cause, api, token string) {
		refusals = append(refusals, refusal{cause: c, call: call{target: "/" + api, header: []string{bearer(token)}}})
	}
	own("acme", keys)
	now := int(time.Now().Unix())
	of(cause.TooLong, "acme", rs.token("acme", object{"pad": strings.Repeat("x", 5000)}))
	of(cause.Encrypted, "acme", "a.b.c.d.e")
	of(cause.Malformed, "acme", "x.y.z")
	of(cause.ClaimMalformed, "acme", rs.token("acme", object{"aud": 5}))
	of(cause.HeaderExtension, "acme", rs.sign(rs.header(object{"crit": []string{"exp"}}), mustJSON(claims("acme", nil))))
	of(cause.Algorithm, "acme", rs.sign(rs.header(object{"alg": "none"}), mustJSON(claims("acme", nil))))
	of(cause.TokenKind, "acme", rs.sign(rs.header(object{"typ": "logout+jwt"}), mustJSON(claims("acme", nil))))
	of(cause.IssuerUnknown, "acme", rs.token("nobody", nil))
	of(cause.Expired, "acme", rs.token("acme", object{"exp": now - 600}))
	of(cause.NoExpiry, "acme", rs.token("acme", object{"exp": absent{}}))
	of(cause.NotYetValid, "acme", rs.token("acme", object{"nbf": now + 600}))
	of(cause.IssuedInFuture, "acme", rs.token("acme", object{"iat": now + 600}))
	of(cause.KeyUnknown, "acme", rs.sign(rs.header(object{"kid": "k9"}), mustJSON(claims("acme", nil))))
	forged := forge(rs.token("acme", nil))
	of(cause.Signature, "acme", forged)
	of(cause.Signature, "acme", forged) // which is remembered
	own("algs", "{jwks: "+jwks(t, jwk(t, "rsa", "k1"), jwk(t, "p256", "k2"))+"}", "algorithms: [ES256]")
	of(cause.Algorithm, "algs", rs.token("algs", nil))
	own("auds", keys, "audiences: [https://api.test]")
	of(cause.Audience, "auds", rs.token("auds", object{"aud": "https://other.test"}))
	own("types", keys, "token_types: [at+jwt]")
	of(cause.Type, "types", rs.token("types", nil))
	own("life", keys, "max_lifetime: 60s")
	of(cause.Lifetime, "life", rs.token("life", nil))
	own("profile", keys, "profile: RFC9068")
	of(cause.Profile, "profile", rs.token("profile", nil))
	own("away", `{jwks_urls: ["http://127.0.0.1:9/jwks.json"]}`)
	of(cause.KeysUnavailable, "away", rs.token("away", nil))
	past := time.Now().Add(-time.Hour)
	own("old", `{pem: ["`+certificate(t, "rsa", past.Add(-time.Hour), past)+`"]}`)
	of(cause.KeyOutdated, "old", rs.sign(rs.header(object{"kid": absent{}}), mustJSON(claims("old", nil))))
	own("planaud", keys)
	resources += api("paud") + plan("paud-jwt", "JWT", "jwt: {issuers: [planaud], audiences: [https://api.test]}")
	of(cause.PlanAudience, "paud", rs.token("planaud", nil))
	of(cause.IssuerUntrusted, "auds", rs.token("acme", nil))
	resources += "---\nkind: Revocation\nid: r1\nissuer: acme\njti: gone\nexpires_at: " + at(3600) + "\n"
	of(cause.Revoked, "acme", rs.token("acme", object{"jti": "gone"}))
	elsewhere := jwk(t, "rsa", "k1")
	elsewhere["issuer"] = "https://tenants.test/c"
	own("tenants", "{jwks: "+jwks(t, elsewhere)+"}")
	resources = strings.Replace(resources, "issuer: https://tenants.test\n", "issuer: \"https://tenants.test/{tenantid}\"\ntenants: [a]\n", 1)
	of(cause.Tenant, "tenants", rs.token("tenants", object{"iss": "https://tenants.test/b", "tid": "b"}))
	of(cause.KeyIssuer, "tenants", rs.token("tenants", object{"iss": "https://tenants.test/a", "tid": "a"}))
	return resources, refusals
}

// refusalsOfRequests are refused before, or just when, their credential is found.
func refusalsOfRequests(t *testing.T, rs key) (resources string, refusals []refusal) {
	t.Helper()
	good := bearer(rs.token("acme", nil))
	raw := func(c cause.Cause, text string) { refusals = append(refusals, refusal{cause: c, raw: text}) }
	of := func(c cause.Cause, target string, header ...string) {
		refusals = append(refusals, refusal{cause: c, call: call{target: target, header: header}})
	}
	const end = "\r\nConnection: close\r\n\r\n"
	raw(cause.HTTPVersion, "GET / HTTP/1.2\r\nHost: HOST"+end)
	raw(cause.Unreadable, "GET\r\n\r\n")
	raw(cause.HeaderSection, "GET / HTTP/1.1\r\nHost: HOST\r\nA: b\r\n c"+end)
	raw(cause.HeaderTooLarge, "GET / HTTP/1.1\r\nHost: HOST\r\nA: "+strings.Repeat("a", 80<<10)+end)
	raw(cause.Framing, "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"+end+"0\r\n\r\n")
	raw(cause.Expectation, "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\nExpect: more"+end)
	raw(cause.MethodNeverServed, "TRACE / HTTP/1.1\r\nHost: HOST"+end)
	raw(cause.Target, "GET /a%2fb HTTP/1.1\r\nHost: HOST"+end)
	raw(cause.Host, "GET http://other.test/ HTTP/1.1\r\nHost: HOST"+end)
	of(cause.CertificateField, "/acme", "Client-Cert: junk")
	of(cause.NoRoute, "/nowhere")
	of(cause.CredentialMissing, "/acme")
	of(cause.CredentialAmbiguous, "/acme", good, bearer("other"))
	of(cause.CredentialMalformed, "/acme", bearer("a b"))
	resources += api("from") + plan("from-jwt", "JWT", `jwt: {issuers: [acme], token_from: "request.headers['x-token'].split(' ')[1]"}`)
	of(cause.CredentialUnreadable, "/from", "X-Token: one")
	resources += api("select") + plan("select-jwt", "JWT", `selection_rule: "'x-on' in request.headers"`, "jwt: {issuers: [acme]}")
	of(cause.NoPlan, "/select", good)
	of(cause.ConnectionField, "/acme", good, "Connection: authorization")
	resources += strings.Replace(simple("small", "acme"), "targets: [{url: $UPSTREAM}]", "targets: [{url: $UPSTREAM}], max_request_body: 10B", 1)
	refusals = append(refusals, refusal{cause: cause.BodyTooLarge, call: call{method: "POST", target: "/small", header: []string{good}, body: "more than ten bytes"}})
	raw(cause.BodyBroken, "POST /acme HTTP/1.1\r\nHost: HOST\r\n"+good+"\r\nContent-Length: 30000\r\n\r\nx")
	of(cause.PageMethod, "/.well-known/portcullis/jwks.json")
	refusals[len(refusals)-1].method = "POST"
	return resources, refusals
}

// refusalsOfCallers are known, and may not.
func refusalsOfCallers(t *testing.T, rs key) (resources string, refusals []refusal) {
	t.Helper()
	of := func(c cause.Cause, target string, header ...string) {
		refusals = append(refusals, refusal{cause: c, call: call{target: target, header: header}})
	}
	good := bearer(rs.token("acme", nil))
	of(cause.ApplicationUnknown, "/acme", bearer(rs.token("acme", object{"azp": "nobody"})))
	one := func(id string) string { return api(id) + plan(id+"-jwt", "JWT", "jwt: {issuers: [acme]}") }
	resources += one("none") + one("pending") + one("paused") + one("future") + one("past")
	of(cause.SubscriptionMissing, "/none", good)
	for id, line := range map[string]string{
		"pending": "status: PENDING", "paused": "status: PAUSED", "future": "starts_at: " + at(3600), "past": "ends_at: " + at(-3600),
	} {
		resources += dated("acme-app", id+"-jwt", line)
	}
	of(cause.SubscriptionPending, "/pending", good)
	of(cause.SubscriptionPaused, "/paused", good)
	of(cause.SubscriptionNotBegun, "/future", good)
	of(cause.SubscriptionEnded, "/past", good)
	// More plans say no than are kept.
	resources += api("many")
	for i := range 12 {
		resources += plan("many-"+strconv.Itoa(i), "JWT", "jwt: {issuers: [acme]}")
	}
	of(cause.SubscriptionMissing, "/many", good)
	keys := "{jwks: " + jwks(t, jwk(t, "rsa", "k1")) + "}"
	resources += issuer("lists", keys, "subscription_claim: subscribedAPIs") + api("listed") + plan("listed-jwt", "JWT", "jwt: {issuers: [lists]}")
	of(cause.SubscriptionUnlisted, "/listed", bearer(rs.token("lists", nil)))
	resources += strings.Replace(issuer("sand", keys), `client_id: "app"`, `environment: SANDBOX, client_id: "app"`, 1) + simple("sand", "sand")
	of(cause.NoSandbox, "/sand", bearer(rs.token("sand", nil)))
	resources += simple("scoped", "acme", "scopes: {all: [read]}") + simple("ruled", "acme", "claim_rules: [{claim: level, mandatory: true}]")
	of(cause.Scope, "/scoped", good)
	of(cause.ClaimRule, "/ruled", good)
	limited := func(id, restrictions string) string {
		return api(id) + plan(id+"-free", "KEYLESS", "restrictions: {"+restrictions+"}")
	}
	resources += limited("filter", "resource_filter: {allow: [{path: /a, methods: [GET]}]}") +
		limited("rate", "rate_limit: {requests: 1, period: 3600s}") + limited("quota", "quota: {requests: 1, period: 24h}") + limited("spike", "spike_arrest: {requests: 1, period: 3600s}")
	of(cause.ResourceFiltered, "/filter/b")
	refusals = append(refusals, refusal{cause: cause.MethodFiltered, call: call{method: "PUT", target: "/filter/a"}})
	for _, l := range []struct {
		c  cause.Cause
		id string
	}{{cause.LimitRate, "/rate"}, {cause.LimitQuota, "/quota"}, {cause.LimitSpike, "/spike"}} {
		of(l.c, l.id) // which refusalsOfBindings uses up
	}
	resources += api("keys") + plan("keys-key", "API_KEY") + "---\nkind: Application\nid: script\nname: Script\napi_keys:\n" +
		"  - {id: k1, sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824, expires_at: " + at(-60) + "}\n"
	of(cause.APIKeyUnknown, "/keys", "X-Api-Key: other")
	of(cause.APIKeyExpired, "/keys", apiKey)
	return resources, refusals
}

// refusalsOfUpstreams: each is bad in its own way.
func refusalsOfUpstreams(t *testing.T, _ key) (resources string, refusals []refusal) {
	t.Helper()
	open := func(id, url, lines string) {
		resources += strings.Replace(api(id), "targets: [{url: $UPSTREAM}]", "targets: [{url: \""+url+"\"}]"+lines, 1) + plan(id+"-free", "KEYLESS")
	}
	of := func(c cause.Cause, id string) {
		refusals = append(refusals, refusal{cause: c, call: call{target: "/" + id}})
	}
	open("refuses", "http://127.0.0.1:9", "")
	of(cause.UpstreamConnect, "refuses")
	silent := answering(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	open("silent", "http://"+silent, ", response_timeout: 0.2s")
	of(cause.UpstreamAnswerTimeout, "silent")
	open("handshake", "https://"+silent, ", connect_timeout: 0.2s")
	of(cause.UpstreamConnectTimeout, "handshake")
	junk := answering(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "what?\r\n\r\n")
		_ = c.Close()
	})
	open("junk", "http://"+junk, "")
	of(cause.UpstreamAnswer, "junk")
	return resources, refusals
}

// answering is a server that treats each connection like this.
func answering(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go serve(c)
		}
	}()
	return ln.Addr().String()
}

// refusalsOfIntrospection: the token says what its server does.
func refusalsOfIntrospection(t *testing.T, rs key) (resources string, refusals []refusal) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.PostFormValue("token") {
		case "dead":
			fmt.Fprint(w, `{"active":false}`)
		case "junk":
			fmt.Fprint(w, `what?`)
		case "slow":
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		case "denied":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	asks := func(id, to string) string {
		return "---\nkind: Issuer\nid: " + id + "\nissuer: https://" + id + ".test\nintrospection: {" + to + ", client_id: gw, client_secret: {value: s}, timeout: 0.3s}\n" +
			api(id) + plan(id+"-opaque", "OAUTH2", "oauth2: {issuers: ["+id+"]}")
	}
	of := func(c cause.Cause, id, token string) {
		refusals = append(refusals, refusal{cause: c, call: call{target: "/" + id, header: []string{bearer(token)}}})
	}
	for id, c := range map[string]cause.Cause{
		"dead": cause.Inactive, "junk": cause.IntrospectionAnswer, "slow": cause.IntrospectionTimeout, "denied": cause.IntrospectionUnauthorized, "broken": cause.IntrospectionStatus,
	} {
		resources += asks("in"+id, "url: \""+server.URL+"\"")
		of(c, "in"+id, id)
	}
	resources += asks("inaway", `url: "http://127.0.0.1:9/"`) + strings.NewReplacer("url: none, ", "", "issuer: https://inlost.test", "issuer: http://127.0.0.1:9\ndiscovery: true").Replace(asks("inlost", "url: none"))
	resources += asks("infails", `url: "http://127.0.0.1:9/fails"`)
	of(cause.IntrospectionUnreachable, "inaway", "x")
	of(cause.IntrospectionUndiscovered, "inlost", "x")
	of(cause.IssuerMismatch, "indead", rs.token("acme", nil))
	// A JWT plan has seen that a token is none, and the other plan was not asked.
	resources += api("opq") + plan("opq-jwt", "JWT", "jwt: {issuers: [acme]}") + plan("opq-opaque", "OAUTH2", `selection_rule: "'x-on' in request.headers"`, "oauth2: {issuers: [indead]}")
	of(cause.Opaque, "opq", "opaque")
	return resources, refusals
}

// refusalsOfBindings: tokens, certificates and proofs in other hands. The requests need
// to know the node's address.
func refusalsOfBindings(t *testing.T, rs key) (resources string, refusals func(*node) []refusal) {
	t.Helper()
	mine, sum, field := clientCert(t, "p256")
	_, _, other := clientCert(t, "p256#2")
	stale := certificate(t, "p256#3", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	_, ended, endedField := clientCert(t, "p256#4")
	resources += simple("b", "acme", "confirmation: {mtls: WHEN_BOUND, dpop: WHEN_BOUND}") + simple("must", "acme", "confirmation: {mtls: REQUIRED}") + simple("proves", "acme", "confirmation: {dpop: REQUIRED}") +
		api("m") + plan("m-mtls", "MTLS") + api("roots") + plan("roots-mtls", "MTLS", "mtls: {ca_pem: "+mustJSON("-----BEGIN CERTIFICATE-----\n"+certificate(t, "p256#5", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))+"\n-----END CERTIFICATE-----\n")+"}") +
		"---\nkind: Application\nid: machine\nname: Machine\ncertificates:\n  - {id: c1, sha256: " + sum + "}\n  - {id: c2, sha256: " + ended + ", expires_at: " + at(-60) + "}\n"
	byCert, byKey := rs.token("acme", object{"cnf": object{"x5t#S256": mine}}), rs.token("acme", object{"cnf": object{"jkt": jkt(t)}})
	dpop := "Authorization: DPoP " + byKey
	return resources, func(n *node) (refusals []refusal) {
		of := func(c cause.Cause, target string, header ...string) {
			refusals = append(refusals, refusal{cause: c, call: call{target: target, header: header}})
		}
		of(cause.Binding, "/b", bearer(rs.token("acme", object{"cnf": object{"kid": "x"}})))
		of(cause.BindingUnwanted, "/acme", bearer(byCert))
		of(cause.BindingMissing, "/must", bearer(rs.token("acme", nil)))
		of(cause.BindingMissing, "/proves", bearer(rs.token("acme", nil)))
		of(cause.BindingCertificate, "/b", bearer(byCert), other)
		of(cause.BindingScheme, "/b", bearer(byKey))
		of(cause.ProofMissing, "/b", dpop)
		with := func(c cause.Cause, proof string) { of(c, "/b", dpop, "DPoP: "+proof) }
		of(cause.ProofRepeated, "/b", dpop, "DPoP: "+proof(t, n, byKey, "1", nil), "DPoP: "+proof(t, n, byKey, "2", nil))
		with(cause.ProofMalformed, "x.y.z")
		k := key{alg: "ES256", private: pair(t, "p256")}
		with(cause.ProofType, k.sign(mustJSON(object{"alg": "ES256", "typ": "JWT"}), mustJSON(claims("acme", nil))))
		with(cause.ProofAlgorithm, key{alg: "HS256", secret: secret}.sign(mustJSON(object{"alg": "HS256", "typ": "dpop+jwt"}), mustJSON(claims("acme", nil))))
		with(cause.ProofClaims, proof(t, n, byKey, "3", object{"jti": absent{}}))
		with(cause.ProofKey, k.sign(mustJSON(object{"alg": "ES256", "typ": "dpop+jwt"}), mustJSON(object{"jti": "4", "htm": "GET", "htu": "http://a/", "iat": time.Now().Unix(), "ath": "x"})))
		foreign := object(jwk(t, "p256#2", ""))
		delete(foreign, "use")
		with(cause.ProofThumbprint, key{alg: "ES256", private: pair(t, "p256#2")}.sign(mustJSON(object{"alg": "ES256", "typ": "dpop+jwt", "jwk": foreign}),
			mustJSON(object{"jti": "5", "htm": "GET", "htu": "http://a/", "iat": time.Now().Unix(), "ath": "x"})))
		with(cause.ProofToken, proof(t, n, byCert, "6", nil))
		with(cause.ProofMethod, proof(t, n, byKey, "7", object{"htm": "POST"}))
		with(cause.ProofURL, proof(t, n, byKey, "8", object{"htu": "http://" + n.front + "/c"}))
		with(cause.ProofTime, proof(t, n, byKey, "9", object{"iat": time.Now().Unix() - 600}))
		with(cause.ProofSignature, forge(proof(t, n, byKey, "10", nil)))
		used := proof(t, n, byKey, "11", nil)
		if a := n.ask(call{target: "/b", header: []string{dpop, "DPoP: " + used}}); a.status != http.StatusOK {
			t.Errorf("a good proof: %d %s", a.status, a.body)
		}
		with(cause.ProofReplayed, used)
		of(cause.CertificateDates, "/m", "Client-Cert: :"+stale+":")
		of(cause.CertificateUnknown, "/m", other)
		of(cause.CertificateExpired, "/m", endedField)
		of(cause.CertificateUntrusted, "/roots", field)
		// The servers and limits that only fail, or refuse, the next time.
		of(cause.IntrospectionCircuit, "/infails", bearer("again"))
		refusals[len(refusals)-1].first = func() { // the circuit is open for a second
			for i := range 10 {
				n.ask(call{target: "/infails", header: []string{bearer("again" + strconv.Itoa(i))}})
			}
		}
		for _, limit := range []string{"/rate", "/quota", "/spike"} {
			n.ask(call{target: limit})
		}
		refusals = append(refusals, refusal{cause: cause.HeaderTimeout, raw: "GET / HTTP/1.1\r\nHost: HOST\r\n", open: true})
		refusals = append(refusals, refusal{cause: cause.BodyTimeout, raw: "POST /acme HTTP/1.1\r\nHost: HOST\r\n" + bearer(rs.token("acme", nil)) + "\r\nContent-Length: 10\r\n\r\nx", open: true})
		return refusals
	}
}
