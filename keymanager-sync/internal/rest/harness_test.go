package rest_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/rest"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

const (
	adminToken = "admin-token-of-the-tests"
	nodeToken  = "node-token-of-the-tests"
)

// control is a whole replica behind a real listener, on a real log.
type control struct {
	t     *testing.T
	url   string
	bus   *stream.Bus
	store *store.Store
	book  *ledger.Ledger
	nodes *fleet.Fleet
	nats  *streamtest.Server
	// stop ends Serve, as a signal to the process would.
	stop context.CancelFunc
	// ended is closed when Serve has returned.
	ended chan struct{}
}

// options of a replica; the zero value is what most tests want.
type options struct {
	maxDownloads int
	drainDelay   time.Duration
	grace        time.Duration
	log          io.Writer
	laterPlans   bool // plans are written as by a later version of the schema
}

func start(t *testing.T, opts options) *control {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	if opts.log != nil {
		logger = slog.New(slog.NewJSONHandler(opts.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c := &control{t: t, nats: streamtest.New(t), ended: make(chan struct{})}
	registry := prometheus.NewRegistry()
	st, err := store.Open(store.Config{
		Dir: t.TempDir(), Logger: logger, Writer: "test", Registry: registry,
		MaxDownloads: opts.maxDownloads, SnapshotAge: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.store = st
	c.bus = streamtest.Connect(t, c.nats.URL(), "control")
	// A log that is there already is not waited for.
	if _, err := c.bus.CreateLog(t.Context(), 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	nodes := fleet.New(fleet.Config{Bus: c.bus, Store: st, Replica: "cp-1", Logger: logger})
	understood := nodes.Understands
	if opts.laterPlans {
		understood = func(changes []*pb.Change) error { return nodes.Understands(asLater(changes)) }
	}
	book := ledger.New(ledger.Config{Store: st, Logger: logger, Understood: understood})
	c.book, c.nodes = book, nodes
	server, err := rest.New(rest.Config{
		Store: st, Ledger: book, Fleet: nodes, Logger: logger, Registry: registry,
		AdminTokens: map[string]string{"admin": adminToken, "ci": "second-token"}, NodeToken: nodeToken, DrainDelay: opts.drainDelay,
		ShutdownGrace: opts.grace,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.url = "http://" + listener.Addr().String()
	c.run(st, book, nodes, server, listener)
	c.await()
	return c
}

// run starts the parts; they end in the reverse order.
func (c *control) run(st *store.Store, book *ledger.Ledger, nodes *fleet.Fleet, server *rest.Server, l net.Listener) {
	inner, cancel := context.WithCancel(context.Background())
	outer, stop := context.WithCancel(context.Background())
	c.stop = stop
	var parts sync.WaitGroup
	parts.Go(func() { _ = st.Run(inner, c.bus) })
	parts.Go(func() { _ = book.Run(inner) })
	parts.Go(func() { _ = nodes.Run(inner) })
	go func() {
		defer close(c.ended)
		if err := server.Serve(outer, l); err != nil {
			c.t.Errorf("serve: %v", err)
		}
	}()
	c.t.Cleanup(func() {
		stop()
		<-c.ended
		cancel()
		parts.Wait()
		if err := st.Close(); err != nil {
			c.t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
}

func (c *control) await() {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if c.store.Status().Phase == store.Live {
			return
		}
	}
	c.t.Fatalf("not live: %+v", c.store.Status())
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends a request with the admin token; headers are "Name: value".
func (c *control) call(method, path, body string, headers ...string) answer {
	c.t.Helper()
	a, err := c.try(method, path, strings.NewReader(body), append([]string{"Authorization: Bearer " + adminToken}, headers...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *control) try(method, path string, body io.Reader, headers ...string) (answer, error) {
	r, err := http.NewRequest(method, c.url+path, body)
	if err != nil {
		return answer{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

// must fails the test unless the status is as wanted.
func (c *control) must(want int, method, path, body string, headers ...string) answer {
	c.t.Helper()
	a := c.call(method, path, body, headers...)
	if a.status != want {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, a.status, want, a.body)
	}
	return a
}

// problem decodes an error answer.
type problem struct {
	Type   string
	Title  string
	Status int
	Detail string
	Errors []struct {
		File, Kind, ID, Field, Code, Message, Hint string
		Line, Column                               int
	}
}

func (c *control) refused(want int, method, path, body string, headers ...string) problem {
	c.t.Helper()
	a := c.must(want, method, path, body, headers...)
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		c.t.Fatalf("%s %s: no problem document: %v: %s", method, path, err, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		c.t.Errorf("%s %s: Content-Type %q", method, path, got)
	}
	if p.Status != want || p.Title == "" || !strings.HasPrefix(p.Type, "urn:portcullis:problem:") {
		c.t.Errorf("%s %s: problem %+v", method, path, p)
	}
	return p
}

// field reads one member of a JSON object.
func (a answer) field(name string) any {
	var m map[string]any
	_ = json.Unmarshal([]byte(a.body), &m)
	return m[name]
}

func (a answer) sequence() uint64 {
	n, _ := strconv.ParseUint(a.header.Get("Portcullis-Sequence"), 10, 64)
	return n
}

// version is the number in the ETag.
func (a answer) version() uint64 {
	number, _, _ := strings.Cut(strings.Trim(a.header.Get("ETag"), `"`), "-")
	n, _ := strconv.ParseUint(number, 10, 64)
	return n
}

// contains fails the test unless text has all the parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}

// seed makes an issuer, an Api with a published plan in force, and an application with a subscription.
const seed = `
kind: Issuer
id: idp
issuer: https://idp.test
keys: {jwks_urls: ["http://127.0.0.1:1/jwks.json"]}
---
kind: Api
id: orders
name: Orders
context_path: /orders
upstream: {targets: [{url: "http://127.0.0.1:8091"}]}
---
kind: Plan
id: gold
api: orders
name: Gold
security: JWT
status: PUBLISHED
auto_accept: true
jwt: {issuers: [idp]}
---
kind: Application
id: mobile
name: Mobile app
clients: [{issuer: idp, client_id: mobile-app}]
---
kind: Subscription
id: mobile-gold
application: mobile
plan: gold
`

func (c *control) seed() {
	c.t.Helper()
	c.must(http.StatusOK, "POST", "/v1/apply", seed, "Content-Type: application/yaml")
}

// beat says that a node has applied a sequence.
func (c *control) beat(node string, sequence uint64) {
	c.t.Helper()
	c.beatOf(node, time.Now(), sequence)
}

// beatOf is the heartbeat of a process that started at some time.
func (c *control) beatOf(node string, started time.Time, sequence uint64) {
	c.t.Helper()
	p := c.store.State().Position()
	err := c.bus.PublishHeartbeat(&pb.Heartbeat{
		Node: node, Version: "test", Epoch: p.Epoch, Sequence: sequence, State: pb.Heartbeat_LIVE, Time: time.Now().UnixMilli(),
		StartedAt: started.UnixMilli(), Requests: 7, Rejects: []*pb.Reject{{Kind: "Plan", Id: "odd", Sequence: 1, Reason: "unknown"}},
	})
	if err != nil {
		c.t.Error(err)
	}
}
