package fronttest

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front/fronttest/keypair"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
)

// sight is what the steps saw of a request.
type sight struct {
	mu      sync.Mutex
	request request.Request
	header  map[string]int
}

// watched decides like decider, and tells what it saw.
func (s *sight) watch(decide func(*request.Request, *pipeline.Decision) error) func(*request.Request, *pipeline.Decision) error {
	return func(r *request.Request, d *pipeline.Decision) error {
		s.mu.Lock()
		s.request, s.header = *r, map[string]int{}
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "Client-Cert", "X-Ssl-Cert"} {
			_, s.header[name] = r.Header.Get(name)
		}
		s.mu.Unlock()
		return decide(r, d)
	}
}

func (s *sight) last() request.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.request
}

// steps tells how often a field was there for the steps.
func (s *sight) steps(field string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.header[field]
}

func (s *sight) peer() string {
	if peer := s.last().Certificate; peer != nil {
		return peer.Subject.CommonName
	}
	return ""
}

// secureNode serves TLS with a certificate for "first".
func (s suite) secureNode(t *testing.T, change func(*front.Config)) (n *node, seen *sight, dir string) {
	t.Helper()
	dir, seen = t.TempDir(), &sight{}
	cert, key := keypair.Write(t, dir, keypair.New(t, "first"))
	n = s.node(t, func(c *front.Config) {
		pair, err := front.OpenKeypair(cert, key, c.Logger)
		if err != nil {
			t.Fatal(err)
		}
		c.TLS, c.Decide = pair, seen.watch(c.Decide)
		if change != nil {
			change(c)
		}
	})
	return n, seen, dir
}

// handshake makes a request over TLS and returns the answer and the connection's state.
func (n *node) handshake(config *tls.Config, text string) (string, tls.ConnectionState, error) {
	raw, err := net.DialTimeout("tcp", n.address, 5*time.Second)
	if err != nil {
		return "", tls.ConnectionState{}, err
	}
	config.InsecureSkipVerify = true
	c := tls.Client(raw, config)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return "", tls.ConnectionState{}, err
	}
	b, err := io.ReadAll(c)
	return string(b), c.ConnectionState(), err
}

func (s suite) tLS(t *testing.T) {
	n, seen, _ := s.secureNode(t, nil)
	alice := keypair.New(t, "alice")
	get := "GET /x HTTP/1.1\r\nHost: a\r\n" + token + end
	for name, c := range map[string]struct {
		config *tls.Config
		peer   string
		fails  bool
	}{
		"without a certificate": {config: &tls.Config{}},
		"with one":              {config: &tls.Config{Certificates: []tls.Certificate{alice}}, peer: "alice"},
		"TLS 1.2":               {config: &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{alice}}, peer: "alice"},
		"TLS 1.1":               {config: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, fails: true},
		"only HTTP/2":           {config: &tls.Config{NextProtos: []string{"h2"}}, fails: true},
		"another's certificate": {config: &tls.Config{Certificates: []tls.Certificate{{Certificate: alice.Certificate, PrivateKey: keypair.New(t, "mallory").PrivateKey}}}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			answer, _, err := n.handshake(c.config, get)
			if c.fails != (err != nil) {
				t.Fatalf("err %v, answer %s", err, answer)
			}
			if c.fails {
				return
			}
			if status(answer) != "200" || seen.peer() != c.peer || !seen.last().Secure || !strings.Contains(answer, "X-Forwarded-Proto: https") {
				t.Errorf("peer %q, secure %v, answer\n%s", seen.peer(), seen.last().Secure, answer)
			}
		})
	}
	if answer := n.send(t, get); strings.Contains(answer, "GET /x") {
		t.Errorf("plain HTTP was served: %s", answer)
	}
	if strings.Contains(n.log.String(), "reason=bad_request") {
		t.Errorf("a handshake counts as a request:\n%s", n.log.String())
	}
}

