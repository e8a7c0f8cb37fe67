package conformance_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway"
	"github.com/portcullis-gateway/portcullis/gateway/internal/otlp/otlptest"
)

// traced is a node that sends traces of all requests, or of those that a proxy traces.
func traced(t *testing.T, c *otlptest.Collector, all bool, proxies ...string) (n *node, good string) {
	t.Helper()
	rs := key{alg: "RS256", kid: "k1", private: pair(t, "rsa")}
	n = &node{t: t, logger: slog.New(slog.DiscardHandler), change: func(cfg *gateway.Config) {
		cfg.OTLPEndpoint, cfg.TrustedProxies = c.URL.String(), proxies
		cfg.OTLPTraceShare = 0
		if all {
			cfg.OTLPTraceShare = 1
		}
	}}
	n.run(issuer("acme", `{jwks: `+jwks(t, jwk(t, "rsa", "k1"))+`}`) + simple("a", "acme"))
	return n, "Authorization: Bearer " + rs.token("acme", nil)
}

const (
	foreignTrace, foreignSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	foreignParent             = "traceparent: 00-" + foreignTrace + "-" + foreignSpan + "-01"
)

// TestTraces goes through listener, decision, upstream and the collector's wire.
func TestTraces(t *testing.T) {
	c := otlptest.New(t)
	n, good := traced(t, c, true)

	// A client does not decide which trace a request belongs to.
	a := n.ask(call{target: "/a/x?key=HIDDEN", header: []string{good, foreignParent, "tracestate: a=1"}})
	server, client := c.Of(t, a.header.Get("X-Request-Id"))
	got := n.received().header
	if want := "00-" + server.TraceID + "-" + client.ID + "-01"; got.Get("Traceparent") != want || len(got.Values("Traceparent")) != 1 {
		t.Errorf("the upstream got %v, want %s", got.Values("Traceparent"), want)
	}
	if server.TraceID == foreignTrace || server.ParentID != "" || got.Get("Tracestate") != "" || client.ParentID != server.ID {
		t.Errorf("a client's trace goes on: %+v", server)
	}
	if server.Name != "GET a" || server.Attributes["http.route"] != "a" || server.Attributes["url.path"] != "/a/x" || server.Took < client.Took ||
		server.Attributes["http.response.status_code"] != 200 || server.Resource["service.name"] != "portcullis-gateway" {
		t.Errorf("server span %+v", server)
	}
	if n.upstream.URL != fmt.Sprintf("http://%v:%v", client.Attributes["server.address"], client.Attributes["server.port"]) {
		t.Errorf("client span %+v of %s", client, n.upstream.URL)
	}

	// A refused request's error is its cause.
	a = n.ask(call{target: "/a", header: []string{"Authorization: Bearer x.y.z"}})
	server, client = c.Of(t, a.header.Get("X-Request-Id"))
	if server.Attributes["error.type"] != "malformed" || server.Attributes["http.response.status_code"] != http.StatusUnauthorized || client.ID != "" {
		t.Errorf("refused: %+v, %+v", server, client)
	}
	for _, s := range c.Spans() {
		for name, value := range s.Attributes {
			if text, ok := value.(string); ok && (strings.Contains(text, "HIDDEN") || strings.Contains(good, text) && len(text) > 20) {
				t.Errorf("a secret is in %s", name)
			}
		}
	}
}

// TestTracesOfProxies: a trusted proxy's trace goes on, and its decision whether it is recorded.
func TestTracesOfProxies(t *testing.T) {
	c := otlptest.New(t)
	n, good := traced(t, c, false, "127.0.0.1")
	for _, test := range []struct {
		parent   string
		trace    string // empty: a new one
		recorded bool
	}{
		{foreignParent, foreignTrace, true},
		{strings.TrimSuffix(foreignParent, "1") + "0", foreignTrace, false},
		{"traceparent: 00-" + strings.ToUpper(foreignTrace) + "-" + foreignSpan + "-01", "", false},
		{"X: none", "", false},
	} {
		a := n.ask(call{target: "/a", header: []string{good, test.parent, "tracestate: a=1", "X-Request-Id: id-" + test.parent[len(test.parent)-2:]}})
		field := n.received().header.Get("Traceparent")
		parts := strings.Split(field, "-")
		if len(parts) != 4 || (parts[1] == foreignTrace) != (test.trace != "") || parts[2] == foreignSpan || (parts[3] == "01") != test.recorded {
			t.Errorf("%s: the upstream got %q", test.parent, field)
		}
		if state := n.received().header.Get("Tracestate"); (state == "a=1") != (test.trace != "") {
			t.Errorf("%s: the upstream got tracestate %q", test.parent, state)
		}
		if !test.recorded {
			continue
		}
		server, _ := c.Of(t, a.header.Get("X-Request-Id"))
		if server.TraceID != foreignTrace || server.ParentID != foreignSpan || server.State != "a=1" {
			t.Errorf("%s: %+v", test.parent, server)
		}
	}
	time.Sleep(1500 * time.Millisecond) // longer than a batch waits
	if spans := c.Spans(); len(spans) != 2 {
		t.Errorf("%d spans of one recorded request", len(spans))
	}
}

// TestNoTraces: a node that records none takes no part in them.
func TestNoTraces(t *testing.T) {
	rs := key{alg: "RS256", kid: "k1", private: pair(t, "rsa")}
	n := start(t, issuer("acme", `{jwks: `+jwks(t, jwk(t, "rsa", "k1"))+`}`)+simple("a", "acme"))
	n.ask(call{target: "/a", header: []string{"Authorization: Bearer " + rs.token("acme", nil), foreignParent, "tracestate: a=1"}})
	if got := n.received().header; "traceparent: "+got.Get("Traceparent") != foreignParent || got.Get("Tracestate") != "a=1" {
		t.Errorf("the upstream got %v", got)
	}
}
