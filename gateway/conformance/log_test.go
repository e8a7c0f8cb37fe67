package conformance_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway"
)

// TestLogOfRefusals: the line about a refused request says which plan refused whom and
// why, and nothing of the token.
func TestLogOfRefusals(t *testing.T) {
	rs := key{alg: "RS256", kid: "k1", private: pair(t, "rsa")}
	log := new(lines)
	n := startLogging(t, log, issuer("acme", `{jwks: `+jwks(t, jwk(t, "rsa", "k1"))+`}`)+simple("scoped", "acme", "scopes: {all: [read]}")+simple("a", "acme"))
	token := rs.token("acme", object{"sub": "alice-in-the-token"})
	for _, test := range []struct {
		target, token string
		want          []string
	}{
		{"/scoped/x?key=hidden", token, []string{"status=403", "reason=insufficient_scope", "cause=scope", "method=GET", "path=/scoped/x", "client=127.0.0.1", "api=scoped", "plan=scoped-jwt", "application=acme-app"}},
		{"/a", forge(token), []string{"status=401", "reason=invalid_token", "cause=signature", "api=a"}},
		{"/a", forge(token), []string{"status=401", "reason=invalid_token", "cause=signature", "api=a"}}, // which is remembered
	} {
		id := n.ask(call{target: test.target, header: []string{bearer(test.token)}}).header.Get("X-Request-Id")
		line := ""
		n.until("logged", func() bool {
			for one := range strings.Lines(log.String()) {
				if strings.Contains(one, "request_id="+id+" ") {
					line = one
				}
			}
			return line != ""
		})
		for _, want := range test.want {
			if !strings.Contains(line, " "+want+" ") {
				t.Errorf("no %s in %s", want, line)
			}
		}
	}
	for _, secret := range []string{"alice", "hidden", token[:20], token[len(token)-20:]} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}

// TestAccessLogSettings: the old name goes on, and nothing is logged if that is asked for.
func TestAccessLogSettings(t *testing.T) {
	resources := api("free") + plan("free-open", "KEYLESS")
	for name, test := range map[string]struct {
		change      func(*gateway.Config)
		ok, refused bool
	}{
		"by default":   {func(*gateway.Config) {}, false, true},
		"all":          {func(c *gateway.Config) { c.AccessLog = "all" }, true, true},
		"off":          {func(c *gateway.Config) { c.AccessLog = "off" }, false, false},
		"log-requests": {func(c *gateway.Config) { c.LogRequests = true }, true, true},
	} {
		log := new(lines)
		n := &node{t: t, logger: slog.New(slog.NewTextHandler(log, nil)), change: test.change}
		n.run(resources)
		for target, want := range map[string]bool{"/free": test.ok, "/nowhere": test.refused} {
			id := n.ask(call{target: target}).header.Get("X-Request-Id")
			n.ask(call{target: target}) // the line about a request is written before its connection's next one
			if got := strings.Contains(log.String(), id); got != want {
				t.Errorf("%s: %s is logged: %v", name, target, got)
			}
		}
	}
}
