package fronttest

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
)

// asking is a request with a token in the query and in a header, neither of which may be told.
func asking(credential string) string {
	return "GET /a//b?key=q-secret HTTP/1.1\r\nHost: A.test\r\nX-Token: " + credential + "\r\n" + end
}

// refusalsAreLogged: one line says what an operator needs, and nothing of a secret.
func (s suite) refusalsAreLogged(t *testing.T) {
	n := s.node(t, nil)
	answer := n.send(t, asking("h-secret"))
	_, id, _ := strings.Cut(answer, "X-Request-Id: ")
	id, _, _ = strings.Cut(id, "\r\n")
	lines := n.lines("msg=request ")
	if len(lines) != 1 {
		t.Fatalf("%d lines for one refusal:\n%s", len(lines), n.log)
	}
	for _, want := range []string{
		"request_id=" + id + " ", "status=401 ", "reason=invalid_token ", "cause=audience ", "method=GET ", "host=a.test ", "path=/a/b ",
		"client=127.0.0.1 ", "api=orders",
	} {
		if !strings.Contains(lines[0]+" ", want) {
			t.Errorf("no %sin %s", want, lines[0])
		}
	}
	if strings.Contains(n.log.String(), "secret") {
		t.Errorf("a credential in the log:\n%s", n.log)
	}
	if got := n.counted(t, "portcullis_denials_total", "audience"); got != 1 {
		t.Errorf("%v refusals for their audience counted", got)
	}
	// What no step has seen is refused for a cause, too.
	n.send(t, "TRACE / HTTP/1.1\r\nHost: a\r\n"+end)
	if !n.tells("cause=method_never_served") {
		t.Errorf("the log does not say why:\n%s", n.log)
	}
}

func (s suite) whichRequestsAreLogged(t *testing.T) {
	for _, test := range []struct {
		what        string
		log         front.AccessLog
		ok, refused int
	}{{"off", front.LogNone, 0, 0}, {"refused", front.LogRefused, 0, 1}, {"all", front.LogAll, 1, 1}} {
		n := s.node(t, func(c *front.Config) { c.AccessLog = test.log })
		n.send(t, asking("ok"))
		if got := len(n.lines("status=200")); got != test.ok {
			t.Errorf("%s: %d lines for a request that was let through", test.what, got)
		}
		n.send(t, asking("x"))
		if got := len(n.lines("status=401")); got != test.refused {
			t.Errorf("%s: %d lines for one that was refused", test.what, got)
		}
	}
}

// requestIDsOfProxies: an id goes on, to the upstream, the client and the log, if it
// cannot be taken for anything else.
func (s suite) requestIDsOfProxies(t *testing.T) {
	n := s.node(t, func(c *front.Config) {
		c.Trusted, c.AccessLog = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, front.LogAll
	})
	for id, kept := range map[string]bool{
		"7b1f0c52-6f0e-4d57-9a3d-4b8f2c1d9e10": true, "Root=1-67891233-abcdef012345678912345678": true, "req:4711/a": true,
		strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
		"": false, "a b": false, "a\tb": false, `a"b`: false, "a,b": false, "a%0ab": false, "\xc3\xa4": false, "a;b": false, "<a>": false,
		"one\r\nX-Request-Id: two": false,
	} {
		answer := n.send(t, "GET / HTTP/1.1\r\nHost: a\r\n"+token+"X-Request-Id: "+id+"\r\n"+end)
		_, told, _ := strings.Cut(answer, "X-Request-Id: ")
		told, _, _ = strings.Cut(told, "\r\n")
		if (told == id) != kept || strings.Count(answer, told) != 2 || told == "" {
			t.Errorf("%q: kept %v, want %v:\n%s", id, told == id, kept, answer)
		}
		if !n.tells(told) {
			t.Errorf("%q: the log does not have %s", id, told)
		}
	}
}

// aShareIsLogged: of what was let through some, of what was refused all.
func (s suite) aShareIsLogged(t *testing.T) {
	const sent = 400
	n := s.node(t, func(c *front.Config) { c.AccessLog, c.LogShare = front.LogAll, 0.25 })
	n.send(t, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\nX-Token: ok\r\n\r\n", sent)+"GET / HTTP/1.1\r\nHost: a\r\n"+end)
	// Far outside of ten standard deviations, which are 87.
	if got := len(n.lines("status=200")); got < 13 || got > 187 {
		t.Errorf("%d of %d are logged", got, sent)
	}
	if got := len(n.lines("status=401")); got != 1 {
		t.Errorf("%d lines for a refused one", got)
	}
}

// refusalsLeftOut: a flood of one kind leaves others their lines, and its own count.
func (s suite) refusalsLeftOut(t *testing.T) {
	const sent = 40
	n := s.node(t, func(c *front.Config) { c.LogRate = 3 })
	n.send(t, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\nX-Token: x\r\n\r\n", sent)+"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if !n.tells("cause=credential_missing") {
		t.Errorf("another refusal is not told:\n%s", n.log)
	}
	count := regexp.MustCompile(`msg="requests refused and not logged" api=orders cause=audience count=(\d+)`)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		leftOut := 0
		for _, found := range count.FindAllStringSubmatch(n.log.String(), -1) {
			n, err := strconv.Atoi(found[1])
			if err != nil {
				t.Fatal(err)
			}
			leftOut += n
		}
		told := len(n.lines("cause=audience method"))
		if told+leftOut == sent && leftOut > 0 && told >= 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d told and %d left out of %d:\n%s", told, leftOut, sent, n.log)
		}
	}
}

// lines are those of the log that have this in them.
func (n *node) lines(part string) (found []string) {
	for line := range strings.Lines(n.log.String()) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

// tells reports whether a line with this comes within a second.
func (n *node) tells(part string) bool {
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if len(n.lines(part)) > 0 {
			return true
		}
	}
	return false
}
