package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/rules"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

const world = `
kind: Issuer
id: acme
issuer: https://idp.acme.test
keys: {hmac_secrets: [{value: 0123456789abcdef0123456789abcdef}]}
---
kind: Api
id: orders
context_path: /orders
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
---
kind: Plan
id: gold
api: orders
security: JWT
status: PUBLISHED
auto_accept: true
jwt: {issuers: [acme]}
---
kind: Application
id: mobile
clients: [{issuer: acme, client_id: mobile-app}]
---
kind: Subscription
id: s
application: mobile
plan: gold
`

// fleet is the control plane's side: a real log, its state, and the snapshot address.
type fleet struct {
	*testing.T
	nats *streamtest.Server
	bus  *stream.Bus

	mu    sync.Mutex
	log   *stream.Log
	state *catalog.State

	control *httptest.Server
	taken   int // snapshots
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{T: t, nats: streamtest.New(t)}
	f.bus = f.nats.Connect(t, "control")
	f.found(1, 1)
	f.control = httptest.NewServer(http.HandlerFunc(f.snapshot))
	t.Cleanup(f.control.Close)
	return f
}

func (f *fleet) found(epoch, first uint64) {
	f.Helper()
	log, err := f.bus.CreateLog(f.Context(), epoch, first, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == nil {
		f.state = catalog.Empty()
	}
	f.log = log
	id := log.Identity()
	f.state = f.state.At(catalog.Position{Epoch: id.Epoch, EpochID: id.EpochID, Sequence: first - 1})
}

func (f *fleet) snapshot(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	s := f.state
	f.taken++
	f.mu.Unlock()
	if r.URL.Path != "/v1/snapshot" || r.Header.Get("Authorization") != "Bearer secret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if err := snapshot.Write(w, s.SnapshotHeader(time.Now(), "test"), s.Changes()); err != nil {
		f.Error(err)
	}
}

func (f *fleet) snapshots() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken
}

// change decides by the real rules and appends.
func (f *fleet) change(awaited bool, what func(*rules.Draft)) uint64 {
	f.Helper()
	d := rules.NewDraft(f.state, time.Now())
	what(d)
	p, err := d.Finish()
	if err != nil {
		f.Fatal(err)
	}
	return f.append(awaited, p.Changes...)
}

// encode makes an entry of the log.
func (f *fleet) encode(awaited bool, changes ...*pb.Change) []byte {
	f.Helper()
	id := f.log.Identity()
	data, err := proto.Marshal(&pb.Entry{
		Epoch: id.Epoch, Founding: id.EpochID, Awaited: awaited,
		Transactions: []*pb.Transaction{{Changes: changes}},
	})
	if err != nil {
		f.Fatal(err)
	}
	return data
}

func (f *fleet) append(awaited bool, changes ...*pb.Change) uint64 {
	f.Helper()
	data := f.encode(awaited, changes...)
	sequence, err := f.log.Append(f.Context(), f.state.Position().Sequence, "mixed", data, fmt.Sprint(time.Now().UnixNano()))
	if err != nil {
		f.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state, _, err = f.state.Apply(sequence, data); err != nil {
		f.Fatal(err)
	}
	return sequence
}

func (f *fleet) applyWorld() {
	f.Helper()
	f.applyYAML(world)
}

func (f *fleet) step(verb string, awaited bool) uint64 {
	f.Helper()
	return f.change(awaited, func(d *rules.Draft) {
		d.Step(catalog.Ref{Kind: pb.Kind_KIND_SUBSCRIPTION, ID: "s"}, verb, 0)
	})
}

func (f *fleet) head(hash uint64) {
	f.Helper()
	p := f.state.Position()
	err := f.bus.PublishHead(&pb.Head{Epoch: p.Epoch, Founding: p.EpochID, Sequence: p.Sequence, SetHash: hash, Replica: "test"})
	if err != nil {
		f.Fatal(err)
	}
}

// node is a running Feed.
type node struct {
	*Feed
	stop     func()
	log      *logBuffer
	registry *prometheus.Registry
}

// value is a counter's or gauge's value.
func value(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, cfg Config) *node {
	t.Helper()
	n := &node{log: &logBuffer{}}
	cfg.NodeID, cfg.Version = "gw-1", "test"
	cfg.Logger = slog.New(slog.NewTextHandler(n.log, nil))
	n.registry = prometheus.NewRegistry()
	cfg.Metrics = NewMetrics(n.registry)
	pool := fast.NewPool()
	cfg.Compiler = &Compiler{Upstreams: pool.Prepare}
	cfg.Counters = func() (uint64, uint64) { return 0, 0 }
	n.Feed = New(cfg)
	n.timing = timing{silent: 2 * time.Second, renew: 300 * time.Millisecond, resync: time.Second, jitter: 50 * time.Millisecond, calm: 3 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		pool.Close()
		if t.Failed() {
			t.Log(n.log)
		}
	})
	t.Cleanup(n.stop)
	return n
}