// A resumed session is as good as the one it goes on with: its ticket brings the
// client's certificate back.
func (s suite) tLSResumption(t *testing.T) {
	n, seen, _ := s.secureNode(t, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{
			MinVersion: version, MaxVersion: version, ServerName: "first", ClientSessionCache: tls.NewLRUClientSessionCache(1),
			Certificates: []tls.Certificate{keypair.New(t, "alice")},
		}
		for i := range 2 {
			answer, state, err := n.handshake(config, "GET /x HTTP/1.1\r\nHost: a\r\n"+token+end)
			if err != nil || status(answer) != "200" || state.DidResume != (i == 1) || seen.peer() != "alice" {
				t.Errorf("%s, connection %d: %v, resumed %v, peer %q", tls.VersionName(version), i, err, state.DidResume, seen.peer())
			}
		}
	}
}

func (s suite) certificateIsReadAgain(t *testing.T) {
	n, _, dir := s.secureNode(t, nil)
	served := func() string {
		_, state, err := n.handshake(&tls.Config{}, "GET /x HTTP/1.1\r\nHost: a\r\n"+token+end)
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].Subject.CommonName
	}
	if got := served(); got != "first" {
		t.Fatalf("served %q", got)
	}
	until := func(what string, met func() bool) {
		t.Helper()
		for start := time.Now(); !met(); time.Sleep(50 * time.Millisecond) {
			if time.Since(start) > 5*time.Second {
				t.Fatalf("%s: not within 5 s; log:\n%s", what, n.log.String())
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "tls.crt"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	until("a report", func() bool { return strings.Contains(n.log.String(), "is refused, the old one stays") })
	if got := served(); got != "first" {
		t.Errorf("after a bad file: %q", got)
	}
	keypair.Write(t, dir, keypair.New(t, "second"))
	until("the new certificate", func() bool { return served() == "second" })
	if got := strings.Count(n.log.String(), "is refused, the old one stays"); got != 1 {
		t.Errorf("the bad file was reported %d times", got)
	}
}

func (s suite) handshakesEndInTime(t *testing.T) {
	n, _, _ := s.secureNode(t, nil) // with a ReadTimeout of 500 ms
	c, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("a silent client was not cut off: %v", err)
	}
}

func headerText(c tls.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Certificate[0]) + ":"
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}

