package conformance_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

func attacksOnRequests(t *testing.T, rs key) []attack {
	t.Helper()
	good := rs.token("acme", nil)
	auth := "Authorization: Bearer GOOD\r\n"
	// line is a request of one target, with a good token.
	line := func(target string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: a.test\r\n" + auth + "Connection: close\r\n\r\n"
	}
	with := func(fields string) string {
		return "GET /a HTTP/1.1\r\nHost: a.test\r\n" + auth + fields + "Connection: close\r\n\r\n"
	}
	body := func(fields, body string) string {
		return "POST /a HTTP/1.1\r\nHost: a.test\r\n" + auth + fields + "\r\n" + body
	}
	const next = "GET /a/smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
	paths := attack{id: "36", what: "paths that can be read in two ways", raw: []rawProbe{
		{"plain", line("/a/x"), 200, ""}, {"two slashes are one", line("//a//x"), 200, ""},
	}}
	for _, target := range []string{"/a/%2e%2e/free", "/a/../free", "/a/./x", "/free/..%2fa", "/free/%2e%2e%2fa", "/a%2fx", "/a%5cx", "/a\\x", "/a/%00", "/a/x%", "/a/%zz", "/a/x#y", "/a/..;/free", "/a/%252e%252e/free", "a", "/a/\x80"} {
		paths.raw = append(paths.raw, rawProbe{target, line(target), 400, "bad_request"})
	}
	paths.check = func(t *testing.T, n *node) {
		t.Helper()
		n.raw(strings.ReplaceAll(line("//a//x;p=1/%41%7e"), "GOOD", good))
		if got := n.received().target; got != "/x;p=1/A~" {
			t.Errorf("what was matched is not what is sent: %s", got)
		}
	}
	return []attack{
		spoofedHeaders(rs),
		{id: "32", what: "Connection names a field that the gateway sets or has checked", setup: simple("a32", "acme", "claims_to_headers: [{claim: sub, header: X-User-Id}]"), raw: []rawProbe{
			{"a claim's", strings.Replace(with("Connection: close, X-User-Id\r\n"), "/a ", "/a32 ", 1), 400, "bad_request"},
			{"in another case", strings.Replace(with("Connection: x-USER-id\r\n"), "/a ", "/a32 ", 1), 400, "bad_request"},
			{"Authorization", with("Connection: authorization\r\n"), 400, "bad_request"},
			{"X-Forwarded-For", with("Connection: X-Forwarded-For\r\n"), 400, "bad_request"},
			{"Host", with("Connection: Host\r\n"), 400, "bad_request"},
			{"X-Request-Id", with("Connection: X-Request-Id\r\n"), 400, "bad_request"},
		}},
		{id: "33", what: "more than one credential", setup: simple("a33", "acme", `token_from: "'token' in request.cookies ? request.cookies['token'] : request.query['access_token']"`) + plan("a33-bearer", "JWT", "jwt: {issuers: [acme]}") +
			simple("a33c", "acme", `token_from: "request.query['access_token']"`), raw: []rawProbe{
			{"twice the same", with(auth), 400, "invalid_request"},
			{"another first", with("Authorization: Basic YTpi\r\n"), 400, "invalid_request"},
			{"two in one", with("")[:0] + "GET /a HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer GOOD, Bearer GOOD\r\nConnection: close\r\n\r\n", 400, "invalid_request"},
			{"header and query", "GET /a33?access_token=GOOD HTTP/1.1\r\nHost: a.test\r\n" + auth + "Connection: close\r\n\r\n", 400, "invalid_request"},
			{"header and cookie", "GET /a33 HTTP/1.1\r\nHost: a.test\r\nCookie: token=GOOD\r\n" + auth + "Connection: close\r\n\r\n", 400, "invalid_request"},
			{"query twice", "GET /a33?access_token=GOOD&access_token=GOOD HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", 400, "invalid_request"},
			{"cookie twice", "GET /a33 HTTP/1.1\r\nHost: a.test\r\nCookie: token=GOOD; token=x\r\nConnection: close\r\n\r\n", 400, "invalid_request"},
			{"a bearer token where no plan takes it from, beside", "GET /a33c?access_token=GOOD HTTP/1.1\r\nHost: a.test\r\n" + auth + "Connection: close\r\n\r\n", 200, ""},
			{"a bearer token where no plan takes it from, alone", "GET /a33c HTTP/1.1\r\nHost: a.test\r\n" + auth + "Connection: close\r\n\r\n", 401, "missing_credentials"},
			{"one", "GET /a33?access_token=GOOD HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", 200, ""},
		}},
		whitespace(),
		{id: "35", what: "requests that two servers would end at different places", raw: []rawProbe{
			{"both lengths", body("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+next), 400, "bad_request"},
			{"two lengths", body("Content-Length: 1\r\nContent-Length: 60\r\n", "x"+next), 400, "bad_request"},
			{"two equal lengths", body("Content-Length: 1\r\nContent-Length: 1\r\n", "x"), 400, "bad_request"},
			{"a list of lengths", body("Content-Length: 1, 1\r\n", "x"), 400, "bad_request"},
			{"signed", body("Content-Length: +1\r\n", "x"), 400, "bad_request"},
			{"hexadecimal", body("Content-Length: 0x1\r\n", "x"), 400, "bad_request"},
			{"leading zero", body("Content-Length: 01\r\n", "x"), 400, "bad_request"},
			{"a blank before the colon", body("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"+next), 400, "bad_request"},
			{"a blank before the name", body(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+next), 400, "bad_request"},
			{"folded", body("X-A: b\r\n Transfer-Encoding: chunked\r\n", next), 400, "bad_request"},
			{"another coding", body("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"+next), 400, "bad_request"},
			{"a coding that is none", body("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+next), 400, "bad_request"},
			{"chunked twice", body("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+next), 400, "bad_request"},
			{"identity", body("Transfer-Encoding: identity\r\n", next), 400, "bad_request"},
			{"a vertical tab", body("Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n"+next), 400, "bad_request"},
			{"LF alone", "POST /a HTTP/1.1\nHost: a.test\nAuthorization: Bearer GOOD\nContent-Length: 0\n\n" + next, 400, "bad_request"},
			{"CR alone", body("X-A: b\rTransfer-Encoding: chunked\r\n", next), 400, "bad_request"},
			{"NUL", body("X-A: \x00\r\n", next), 400, "bad_request"},
			{"HTTP/1.0 and chunked", "POST /a HTTP/1.0\r\nHost: a.test\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, 400, "bad_request"},
			{"no Host", "GET /a HTTP/1.1\r\n" + auth + "\r\n" + next, 400, "bad_request"},
			{"two Hosts", "GET /a HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n" + auth + "\r\n" + next, 400, "bad_request"},
		}},
		paths,
		{id: "37", what: "a target with a host of its own", setup: api("a37", "hosts: [admin.test]") + plan("a37-free", "KEYLESS"), raw: []rawProbe{
			{"the same", "GET http://a.test/a HTTP/1.1\r\nHost: a.test\r\n" + auth + "Connection: close\r\n\r\n", 200, ""},
			{"another", "GET http://admin.test/a37 HTTP/1.1\r\nHost: a.test\r\n" + auth + "Connection: close\r\n\r\n", 400, "bad_request"},
			{"another, the other way", "GET http://a.test/a37 HTTP/1.1\r\nHost: admin.test\r\n" + auth + "Connection: close\r\n\r\n", 400, "bad_request"},
			{"another port", "GET http://a.test:81/a HTTP/1.1\r\nHost: a.test\r\n" + auth + "Connection: close\r\n\r\n", 400, "bad_request"},
			{"a user", "GET http://a.test@admin.test/a HTTP/1.1\r\nHost: a.test\r\n" + auth + "Connection: close\r\n\r\n", 400, "bad_request"},
			{"another scheme", "GET file:///a HTTP/1.1\r\nHost: a.test\r\n" + auth + "Connection: close\r\n\r\n", 400, "bad_request"},
			{"case and a final dot are no difference", "GET /a37 HTTP/1.1\r\nHost: ADMIN.test.:80\r\nConnection: close\r\n\r\n", 200, ""},
		}},
		overrides(rs),
		{id: "39", what: "CONNECT, TRACE, and an upgrade", raw: []rawProbe{
			{"CONNECT", "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n" + auth + "\r\n", 405, "method_not_allowed"},
			{"CONNECT with a path", "CONNECT /a HTTP/1.1\r\nHost: a.test\r\n" + auth + "\r\n", 405, "method_not_allowed"},
			{"TRACE", "TRACE /a HTTP/1.1\r\nHost: a.test\r\n" + auth + "Connection: close\r\n\r\n", 405, "method_not_allowed"},
		}, probes: []probe{
			pass("an upgrade goes on as a plain request", "a-jwt", "/a", bearer(good), "Connection: Upgrade", "Upgrade: websocket").sending(func(r *received) string {
				return has("Upgrade", "")(r) + has("Connection", "")(r)
			}),
		}},
		oracle(rs),
		{id: "42", what: "a token in the query, where no plan takes it from", probes: []probe{
			deny("alone", 401, "missing_credentials", "/a?access_token="+good),
			pass("a keyless plan does not take it for one", "free-open", "/free?access_token="+good),
		}, check: func(t *testing.T, n *node) {
			t.Helper()
			if got := n.ask(call{target: "/a?access_token=" + good}).header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control %q", got)
			}
		}},
		{id: "43", what: "a preflight, real or pretended", raw: []rawProbe{
			{"real", "OPTIONS /a HTTP/1.1\r\nHost: a.test\r\nOrigin: https://evil.test\r\nAccess-Control-Request-Method: GET\r\nConnection: close\r\n\r\n", 401, "missing_credentials"},
			{"pretended", "GET /a HTTP/1.1\r\nHost: a.test\r\nOrigin: https://evil.test\r\nAccess-Control-Request-Method: GET\r\nConnection: close\r\n\r\n", 401, "missing_credentials"},
		}},
		{id: "46", what: "HTTP/2 without TLS, other versions", raw: []rawProbe{
			{"preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, ""},
			{"HTTP/2.0", "GET /a HTTP/2.0\r\nHost: a.test\r\n" + auth + "\r\n", 505, "version_not_supported"},
			{"HTTP/1.2", "GET /a HTTP/1.2\r\nHost: a.test\r\n" + auth + "\r\n", 505, "version_not_supported"},
			{"HTTP/0.9", "GET /a\r\n\r\n", 400, ""},
			{"h2c", with("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"), 200, ""},
		}},
		{id: "50", what: "a body before the credential was looked at", check: func(t *testing.T, n *node) {
			t.Helper()
			bodiesWait(t, n, good)
		}},
	}
}

func spoofedHeaders(rs key) attack {
	good := rs.token("acme", nil)
	a := attack{id: "31", what: "headers that only the gateway may send, in every spelling", setup: simple("a31", "acme", "claims_to_headers: [{claim: sub, header: X-User-Id}, {claim: org, header: X-Org}]") +
		plan("a31-open", "KEYLESS")}
	gone := func(r *received) string {
		for name, values := range r.header {
			if strings.Contains(strings.Join(values, ""), "forged") {
				return fmt.Sprintf("%s is %q", name, values)
			}
		}
		return ""
	}
	for _, name := range []string{"X-User-Id", "x-user-id", "X_User_Id", "x-user_ID", "X-Org", "X-JWT-Assertion", "X_JWT_Assertion", "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "Forwarded", "X-Real-IP"} {
		a.probes = append(a.probes,
			pass(name, "a31-jwt", "/a31", bearer(good), name+": forged").sending(func(r *received) string { return gone(r) + has("X-User-Id", "alice")(r) }),
			pass(name+" at a keyless plan", "a31-open", "/a31", name+": forged").sending(gone))
	}
	return a
}

func whitespace() attack {
	a := attack{id: "34", what: "blanks, and what else stands in Authorization"}
	for value, want := range map[string]int{
		"Bearer GOOD": 200, "bearer GOOD": 200, "Bearer  GOOD": 200, "Bearer\tGOOD": 400, "Bearer GOOD x": 400, "Bearer": 400, "Bearer ": 400,
		"Bearer,": 400, "Bearer,GOOD": 400, "Bearer =GOOD": 400, `Bearer "GOOD"`: 400, "Bearer GOOD,": 400, "Bearer GOOD;x": 400, "Bearer:GOOD": 400,
		"GOOD": 401, "BearerGOOD": 401, "Basic GOOD": 401, "Token GOOD": 401, "JWT GOOD": 401, "": 401,
	} {
		reason := map[int]string{400: "invalid_request", 401: "missing_credentials"}[want]
		a.raw = append(a.raw, rawProbe{value, "GET /a HTTP/1.1\r\nHost: a.test\r\nAuthorization: " + value + "\r\nConnection: close\r\n\r\n", want, reason})
	}
	return a
}

func overrides(rs key) attack {
	a := attack{id: "38", what: "fields that say another method or path"}
	a.setup = api("a38") + plan("a38-jwt", "JWT", "jwt: {issuers: [acme]}", "restrictions: {resource_filter: {allow: [{path: /open, methods: [GET]}]}}") + subscribe("acme-app", "a38-jwt")
	good := bearer(rs.token("acme", nil))
	for _, field := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override", "X-Original-URL", "X-Rewrite-URL", "X-Envoy-Original-Path", "X-Original-Method"} {
		a.probes = append(a.probes, pass(field, "a38-jwt", "/a38/open", good, field+": /admin").sending(has(field, "")))
	}
	a.probes = append(a.probes,
		deny("no help against the filter", 405, "method_not_allowed", "/a38/open", good, "X-HTTP-Method-Override: GET").by("DELETE"),
		deny("nor for another path", 403, "resource_forbidden", "/a38/admin", good, "X-Original-URL: /a38/open"))
	return a
}

func (p probe) by(method string) probe {
	p.method = method
	return p
}

// oracle shows that refusals of tokens cannot be told apart, and that neither answers nor logs have them.
func oracle(rs key) attack {
	return attack{id: "41", what: "what answers and logs tell", check: func(t *testing.T, _ *node) {
		t.Helper()
		var log lines
		n := startLogging(t, &log, issuer("acme", `{jwks: `+jwks(t, jwk(t, "rsa", "k1"))+`}`, "audiences: [right]"), simple("a", "acme"))
		right := object{"aud": "right"}
		tokens := []string{
			"junk", rs.token("nobody", right), rs.token("acme", object{"aud": "wrong"}), forge(rs.token("acme", right)), key{alg: "RS256", kid: "zz", private: pair(t, "rsa#2")}.token("acme", right),
			key{alg: "HS256", kid: "k1", secret: secret}.token("acme", right), rs.token("acme", object{"aud": "right", "exp": absent{}}), rs.token("acme", object{"aud": "right", "nbf": 9999999999}),
		}
		var first answer
		for i, token := range tokens {
			got := n.ask(call{target: "/a", header: []string{bearer(token)}})
			got.header.Del("X-Request-Id")
			got.header.Del("Date")
			if i == 0 {
				first = got
			}
			if got.status != 401 || got.body != first.body || fmt.Sprint(got.header) != fmt.Sprint(first.header) {
				t.Errorf("token %d: %d %v %s, not %v %s", i, got.status, got.header, got.body, first.header, first.body)
			}
		}
		n.ask(call{target: "/a?access_token=" + tokens[3], header: []string{bearer(rs.token("acme", right)), "Cookie: token=" + tokens[3]}})
		n.ask(call{target: "/a?access_token=" + tokens[3], header: []string{"Cookie: token=" + tokens[3]}})
		text := log.String()
		if !strings.Contains(text, "invalid_token") {
			t.Fatalf("no log of the refusals: %s", text)
		}
		for _, token := range append(tokens, rs.token("acme", right)) {
			for part := range strings.SplitSeq(token, ".") {
				if len(part) > 20 && strings.Contains(text, part) {
					t.Error("a part of a token is in the log")
				}
			}
		}
	}}
}

func startLogging(t *testing.T, log *lines, resources ...string) *node {
	t.Helper()
	n := &node{t: t}
	n.logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n.run(resources...)
	return n
}

// bodiesWait: without a credential, no body is asked for, and none is waited for.
func bodiesWait(t *testing.T, n *node, good string) {
	t.Helper()
	for name, test := range map[string]struct{ authorization, want string }{
		"no credential":   {"", "HTTP/1.1 401 "},
		"bad credential":  {"Authorization: Bearer junk\r\n", "HTTP/1.1 401 "},
		"good credential": {"Authorization: Bearer " + good + "\r\n", "HTTP/1.1 100 "},
	} {
		c, err := net.Dial("tcp", n.front)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(c, "POST /a HTTP/1.1\r\nHost: a.test\r\n"+test.authorization+"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
		first, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.HasPrefix(first, test.want) {
			t.Errorf("%s: %q %v, want %s", name, first, err, test.want)
		}
		_ = c.Close()
	}
}
