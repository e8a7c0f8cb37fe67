// Package conformance asks a whole node, from outside, what WSO2 API Manager,
// Gravitee APIM and MuleSoft Flex Gateway would answer, and what an attacker
// would try: row by row, over the network, through listener, decision and
// upstream. What differs on purpose is written to docs/compatibility.md.
package conformance_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway"
)

// node is a gateway that serves from a file, in front of an upstream that counts.
type node struct {
	t            *testing.T
	front, admin string
	file         string
	upstream     *httptest.Server
	reached      atomic.Int64
	mu           sync.Mutex
	last         *received
	client       *http.Client
	logger       *slog.Logger
	change       func(*gateway.Config)
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// received is what the upstream was last sent.
type received struct {
	method, target, body string
	header               http.Header
}

// start runs a node on the resources. $UPSTREAM in them is the upstream's URL.
func start(t *testing.T, resources ...string) *node {
	t.Helper()
	n := &node{t: t, logger: slog.New(slog.DiscardHandler)}
	n.run(resources...)
	return n
}

// behindProxy is a node that believes a proxy on this machine about certificates.
func behindProxy(t *testing.T, resources ...string) *node {
	t.Helper()
	n := &node{t: t, logger: slog.New(slog.DiscardHandler), change: func(cfg *gateway.Config) {
		cfg.TrustedProxies, cfg.ClientCertHeader = []string{"127.0.0.1/32"}, "Client-Cert"
	}}
	n.run(resources...)
	return n
}

func (n *node) run(resources ...string) {
	n.t.Helper()
	t := n.t
	n.file = filepath.Join(t.TempDir(), "resources.yaml")
	n.client = &http.Client{
		Timeout: 20 * time.Second, Transport: &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(n.client.CloseIdleConnections)
	n.upstream = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n.mu.Lock()
		n.last = &received{r.Method, r.RequestURI, string(body), r.Header.Clone()}
		n.mu.Unlock()
		n.reached.Add(1)
		fmt.Fprint(w, "hello from the upstream")
	}))
	t.Cleanup(n.upstream.Close)
	n.write(resources...)
	ctx, cancel := context.WithCancel(context.Background())
	done, listening := make(chan error, 1), make(chan struct{})
	cfg := config(n.file)
	cfg.Logger = n.logger
	if n.change != nil {
		n.change(&cfg)
	}
	cfg.Listening = func(front, admin string) {
		n.front, n.admin = front, "http://"+admin
		close(listening)
	}
	go func() { done <- gateway.Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the node ends with %v", err)
		}
	})
	select {
	case <-listening:
	case err := <-done:
		done <- nil
		t.Fatalf("the node does not start: %v", err)
	}
	n.until("ready", func() bool { return n.get("/readyz") == http.StatusOK })
}

func config(file string) gateway.Config {
	cfg := gateway.DefaultConfig()
	cfg.Listen, cfg.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Resources, cfg.DataDir = []string{file}, filepath.Dir(file)
	cfg.ReadTimeout = 2 * time.Second
	cfg.LookupEnv = func(string) (string, bool) { return "", false }
	cfg.Logger = slog.New(slog.DiscardHandler)
	return cfg
}

// refused starts a node on resources that must be refused, and returns the fault.
func refused(t *testing.T, resources ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resources.yaml")
	text := strings.ReplaceAll(strings.Join(resources, "\n"), "$UPSTREAM", "http://127.0.0.1:9")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := gateway.Run(ctx, config(file))
	if err == nil || ctx.Err() != nil {
		t.Errorf("a node starts with\n%s", text)
		return ""
	}
	return err.Error()
}

func (n *node) write(resources ...string) {
	n.t.Helper()
	text := strings.ReplaceAll(strings.Join(resources, "\n"), "$UPSTREAM", n.upstream.URL)
	next := n.file + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(next, n.file); err != nil {
		n.t.Fatal(err)
	}
}

// until waits for something that follows from an event.
func (n *node) until(what string, holds func() bool) {
	n.t.Helper()
	for end := time.Now().Add(15 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("not %s in 15 s", what)
		}
	}
}

func (n *node) get(path string) int {
	resp, err := n.client.Get(n.admin + path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// call is a request. The zero method is GET.
type call struct {
	method, target string
	header         []string // "Name: value"
	body           string
}

// answer is what a client gets.
type answer struct {
	status  int
	header  http.Header
	body    string
	reached int // how often the upstream was called
}

func (a answer) reason() string {
	var body struct{ Reason string }
	_ = json.Unmarshal([]byte(a.body), &body)
	return body.Reason
}

func (n *node) ask(c call) answer {
	n.t.Helper()
	before := n.reached.Load()
	req, err := http.NewRequestWithContext(n.t.Context(), c.method, "http://"+n.front+c.target, strings.NewReader(c.body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header = c.fields()
	resp, err := n.client.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body), int(n.reached.Load() - before)}
}

func (c call) fields() http.Header {
	h := http.Header{"User-Agent": nil}
	for _, line := range c.header {
		name, value, _ := strings.Cut(line, ":")
		h[http.CanonicalHeaderKey(name)] = append(h[http.CanonicalHeaderKey(name)], strings.TrimPrefix(value, " "))
	}
	return h
}

// raw sends bytes as they are and returns all that comes back until the node
// closes, or the first answer if it keeps the connection.
func (n *node) raw(request string) answer {
	n.t.Helper()
	before := n.reached.Load()
	c, err := net.Dial("tcp", n.front)
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		n.t.Fatal(err)
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	text, err := io.ReadAll(c)
	if err != nil && len(text) == 0 && !errors.Is(err, io.EOF) {
		n.t.Fatal(err)
	}
	return n.parse(text, before)
}

func (n *node) parse(text []byte, before int64) answer {
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	a := answer{header: http.Header{}, body: string(body), reached: int(n.reached.Load() - before)}
	for i, line := range strings.Split(string(head), "\r\n") {
		if i == 0 {
			_, _ = fmt.Sscanf(line, "HTTP/1.1 %d", &a.status)
			continue
		}
		name, value, _ := strings.Cut(line, ": ")
		a.header.Add(name, value)
	}
	return a
}

// explained is what POST /explain tells.
type explained struct {
	Allowed bool
	Reason  string
	Plan    string
	Steps   []struct {
		Step, Plan, Outcome string
		Detail              map[string]string
	}
}

// explain asks the admin port about the same request.
func (n *node) explain(c call) explained {
	n.t.Helper()
	q := map[string]any{"url": "http://" + n.front + c.target, "method": c.method, "headers": c.fields(), "client": "127.0.0.1"}
	if field := c.fields().Get("Client-Cert"); field != "" {
		der, _ := base64.StdEncoding.DecodeString(strings.Trim(field, ":"))
		q["certificate"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	body, err := json.Marshal(q)
	if err != nil {
		n.t.Fatal(err)
	}
	resp, err := n.client.Post(n.admin+"/explain", "application/json", bytes.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	var e explained
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
		n.t.Fatal(err)
	}
	return e
}

func (n *node) received() *received {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}