func (s suite) trustedProxies(t *testing.T) {
	for name, c := range map[string]struct {
		fields        string
		client, chain string // chain: X-Forwarded-For as the upstream gets it; empty: 127.0.0.1
		secure        bool
	}{
		"nothing said":      {"", "127.0.0.1", "", false},
		"a client":          {"X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9", "203.0.113.9, 127.0.0.1", false},
		"spoofed":           {"X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\n", "203.0.113.9", "203.0.113.9, 127.0.0.1", false},
		"two proxies":       {"X-Forwarded-For: 1.1.1.1, 203.0.113.9 ,10.1.2.3\r\n", "203.0.113.9", "203.0.113.9, 10.1.2.3, 127.0.0.1", false},
		"two lines":         {"X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 203.0.113.9\r\nX-FORWARDED-FOR: 10.1.2.3\r\n", "203.0.113.9", "203.0.113.9, 10.1.2.3, 127.0.0.1", false},
		"all trusted":       {"X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n", "10.0.0.1", "10.0.0.1, 10.0.0.2, 127.0.0.1", false},
		"with a port":       {"X-Forwarded-For: 203.0.113.9:4711\r\n", "203.0.113.9", "203.0.113.9, 127.0.0.1", false},
		"IPv6":              {"X-Forwarded-For: 2001:db9::1, [2001:db8::7]:80\r\n", "2001:db9::1", "2001:db9::1, 2001:db8::7, 127.0.0.1", false},
		"brackets":          {"X-Forwarded-For: [2001:db9::1]\r\n", "2001:db9::1", "2001:db9::1, 127.0.0.1", false},
		"mapped IPv4":       {"X-Forwarded-For: ::ffff:203.0.113.9\r\n", "203.0.113.9", "203.0.113.9, 127.0.0.1", false},
		"junk":              {"X-Forwarded-For: 203.0.113.9, unknown\r\n", "127.0.0.1", "", false},
		"junk behind proxy": {"X-Forwarded-For: 203.0.113.9, \"x\", 10.0.0.1\r\n", "10.0.0.1", "10.0.0.1, 127.0.0.1", false},
		"empty element":     {"X-Forwarded-For: 203.0.113.9,\r\n", "127.0.0.1", "", false},
		"a zone":            {"X-Forwarded-For: fe80::1%eth0\r\n", "127.0.0.1", "", false},
		"underscores":       {"X_Forwarded_For: 203.0.113.9\r\n", "127.0.0.1", "", false},
		"scheme":            {"X-Forwarded-Proto: HTTPS\r\n", "127.0.0.1", "", true},
		"last scheme":       {"X-Forwarded-Proto: http, https\r\n", "127.0.0.1", "", true},
		"last line":         {"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", "127.0.0.1", "", false},
		"odd scheme":        {"X-Forwarded-Proto: gopher\r\n", "127.0.0.1", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, trusted := range []bool{true, false} {
				seen := &sight{}
				n := s.node(t, func(cfg *front.Config) {
					cfg.Decide = seen.watch(cfg.Decide)
					cfg.Trusted = loopback[1:]
					if trusted {
						cfg.Trusted = loopback
					}
				})
				answer := n.send(t, "GET /x HTTP/1.1\r\nHost: a\r\n"+c.fields+token+end)
				client, chain, scheme := "127.0.0.1", "127.0.0.1", "http"
				if trusted {
					client = c.client
					if c.chain != "" {
						chain = c.chain
					}
					if c.secure {
						scheme = "https"
					}
				}
				if got := seen.last().Address.String(); got != client || seen.last().Secure != (scheme == "https") {
					t.Errorf("trusted %v: client %s, secure %v", trusted, got, seen.last().Secure)
				}
				if !strings.Contains(answer+"\n", "\nX-Forwarded-For: "+chain+"\n") || !strings.Contains(answer, "X-Forwarded-Proto: "+scheme) {
					t.Errorf("trusted %v: the upstream got\n%s", trusted, answer)
				}
				if !trusted && (seen.steps("X-Forwarded-For") > 0 || seen.steps("X-Forwarded-Proto") > 0) {
					t.Error("an untrusted client's fields reach the steps")
				}
			}
		})
	}
}

func (s suite) clientCertHeader(t *testing.T) {
	alice, issuer := keypair.New(t, "alice"), keypair.New(t, "issuer")
	field := "Client-Cert: " + headerText(alice) + "\r\n"
	chain := "Client-Cert-Chain: " + headerText(issuer) + ", " + headerText(alice) + "\r\n"
	for name, c := range map[string]struct {
		fields, status, peer string
		chain                int
	}{
		"none":            {"", "200", "", 0},
		"a certificate":   {field, "200", "alice", 0},
		"with a chain":    {field + chain, "200", "alice", 2},
		"chain alone":     {chain, "200", "", 0},
		"two":             {field + field, "400", "", 0},
		"two chains":      {field + chain + chain, "400", "", 0},
		"no colons":       {strings.ReplaceAll(strings.Replace(field, ": :", ": ", 1), ":\r", "\r"), "400", "", 0},
		"base64url":       {"Client-Cert: :" + base64.RawURLEncoding.EncodeToString([]byte{255, 254}) + ":\r\n", "400", "", 0},
		"not DER":         {"Client-Cert: :AAAA:\r\n", "400", "", 0},
		"empty":           {"Client-Cert: \r\n", "400", "", 0},
		"a broken chain":  {field + "Client-Cert-Chain: " + headerText(issuer) + ", x\r\n", "400", "", 0},
		"too long":        {field + "Client-Cert-Chain: " + strings.Repeat(headerText(issuer)+",", 8) + headerText(issuer) + "\r\n", "400", "", 0},
		"another spelled": {"Client_Cert: " + headerText(alice) + "\r\n", "200", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &sight{}
			n := s.node(t, func(cfg *front.Config) {
				cfg.Decide, cfg.Trusted, cfg.ClientCertHeader = seen.watch(cfg.Decide), loopback, "client-cert"
			})
			for range 2 { // the second from the cache
				answer := n.send(t, "GET /x HTTP/1.1\r\nHost: a\r\n"+c.fields+token+end)
				if status(answer) != c.status {
					t.Fatalf("want %s, got\n%s", c.status, answer)
				}
				if got := seen.peer(); got != c.peer || len(seen.last().Chain) != c.chain {
					t.Errorf("peer %q, chain of %d", got, len(seen.last().Chain))
				}
				if strings.Contains(answer, "Client-Cert") {
					t.Errorf("it reached the upstream:\n%s", answer)
				}
			}
		})
	}
}