func (f *fleet) node(dir string) *node {
	f.Helper()
	cfg := Config{
		Control: []string{f.control.URL}, Token: "secret",
		Connect: func(ctx context.Context) (*stream.Bus, error) {
			return stream.Connect(ctx, stream.Config{URLs: []string{f.nats.URL()}, Name: "gw-1", Logger: slog.New(slog.DiscardHandler)})
		},
	}
	if dir != "" {
		disk, err := snapshot.OpenDir(dir)
		if err != nil {
			f.Fatal(err)
		}
		cfg.Disk = disk
	}
	return start(f.T, cfg)
}

// What an address of the control plane holds of credentials is in no line of the log.
func TestAddressesAreLoggedWithoutCredentials(t *testing.T) {
	f := newFleet(t)
	n := start(t, Config{
		Control: []string{"http://me:pl4nted@127.0.0.1:1/?token=pl4nted", strings.Replace(f.control.URL, "http://", "http://me:pl4nted@", 1)}, Token: "secret",
		Connect: func(ctx context.Context) (*stream.Bus, error) {
			return stream.Connect(ctx, stream.Config{URLs: []string{f.nats.URL()}, Name: "gw-1", Logger: slog.New(slog.DiscardHandler)})
		},
	})
	eventually(t, "the state is loaded", func() bool { return strings.Contains(n.log.String(), "state loaded from the control plane") })
	f.control.Close()
	if _, err := n.fetchSnapshot(t.Context(), n.cfg.Control[0]); err == nil {
		t.Error("a snapshot from nowhere")
	}
	if err := n.takeSnapshot(t.Context()); err == nil || strings.Contains(err.Error(), "pl4nted") {
		t.Errorf("got %v", err)
	}
	if strings.Contains(n.log.String(), "pl4nted") {
		t.Error(n.log.String())
	}
}

