package fronttest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
)

// What could be read in two ways is refused, and never reaches the upstream. Some
// of it a front may read, if there is one way in which it does, the upstream gets
// that way only, and nothing is read behind it where the end could be elsewhere.
// An HTTP stack may answer with another status what does not get to the gateway.
func (s suite) refusedForms(t *testing.T) {
	n := s.node(t, nil)
	for name, test := range map[string]struct {
		request, want string
		read          string // what the upstream gets of a form that may be read
	}{
		"length and coding":          {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", "POST / upstream.test \"\""},
		"coding and length":          {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400", "POST / upstream.test \"\""},
		"two lengths":                {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "400", "POST / upstream.test \"x\""},
		"length with zero":           {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Content-Length: 02\r\n\r\nxx", "400", ""},
		"signed length":              {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Content-Length: +2\r\n\r\nxx", "400", ""},
		"identity coding":            {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Transfer-Encoding: identity\r\n\r\n", "400", ""},
		"coding list":                {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400", ""},
		"coding twice":               {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", ""},
		"coding on 1.0":              {"POST / HTTP/1.0\r\nHost: a\r\n" + token + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", "POST / upstream.test \"\""},
		"blank before colon":         {"GET / HTTP/1.1\r\nHost: a\r\nX-Token : ok\r\n\r\n", "400", ""},
		"folded line":                {"GET / HTTP/1.1\r\nHost: a\r\n" + token + "X-A: 1\r\n 2\r\n\r\n", "400", "X-A: 1 2"},
		"bare LF":                    {"GET / HTTP/1.1\nHost: a\nX-Token: ok\n\n", "408", "GET / "},
		"one bare LF":                {"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\nX-Token: ok\r\n\r\n", "400", "X-A: 1"},
		"bare CR":                    {"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\rX-B: 2\r\n" + token + "\r\n", "400", ""},
		"NUL in a value":             {"GET / HTTP/1.1\r\nHost: a\r\nX-A: a\x00b\r\n" + token + "\r\n", "400", ""},
		"no host":                    {"GET / HTTP/1.1\r\n" + token + "\r\n", "400", ""},
		"empty host":                 {"GET / HTTP/1.1\r\nHost: \r\n" + token + "\r\n", "400", ""},
		"two hosts":                  {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"user in host":               {"GET / HTTP/1.1\r\nHost: u@a\r\n" + token + "\r\n", "400", ""},
		"path in host":               {"GET / HTTP/1.1\r\nHost: a/b\r\n" + token + "\r\n", "400", ""},
		"bad port":                   {"GET / HTTP/1.1\r\nHost: a:port\r\n" + token + "\r\n", "400", ""},
		"hosts differ":               {"GET http://b/ HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", "GET / "},
		"ports differ":               {"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", "GET / "},
		"other scheme":               {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"asterisk":                   {"OPTIONS * HTTP/1.1\r\nHost: a\r\n" + token + end, "400", ""},
		"authority":                  {"GET a:80 HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"connect":                    {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n" + token + "\r\n", "405", ""},
		"trace":                      {"TRACE / HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "405", ""},
		"version 1.2":                {"GET / HTTP/1.2\r\nHost: a\r\n" + token + "\r\n", "505", ""},
		"version 2.0":                {"GET / HTTP/2.0\r\nHost: a\r\n" + token + "\r\n", "505", ""},
		"version none":               {"GET / HTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
		"expectation":                {"GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\n" + token + end, "417", ""},
		"encoded slash":              {"GET /a%2fb HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"encoded dots":               {"GET /a/%2e%2e/b HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"dots":                       {"GET /a/../b HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"dots with parameter":        {"GET /a/..;x/b HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"NUL in path":                {"GET /a%00 HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"broken encoding":            {"GET /a%zz HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"fragment":                   {"GET /a#b HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"backslash":                  {"GET /a\\b HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"8-bit":                      {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n" + token + "\r\n", "400", ""},
		"connection names protected": {"GET / HTTP/1.1\r\nHost: a\r\n" + token + "Connection: close, x-forwarded-for\r\n\r\n", "400", ""},
		"header too large":           {"GET / HTTP/1.1\r\nHost: a\r\n" + token + "X-A: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", "431", ""},
		"body too large":             {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Content-Length: 1001\r\n" + end + "x", "413", ""},
		"half a body":                {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Content-Length: 2\r\n" + end + "x", "408", ""},
		"no body":                    {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Content-Length: 2\r\n\r\n", "408", ""},
		"half a header":              {"GET / HTTP/1.1\r\nHost: a\r\nX-", "408", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := n.upstream.reached.Load()
			answer := n.send(t, test.request)
			if status(answer) == "200" && test.read != "" {
				if !strings.Contains(answer, test.read) || n.upstream.reached.Load() != before+1 {
					t.Errorf("want %q, once, got\n%s", test.read, answer)
				}
				if ambiguous := strings.Contains(test.request, "Transfer-Encoding"); ambiguous && !strings.Contains(answer, "Connection: close") {
					t.Errorf("what is behind the request would be read as another:\n%s", answer)
				}
				return
			}
			if reached := n.upstream.reached.Load(); reached != before {
				t.Errorf("%d requests reached the upstream", reached-before)
			}
			ours := strings.Contains(answer, "X-Request-Id: ")
			switch {
			case ours && (status(answer) != test.want || !strings.Contains(answer, "application/problem+json")):
				t.Errorf("want %s, got\n%s", test.want, answer)
			case !ours && answer != "" && status(answer) < "400":
				t.Errorf("not refused:\n%s", answer)
			}
		})
	}
}

func (s suite) acceptedForms(t *testing.T) {
	n := s.node(t, nil)
	for name, test := range map[string]struct{ request, want string }{
		"plain":               {"GET /a?b=%20c HTTP/1.1\r\nHost: a\r\n" + token + end, "GET /a?b=%20c "},
		"slashes":             {"GET //a///b HTTP/1.1\r\nHost: a\r\n" + token + end, "GET /a/b "},
		"encodings":           {"GET /%61%7e%c3%a4%3a HTTP/1.1\r\nHost: a\r\n" + token + end, "GET /a~%C3%A4: "},
		"absolute form":       {"GET http://A:80/x HTTP/1.1\r\nHost: a\r\n" + token + end, "GET /x "},
		"absolute form alone": {"GET http://a?q HTTP/1.0\r\n" + token + end, "GET /?q "},
		"old":                 {"GET /x HTTP/1.0\r\n" + token + "\r\n", "GET /x "},
		"upgrade is ignored":  {"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade, HTTP2-Settings, close\r\n" + token + "\r\n", "GET /x "},
		"small body":          {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Content-Length: 2\r\n" + end + "hi", `"hi"`},
		"chunks":              {"POST / HTTP/1.1\r\nHost: a\r\n" + token + "Transfer-Encoding: chunked\r\n" + end + "2\r\nhi\r\n0\r\n\r\n", `"hi"`},
		"custom method":       {"PURGE / HTTP/1.1\r\nHost: a\r\n" + token + end, "PURGE / "},
	} {
		t.Run(name, func(t *testing.T) {
			answer := n.send(t, test.request)
			if status(answer) != "200" || !strings.Contains(answer, test.want) {
				t.Errorf("want %q, got\n%s", test.want, answer)
			}
		})
	}
}

// A name with '_' is another spelling of the one with '-' for many servers: it
// exists neither for the steps nor for the upstream.
func (s suite) oddNamesDoNotExist(t *testing.T) {
	n := s.node(t, nil)
	if got := status(n.send(t, "GET / HTTP/1.1\r\nHost: a\r\nX_Token: ok\r\n"+end)); got != "401" {
		t.Errorf("X_Token counted as a credential: %s", got)
	}
	if got := status(n.send(t, "GET / HTTP/1.1\r\nHost: a\r\nx-token: ok\r\nX-TOKEN: ok\r\n"+end)); got != "400" {
		t.Errorf("two credentials: %s", got)
	}
}

func (s suite) pipelinedRequests(t *testing.T) {
	n := s.node(t, nil)
	answer := n.send(t, "GET /1 HTTP/1.1\r\nHost: a\r\n"+token+"\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"+token+"\r\nhiGET /3 HTTP/1.1\r\nHost: a\r\n"+end)
	if strings.Count(answer, "HTTP/1.1 ") != 3 || !strings.Contains(answer, "GET /1") || !strings.Contains(answer, `"hi"`) || !strings.Contains(answer, "401") {
		t.Errorf("got\n%s", answer)
	}
}

func (s suite) continueOnlyAfterAuthentication(t *testing.T) {
	n := s.node(t, nil)
	head := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
	if answer := n.send(t, head+"\r\n"); status(answer) != "401" || strings.Contains(answer, "100 Continue") || !strings.Contains(answer, "WWW-Authenticate") {
		t.Errorf("without token: %s", answer)
	}
	if answer := n.send(t, strings.Replace(head, "h: 2", "h: 2000", 1)+token+"\r\n"); status(answer) != "413" {
		t.Errorf("too large: %s", answer)
	}
	if answer := n.send(t, head+"X-Token: panic\r\n\r\n"); status(answer) != "500" {
		t.Errorf("panic: %s", answer)
	}
	c, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, head+token+end)
	br := bufio.NewReader(c)
	if line, _ := br.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 100 Continue") {
		t.Fatalf("got %q", line)
	}
	_, _ = br.ReadString('\n')
	_, _ = io.WriteString(c, "hi")
	rest, _ := io.ReadAll(br)
	if status(string(rest)) != "200" || !strings.Contains(string(rest), `"hi"`) {
		t.Errorf("got %s", rest)
	}
	if got := n.counted(t, "portcullis_requests_total", "2xx"); got != 1 {
		t.Errorf("%v requests counted as 2xx, want 1", got)
	}
}

func (s suite) denials(t *testing.T) {
	n := s.node(t, nil)
	for name, test := range map[string]struct{ request, status, want, body string }{
		"missing":          {"GET / HTTP/1.1\r\nHost: a\r\n", "401", "WWW-Authenticate: Bearer realm=\"portcullis\"\r\n", `"reason":"missing_credentials"`},
		"invalid":          {"GET / HTTP/1.1\r\nHost: a\r\nX-Token: x\r\n", "401", `error="invalid_token"`, `"code":900901`},
		"wso2":             {"GET /?format=WSO2 HTTP/1.1\r\nHost: a\r\n", "401", "application/json", `{"fault":{"code":900902,`},
		"flex":             {"GET /?format=FLEX HTTP/1.1\r\nHost: a\r\n", "400", "application/json", `{"error":"JWT Token is required."}`},
		"gravitee":         {"GET /?format=GRAVITEE HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n", "401", "application/json", `{"message":"Unauthorized","http_status_code":401}`},
		"gravitee in text": {"GET /?format=GRAVITEE HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n", "401", "text/plain", "\r\n\r\nUnauthorized"},
		"method":           {"GET / HTTP/1.1\r\nHost: a\r\nX-Token: method\r\n", "405", "Allow: GET, HEAD\r\n", "method_not_allowed"},
		"panic":            {"GET / HTTP/1.1\r\nHost: a\r\nX-Token: panic\r\n", "500", "problem+json", "internal_error"},
		"foreign error":    {"GET / HTTP/1.1\r\nHost: a\r\nX-Token: fault\r\n", "500", "problem+json", "internal_error"},
		"head":             {"HEAD / HTTP/1.1\r\nHost: a\r\n", "401", "WWW-Authenticate: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer := n.send(t, test.request+end)
			if status(answer) != test.status || !strings.Contains(answer, test.want) || !strings.Contains(answer, test.body) ||
				!strings.Contains(answer, "X-Request-Id: ") || !strings.Contains(answer, "Cache-Control: no-store") {
				t.Errorf("want %s %q %q, got\n%s", test.status, test.want, test.body, answer)
			}
			if strings.Contains(answer, "secret detail") || strings.Contains(answer, "on purpose") {
				t.Errorf("a cause in the answer:\n%s", answer)
			}
			_, body, _ := strings.Cut(answer, "\r\n\r\n")
			if name == "head" && body != "" {
				t.Errorf("HEAD was answered with a body: %q", body)
			}
			if strings.HasPrefix(body, "{") && !json.Valid([]byte(body)) {
				t.Errorf("no JSON: %q", body)
			}
		})
	}
	if !strings.Contains(n.log.String(), "secret detail") || !strings.Contains(n.log.String(), "on purpose") {
		t.Errorf("the log does not tell the causes:\n%s", n.log.String())
	}
	if got := n.counted(t, "portcullis_denials_total", "missing_credentials"); got != 6 {
		t.Errorf("%v denials counted, want 6", got)
	}
}

func (s suite) requestIDsAreOurs(t *testing.T) {
	n := s.node(t, nil)
	seen := map[string]bool{}
	for range 5 {
		answer := n.send(t, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n"+token+end)
		_, id, _ := strings.Cut(answer, "X-Request-Id: ")
		id, _, _ = strings.Cut(id, "\r\n")
		if id == "" || seen[id] || strings.Contains(answer, "mine") {
			t.Errorf("id %q in\n%s", id, answer)
		}
		seen[id] = true
	}
}

func (s suite) drain(t *testing.T) {
	drained := make(chan struct{})
	n := s.node(t, func(c *front.Config) {
		c.DrainDelay = 200 * time.Millisecond
		c.Draining = func() { close(drained) }
	})
	slow := make(chan string, 1)
	go func() { slow <- n.send(t, "GET /?sleep=600ms HTTP/1.1\r\nHost: a\r\n"+token+"\r\n") }()
	idle, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	time.Sleep(100 * time.Millisecond)
	n.stop()
	<-drained
	if answer := n.send(t, "GET / HTTP/1.1\r\nHost: a\r\n"+token+"\r\n"); status(answer) != "200" || !strings.Contains(answer, "Connection: close") {
		t.Errorf("during the delay: %s", answer)
	}
	if answer := <-slow; status(answer) != "200" {
		t.Errorf("in flight: %s", answer)
	}
	select {
	case err := <-n.done:
		n.done <- err
		if err != nil {
			t.Error(err)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("an idle connection holds the exit")
	}
	if c, err := net.Dial("tcp", n.address); err == nil {
		_ = c.Close()
		t.Error("still listening")
	}
}

func (s suite) drainGivesUpInTime(t *testing.T) {
	n := s.node(t, func(c *front.Config) { c.DrainTimeout = 100 * time.Millisecond })
	go n.send(t, "GET /?sleep=1s HTTP/1.1\r\nHost: a\r\n"+token+end)
	time.Sleep(100 * time.Millisecond)
	n.stop()
	err := <-n.done
	n.done <- err
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a deadline error", err)
	}
}