// Nobody but a trusted proxy can bring a certificate in a field, whatever its name.
func (s suite) clientCertHeaderOfOthers(t *testing.T) {
	alice := keypair.New(t, "alice")
	for name, change := range map[string]func(*front.Config){
		"nobody trusted": func(c *front.Config) { c.ClientCertHeader = "X-SSL-Cert" },
		"others trusted": func(c *front.Config) { c.ClientCertHeader, c.Trusted = "X-SSL-Cert", loopback[1:] },
		"not set":        func(c *front.Config) { c.Trusted = loopback },
	} {
		t.Run(name, func(t *testing.T) {
			seen := &sight{}
			n := s.node(t, func(c *front.Config) {
				c.Decide = seen.watch(c.Decide)
				change(c)
			})
			answer := n.send(t, "GET /x HTTP/1.1\r\nHost: a\r\nClient-Cert: "+headerText(alice)+"\r\nX-Ssl-Cert: "+headerText(alice)+"\r\n"+token+end)
			if status(answer) != "200" || seen.peer() != "" {
				t.Errorf("peer %q, answer %s", seen.peer(), answer)
			}
			if name != "not set" && (seen.steps("X-Ssl-Cert") > 0 || strings.Contains(answer, "X-Ssl-Cert")) {
				t.Errorf("the steps saw it, or the upstream got\n%s", answer)
			}
			if seen.steps("Client-Cert") > 0 && name != "not set" || strings.Contains(answer, "\nClient-Cert") {
				t.Errorf("the steps saw it, or the upstream got\n%s", answer)
			}
		})
	}
}

// Behind a proxy that passes certificates on, the connection's own is the
// proxy's: it must never pass for the client's.
func (s suite) proxysOwnCertificate(t *testing.T) {
	proxy := &tls.Config{Certificates: []tls.Certificate{keypair.New(t, "proxy")}}
	alice := keypair.New(t, "alice")
	for name, c := range map[string]struct{ header, fields, peer string }{
		"nothing passed on": {"Client-Cert", "", ""},
		"passed on":         {"Client-Cert", "Client-Cert: " + headerText(alice) + "\r\n", "alice"},
		"not configured":    {"", "Client-Cert: " + headerText(alice) + "\r\n", "proxy"},
	} {
		n, seen, _ := s.secureNode(t, func(cfg *front.Config) { cfg.Trusted, cfg.ClientCertHeader = loopback, c.header })
		answer, _, err := n.handshake(proxy.Clone(), "GET /x HTTP/1.1\r\nHost: a\r\n"+c.fields+token+end)
		if err != nil || status(answer) != "200" || seen.peer() != c.peer {
			t.Errorf("%s: %v, peer %q, want %q", name, err, seen.peer(), c.peer)
		}
	}
}