// live reports whether the node would let the subscription's calls through.
func (n *node) live() bool {
	v := n.View()
	if v == nil {
		return false
	}
	c, _ := v.State.Client("acme", "mobile-app")
	g, _ := v.State.Grant(c.Handle, v.State.Handle(pb.Kind_KIND_PLAN, "gold"))
	_, _, routed := v.Routes.Match([]byte("any.test"), []byte("/orders/1"))
	return routed && g.Active(time.Now().Unix())
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestFollowsFromTheSnapshot(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	n := f.node("")
	eventually(t, "served from the snapshot", n.live)
	f.step("pause", false)
	eventually(t, "pause in force", func() bool { return !n.live() })
	f.step("resume", false)
	eventually(t, "resume in force", n.live)
	if f.snapshots() != 1 {
		t.Errorf("%d snapshots were taken, want 1", f.snapshots())
	}
	if s := n.Status(); s.State != pb.Heartbeat_LIVE || s.Position != f.state.Position() {
		t.Errorf("status %+v, want LIVE at %s", s, f.state.Position())
	}
}

func TestHeartbeatAtOnceWhenAwaited(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	n := f.node("")
	eventually(t, "live", n.live)
	beats := make(chan *pb.Heartbeat, 100)
	unsubscribe, err := f.bus.SubscribeHeartbeats(func(h *pb.Heartbeat) { beats <- h })
	if err != nil {
		t.Fatal(err)
	}
	defer unsubscribe()
	quick := 0
	for _, verb := range []string{"pause", "resume", "pause", "resume", "pause"} {
		began, sequence := time.Now(), f.step(verb, true)
		for h := range beats {
			if h.GetSequence() >= sequence {
				break
			}
		}
		if time.Since(began) < 250*time.Millisecond {
			quick++
		}
	}
	// By the clock alone, five waits of at most a second would be quick once or twice.
	if quick < 4 {
		t.Errorf("%d of 5 heartbeats came at once", quick)
	}
}

func TestStartsFromDiskAlone(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	dir := t.TempDir()
	n := f.node(dir)
	eventually(t, "live", n.live)
	f.step("pause", false)
	eventually(t, "pause in force", func() bool { return !n.live() })
	n.stop()

	f.control.Close()
	f.nats.Stop(t)
	n = f.node(dir)
	eventually(t, "ready from disk", func() bool { return n.Status().Ready })
	if s := n.Status(); s.State != pb.Heartbeat_STALE || !s.Ready {
		t.Errorf("status %+v, want STALE and ready", s)
	}
	if n.live() {
		t.Error("the pause was forgotten")
	}
	f.nats.Start(t)
	eventually(t, "live again", func() bool { return n.Status().State == pb.Heartbeat_LIVE })
	f.bus = f.nats.Connect(t, "control-again")
	if f.log, _ = f.bus.Find(t.Context()); f.log == nil {
		t.Fatal("no log")
	}
	f.step("resume", false)
	eventually(t, "resume in force", n.live)
}

func TestDamagedDiskIsNotServed(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	dir := t.TempDir()
	n := f.node(dir)
	eventually(t, "live", n.live)
	n.stop()
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := f.snapshots()
	n = f.node(dir)
	eventually(t, "live from the control plane", n.live)
	if f.snapshots() != before+1 || !strings.Contains(n.log.String(), "cannot be used") {
		t.Errorf("%d snapshots taken, want 1; log:\n%s", f.snapshots()-before, n.log)
	}
}

func TestDivergenceResyncs(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	n := f.node("")
	eventually(t, "live", n.live)
	f.head(f.state.SetHash())
	time.Sleep(50 * time.Millisecond)
	if f.snapshots() != 1 {
		t.Fatal("resync although the hashes agree")
	}
	f.head(f.state.SetHash() + 1)
	eventually(t, "a resync", func() bool { return f.snapshots() == 2 && n.Status().State == pb.Heartbeat_LIVE })
	f.step("pause", false)
	eventually(t, "pause in force after the resync", func() bool { return !n.live() })
}

func TestNextEpoch(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	n := f.node("")
	eventually(t, "live", n.live)
	old := f.state.Position()
	f.found(2, old.Sequence+1)
	f.step("pause", false)
	f.head(f.state.SetHash())
	eventually(t, "the next epoch's pause in force", func() bool { return !n.live() })
	if got := n.Status().Position.Epoch; got != 2 {
		t.Errorf("epoch %d, want 2", got)
	}
	// A replica of the old epoch is not listened to.
	if err := f.bus.PublishHead(&pb.Head{Epoch: 1, Founding: old.EpochID, Sequence: 99}); err != nil {
		t.Fatal(err)
	}
	taken := f.snapshots()
	time.Sleep(300 * time.Millisecond)
	if f.snapshots() != taken || n.Status().Position.Epoch != 2 {
		t.Error("an old epoch's head had an effect")
	}
}

// A snapshot must never undo what is in force.
func TestMayReplace(t *testing.T) {
	old := catalog.Position{Epoch: 2, EpochID: "a", Sequence: 10}
	for _, c := range []struct {
		next catalog.Position
		may  bool
	}{
		{catalog.Position{Epoch: 2, EpochID: "a", Sequence: 10}, true},
		{catalog.Position{Epoch: 2, EpochID: "a", Sequence: 11}, true},
		{catalog.Position{Epoch: 2, EpochID: "a", Sequence: 9}, false},
		{catalog.Position{Epoch: 3, EpochID: "b", Sequence: 1}, true},
		{catalog.Position{Epoch: 1, EpochID: "c", Sequence: 99}, false},
		{catalog.Position{Epoch: 2, EpochID: "b", Sequence: 99}, false},
	} {
		if err := mayReplace(old, c.next); (err == nil) != c.may {
			t.Errorf("%s (%s) after %s (%s): error %v", c.next, c.next.EpochID, old, old.EpochID, err)
		}
	}
}

// A head that the log does not deliver: the consumer is replaced, then the state.
func TestSilentConsumer(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	n := f.node("")
	eventually(t, "live", n.live)
	for range 20 {
		p := f.state.Position()
		_ = f.bus.PublishHead(&pb.Head{Epoch: p.Epoch, Founding: p.EpochID, Sequence: p.Sequence + 5})
		time.Sleep(150 * time.Millisecond)
	}
	eventually(t, "a resync", func() bool { return f.snapshots() >= 2 })
}

func TestStaleWithoutHeads(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	n := f.node("")
	eventually(t, "live", n.live)
	eventually(t, "stale", func() bool { return n.Status().State == pb.Heartbeat_STALE })
	if !n.live() {
		t.Error("a stale node stopped serving")
	}
	f.head(f.state.SetHash())
	eventually(t, "live again", func() bool { return n.Status().State == pb.Heartbeat_LIVE })
}

func TestWhatIsNotUnderstoodIsNotInForce(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	n := f.node("")
	eventually(t, "live", n.live)
	f.append(true, &pb.Change{Kind: pb.Kind_KIND_PLAN, Id: "gold", Version: 2, Resource: []byte{0xff}})
	sequence := f.state.Position().Sequence
	eventually(t, "reported", func() bool { return n.heartbeat().GetRejectCount() == 2 })
	if got := n.heartbeat().GetSchema(); got != pb.SchemaVersion {
		t.Errorf("the heartbeat says schema %d", got)
	}
	for _, r := range n.heartbeat().GetRejects() {
		if r.GetSequence() != sequence || r.GetReason() == "" || r.GetId() != "gold" && r.GetId() != "orders" {
			t.Errorf("reject %v, want plan gold and api orders at %d", r, sequence)
		}
	}
	if got := n.orders(t); !errors.Is(got, denial.NotInForce) {
		t.Errorf("orders answers %v", got)
	}
	// What takes rights away is in force whatever it is made of.
	f.append(false, &pb.Change{Kind: pb.Kind_KIND_PLAN, Id: "gold", Version: 3, Removed: true})
	eventually(t, "in force again", func() bool { return len(n.Status().NotInForce) == 0 })
	if got := n.orders(t); !errors.Is(got, denial.MissingCredentials) {
		t.Errorf("orders answers %v", got)
	}
}

// orders is what the Api orders answers to a request without a credential.
func (n *node) orders(t *testing.T) error {
	t.Helper()
	return answer(t, n.View(), "/orders/1")
}

func TestFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resources.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(world)
	n := start(t, Config{Resources: []string{file}})
	eventually(t, "served", n.live)

	write(strings.Replace(world, "context_path", "context_pth", 1))
	eventually(t, "refusal", func() bool { return strings.Contains(n.log.String(), "resources.yaml:9") })
	if !n.live() {
		t.Error("a bad edit was put in force")
	}
	write(world + "status: PAUSED\n")
	eventually(t, "pause in force", func() bool { return !n.live() })
	write(world)
	eventually(t, "served again", n.live)
}

func TestBadFilesAtTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resources.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(world, "[acme]", "[acne]", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	feed := New(Config{
		Resources: []string{file}, Logger: slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry()), Compiler: &Compiler{Upstreams: fast.NewPool().Prepare},
	})
	err := feed.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "resources.yaml:18") || !strings.Contains(err.Error(), "acme") {
		t.Errorf("error %v, want file, line and the nearest issuer", err)
	}
}

// open reports whether a request without a credential would go through.
func (n *node) open(t *testing.T) bool {
	t.Helper()
	v := n.View()
	if v == nil {
		return false
	}
	r := &request.Request{
		Method: []byte("GET"), Host: []byte("any.test"), Path: []byte("/orders/1"), Header: request.Fields{}, Now: time.Now().Unix(),
	}
	var d pipeline.Decision
	return pipeline.New(authn.New(authn.Config{}), restrict.NewStore(10)).Decide(v, r, &d) == nil
}

const openPlan = "kind: Plan\nid: open\napi: orders\nsecurity: KEYLESS\nstatus: PUBLISHED\n"

func (f *fleet) applyYAML(text string) {
	f.Helper()
	docs, err := resource.DecodeYAML("more.yaml", []byte(text))
	if err != nil {
		f.Fatal(err)
	}
	f.change(false, func(d *rules.Draft) {
		for _, doc := range docs {
			d.Apply(doc.Resource)
		}
		d.DeployTouched()
	})
}

// A plan that is removed from one Api and made again under another, in one
// batch, must not stay in force where it was.
func TestPlanThatMovesLeavesItsApi(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	f.applyYAML("kind: Api\nid: other\ncontext_path: /other\nupstream: {targets: [{url: 'http://127.0.0.1:9'}]}\n---\n" + openPlan)
	n := f.node("")
	eventually(t, "open", func() bool { return n.open(t) })
	moved := &pb.Plan{Api: "other", Security: pb.Plan_KEYLESS, Status: pb.Plan_PUBLISHED}
	encoded, _ := proto.Marshal(moved)
	f.append(false,
		&pb.Change{Kind: pb.Kind_KIND_PLAN, Id: "open", Version: 2, Removed: true},
		&pb.Change{Kind: pb.Kind_KIND_PLAN, Id: "open", Version: 1, Resource: encoded})
	eventually(t, "applied", func() bool { return n.Status().Position == f.state.Position() })
	if n.open(t) {
		t.Error("the plan is still in force on its first Api")
	}
}

// While a plan cannot be compiled its Api is not served, not by other plans either,
// and what closes those is accepted and in force.
func TestFaultyPlanFreezesNothingElse(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	f.applyYAML(openPlan)
	n := f.node("")
	eventually(t, "open", func() bool { return n.open(t) })
	bad, _ := proto.Marshal(&pb.Plan{
		Api: "orders", Security: pb.Plan_JWT, Status: pb.Plan_PUBLISHED, SelectionRule: "not CEL (",
		Jwt: &pb.JwtSettings{Issuers: []string{"acme"}},
	})
	f.append(false, &pb.Change{Kind: pb.Kind_KIND_PLAN, Id: "gold", Version: 2, Resource: bad})
	eventually(t, "applied", func() bool { return n.Status().Position == f.state.Position() })
	if got := n.orders(t); !errors.Is(got, denial.NotInForce) {
		t.Fatalf("orders answers %v", got)
	}
	f.change(false, func(d *rules.Draft) { d.Step(catalog.Ref{Kind: pb.Kind_KIND_PLAN, ID: "open"}, "close", 0) })
	f.append(false, &pb.Change{Kind: pb.Kind_KIND_PLAN, Id: "gold", Version: 3, Removed: true})
	eventually(t, "in force again", func() bool { return errors.Is(n.orders(t), denial.MissingCredentials) })
}

// A control plane whose snapshot never agrees with its head is not asked all the time.
func TestFruitlessResyncBacksOff(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	n := f.node("")
	eventually(t, "live", n.live)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		f.head(f.state.SetHash() + 1)
	}
	if got := f.snapshots(); got < 2 || got > 12 {
		t.Errorf("%d snapshots in 5 s of divergence", got)
	}
}

func TestStatusOfABusyNode(t *testing.T) {
	var s status
	now := time.Now()
	s.followed(0)
	// One entry behind each head, but coming on: not stuck, and nearly current.
	for i := range uint64(30) {
		now = now.Add(time.Second)
		s.headSeen(i+2, i, now)
		s.position.Sequence = i + 1
		s.compare(now)
	}
	if behind, _ := s.behind(now); behind > 2*time.Second {
		t.Errorf("behind for %s", behind)
	}
	// Ahead of every head heard: current.
	for i := range uint64(30) {
		now = now.Add(time.Second)
		s.position.Sequence = 100 + i
		s.headSeen(90+i, 100+i, now)
	}
	if age := s.lag(now); age != 0 {
		t.Errorf("age %s of a node that is ahead of all heads", age)
	}
	// The same head for long, and nothing comes: stuck.
	s.headSeen(1000, s.position.Sequence, now)
	now = now.Add(11 * time.Second)
	s.headSeen(1001, s.position.Sequence, now)
	if behind, _ := s.behind(now); behind < 11*time.Second {
		t.Errorf("behind for %s only", behind)
	}
}

// The age of a state counts from when it was current, however often the node restarts.
func TestAgeSurvivesRestarts(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	dir := t.TempDir()
	n := f.node(dir)
	eventually(t, "live", n.live)
	n.stop()
	f.control.Close()
	f.nats.Stop(t)
	stopped := time.Now()
	for range 2 {
		n = f.node(dir)
		eventually(t, "a view from disk", func() bool { return n.View() != nil })
		time.Sleep(1500 * time.Millisecond)
		n.stop()
	}
	n = f.node(dir)
	eventually(t, "a view from disk", func() bool { return n.View() != nil })
	if age, least := n.Status().Age, time.Since(stopped); age < least {
		t.Errorf("age %s after %s without news", age, least)
	}
}

// A node that restarts is not ready before it has caught up, if it can.
func TestReadyWhenCaughtUp(t *testing.T) {
	f := newFleet(t)
	f.applyWorld()
	dir := t.TempDir()
	n := f.node(dir)
	eventually(t, "live", n.live)
	n.stop()
	f.step("pause", false)
	n = f.node(dir)
	eventually(t, "ready", func() bool { return n.Status().Ready })
	if n.live() {
		t.Error("ready with a state from before the pause")
	}
}
