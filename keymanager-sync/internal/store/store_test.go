package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

type running struct {
	*store.Store
	cfg  store.Config
	bus  *stream.Bus
	stop func()
}

func config(dir string) store.Config {
	return store.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler), Writer: "test"}
}

func open(t *testing.T, cfg store.Config) *store.Store {
	t.Helper()
	st, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// run opens a store and runs it. The log is created beforehand, so that a first
// start need not listen for others.
func run(t *testing.T, server *streamtest.Server, cfg store.Config) *running {
	t.Helper()
	bus := server.Connect(t, "founder")
	if _, err := bus.Find(t.Context()); errors.Is(err, stream.ErrNoLog) {
		createLog(t, bus)
	}
	bus.Close()
	return firstRun(t, server, cfg)
}

// createLog tries for a while: NATS may still be removing the files of a stream of
// the same name.
func createLog(t *testing.T, bus *stream.Bus) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := bus.CreateLog(t.Context(), 1, 1, 0)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func firstRun(t *testing.T, server *streamtest.Server, cfg store.Config) *running {
	t.Helper()
	r := &running{Store: open(t, cfg), cfg: cfg, bus: server.Connect(t, "store-"+filepath.Base(cfg.Dir))}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = r.Run(ctx, r.bus) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		r.bus.Close()
	})
	t.Cleanup(r.stop)
	return r
}

func (r *running) await(t *testing.T, phase store.Phase) store.Status {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s := r.Status(); s.Phase == phase {
			return s
		}
	}
	t.Fatalf("phase %s, want %s: %s", r.Status().Phase, phase, r.Status().Reason)
	return store.Status{}
}

// append writes an entry with changes after the store's position and waits for it.
func (r *running) append(t *testing.T, changes ...*pb.Change) uint64 {
	t.Helper()
	p := r.State().Position()
	return r.appendRaw(t, entry(t, p, changes...))
}

func (r *running) appendRaw(t *testing.T, data []byte) uint64 {
	t.Helper()
	last := r.State().Position().Sequence
	sequence, err := r.Log().Append(t.Context(), last, "test", data, fmt.Sprintf("%s-%d", t.Name(), last+1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.WaitFor(t.Context(), sequence); err != nil {
		t.Fatal(err)
	}
	return sequence
}

func entry(t *testing.T, p catalog.Position, changes ...*pb.Change) []byte {
	t.Helper()
	data, err := proto.Marshal(&pb.Entry{Epoch: p.Epoch, Founding: p.EpochID, Transactions: []*pb.Transaction{{Actor: "test", Changes: changes}}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func put(t *testing.T, id string, version uint64) *pb.Change {
	t.Helper()
	resource, err := proto.Marshal(&pb.Application{Name: fmt.Sprintf("%s at %d", id, version)})
	if err != nil {
		t.Fatal(err)
	}
	return &pb.Change{Kind: pb.Kind_KIND_APPLICATION, Id: id, Version: version, Resource: resource, CreatedAt: 1}
}

func broken(id string) *pb.Change {
	return &pb.Change{Kind: pb.Kind_KIND_APPLICATION, Id: id, Version: 9, Resource: []byte{0xff}, CreatedAt: 1}
}

func gone(id string) *pb.Change {
	return &pb.Change{Kind: pb.Kind_KIND_APPLICATION, Id: id, Version: 3, Removed: true, CreatedAt: 1}
}

func names(s *catalog.State) []string {
	var all []string
	for record := range s.All(pb.Kind_KIND_APPLICATION) {
		resource, _ := record.Decode()
		app, _ := resource.(*pb.Application)
		all = append(all, record.Ref().ID+"="+app.GetName())
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, got, want *catalog.State) {
	t.Helper()
	if got.Position() != want.Position() || got.SetHash() != want.SetHash() || !slices.Equal(names(got), names(want)) || len(got.Rejects()) != len(want.Rejects()) {
		t.Errorf("got %s, hash %x, %v, %v\nwant %s, hash %x, %v, %v",
			got.Position(), got.SetHash(), names(got), got.Rejects(), want.Position(), want.SetHash(), names(want), want.Rejects())
	}
}

// What the store showed is on disk, and what the disk holds is what the whole log
// amounts to, rejected changes included: after every restart.
func TestDiskIsTheFoldOfTheLog(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	steps := [][]*pb.Change{
		{put(t, "a", 1), put(t, "b", 1)},
		{put(t, "a", 2)},
		{broken("b")},
		{put(t, "c", 1), gone("a")},
		{broken("z")},
		{put(t, "z", 2)},
	}
	for _, changes := range steps {
		r := run(t, server, config(dir))
		r.await(t, store.Live)
		r.append(t, changes...)
		shown := r.State()
		r.stop()
		st := open(t, config(dir))
		same(t, st.State(), shown)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	st := open(t, config(dir))
	defer func() { _ = st.Close() }()
	fresh := run(t, server, config(t.TempDir()))
	fresh.await(t, store.Live)
	same(t, st.State(), fresh.State())
	if got := names(st.State()); !slices.Equal(got, []string{"b=b at 1", "c=c at 1", "z=z at 2"}) {
		t.Errorf("state %v", got)
	}
}

// Whatever was shown survives the process being killed at that moment: the file
// as it is then, never closed, holds it.
func TestShownIsDurable(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	r := run(t, server, config(dir))
	r.await(t, store.Live)
	for i := range 20 {
		r.append(t, put(t, fmt.Sprintf("app-%d", i), 1), put(t, "same", uint64(i+1)))
		shown, killed := r.State(), t.TempDir()
		raw, err := os.ReadFile(filepath.Join(dir, "view.db"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(killed, "view.db"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		st := open(t, config(killed))
		same(t, st.State(), shown)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// An entry that cannot be decoded stops nothing, and counts in the sequence.
func TestUndecodableEntryIsPassedOver(t *testing.T) {
	server := streamtest.New(t)
	r := run(t, server, config(t.TempDir()))
	r.await(t, store.Live)
	r.append(t, put(t, "a", 1))
	r.appendRaw(t, []byte{0xff, 0xff})
	foreign := r.State().Position()
	foreign.EpochID = "another"
	r.appendRaw(t, entry(t, foreign, put(t, "x", 1)))
	if sequence := r.append(t, put(t, "b", 1)); sequence != 4 {
		t.Errorf("sequence %d", sequence)
	}
	if got := names(r.State()); !slices.Equal(got, []string{"a=a at 1", "b=b at 1"}) {
		t.Errorf("state %v", got)
	}
}

func TestDamagedFileIsNotUsed(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	r := run(t, server, config(dir))
	r.await(t, store.Live)
	r.append(t, put(t, "needle", 1))
	r.stop()
	path := filepath.Join(dir, "view.db")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw = []byte(strings.ReplaceAll(string(raw), "needle at 1", "needle at 7"))
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if st, err := store.Open(config(dir)); err == nil || !strings.Contains(err.Error(), "damaged") {
		_ = st.Close()
		t.Errorf("open a damaged file: %v", err)
	}
}

func TestTwoProcessesCannotShareAFile(t *testing.T) {
	dir := t.TempDir()
	st := open(t, config(dir))
	defer func() { _ = st.Close() }()
	if _, err := store.Open(config(dir)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
}

func jetStream(t *testing.T, server *streamtest.Server) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// The stream is deleted, and created again under the same name: the store goes on
// hold, keeps its state, and recreates nothing; an operator founds the next epoch.
func TestLostLogIsNeverRecreated(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	r := run(t, server, config(dir))
	r.await(t, store.Live)
	r.append(t, put(t, "a", 1))
	r.append(t, put(t, "b", 1))
	before := r.State()
	js := jetStream(t, server)
	if err := js.DeleteStream(t.Context(), r.Log().Identity().Stream); err != nil {
		t.Fatal(err)
	}
	r.await(t, store.Hold)
	time.Sleep(2 * time.Second) // at least one more attempt
	if s := r.Status(); s.Phase != store.Hold || s.Reason == "" || r.Log() != nil || !r.MayAnnounce() {
		t.Errorf("phase %s (%s), log %v, vouches %t", s.Phase, s.Reason, r.Log(), r.MayAnnounce())
	}
	if _, err := r.WaitFor(t.Context(), 99); err == nil {
		t.Error("waiting for a sequence on hold does not fail")
	}
	if _, err := r.bus.Find(t.Context()); !errors.Is(err, stream.ErrNoLog) {
		t.Errorf("a log exists again: %v", err)
	}
	same(t, r.State(), before)

	// Another process creates the log of the same epoch again, over nothing.
	if _, err := r.bus.CreateLog(t.Context(), 1, 1, 0); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); !strings.Contains(r.Status().Reason, "created again"); time.Sleep(5 * time.Millisecond) {
		if s := r.Status(); s.Phase != store.Hold || time.Now().After(end) {
			t.Fatalf("phase %s (%s), want hold because of the other epoch id", s.Phase, s.Reason)
		}
	}
	if r.MayAnnounce() {
		t.Error("the store announces a log that another has replaced")
	}
	r.stop()

	// The operator's decision, interrupted after the log was made.
	bus := server.Connect(t, "new-epoch")
	interrupted, err := bus.CreateLog(t.Context(), 2, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	st := open(t, config(dir))
	log, err := store.BeginEpoch(t.Context(), st, bus, store.NewEpoch{Listen: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if log.Identity() != interrupted.Identity() {
		t.Errorf("created %+v, want to go on with %+v", log.Identity(), interrupted.Identity())
	}
	again := run(t, server, config(dir))
	again.await(t, store.Live)
	if sequence := again.append(t, put(t, "c", 1)); sequence != 3 {
		t.Errorf("first sequence of the new epoch is %d, want 3", sequence)
	}
	if got := names(again.State()); len(got) != 3 {
		t.Errorf("state %v", got)
	}
}

// The servers' data is restored from a copy that lacks the last entries.
func TestRolledBackLogPutsOnHold(t *testing.T) {
	server := streamtest.New(t)
	r := run(t, server, config(t.TempDir()))
	r.await(t, store.Live)
	r.append(t, put(t, "a", 1))
	server.Stop(t)
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(server.Dir())); err != nil {
		t.Fatal(err)
	}
	original := server.Dir()
	server.Start(t)
	r.await(t, store.Live)
	r.append(t, put(t, "b", 1))
	server.Stop(t)
	server.SetDir(copied)
	server.Start(t)
	if s := r.await(t, store.Hold); s.Position.Sequence != 2 {
		t.Errorf("status %+v", s)
	}
	// The real data comes back: no operator is needed.
	server.Stop(t)
	server.SetDir(original)
	server.Start(t)
	r.await(t, store.Live)
	r.append(t, put(t, "c", 1))
}

// A log that was rolled back while the replica was down, and has grown past its
// position since, is noticed by its last entry.
func TestRegrownLogPutsOnHold(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	r := run(t, server, config(dir))
	r.await(t, store.Live)
	r.append(t, put(t, "a", 1))
	server.Stop(t)
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(server.Dir())); err != nil {
		t.Fatal(err)
	}
	server.Start(t)
	r.await(t, store.Live)
	r.append(t, put(t, "b", 1))
	p := r.State().Position()
	r.stop()
	server.Stop(t)
	server.SetDir(copied)
	server.Start(t)
	bus := server.Connect(t, "other")
	log, err := bus.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for last := uint64(1); last < 4; last++ {
		if _, err := log.Append(t.Context(), last, "test", entry(t, p, put(t, "x", last)), fmt.Sprintf("other-%d", last)); err != nil {
			t.Fatal(err)
		}
	}
	again := run(t, server, config(dir))
	if s := again.await(t, store.Hold); s.Position.Sequence != 2 || !strings.Contains(s.Reason, "another entry") {
		t.Errorf("status %+v", s)
	}
}

// A replica that is behind does not join a log that ends before what another
// replica has: it was rolled back.
func TestLogThatEndsBeforeAHeadPutsOnHold(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	r := run(t, server, config(dir))
	r.await(t, store.Live)
	r.append(t, put(t, "a", 1))
	p := r.State().Position()
	r.Heard(&pb.Head{Epoch: p.Epoch, Founding: p.EpochID, Sequence: p.Sequence + 4})
	if s := r.Status(); s.Last != p.Sequence+4 || s.Lag == 0 {
		t.Errorf("status %+v, want a lag", s)
	}
	server.Stop(t)
	r.await(t, store.Away)
	r.stop()
	server.Start(t)
	again := open(t, config(dir))
	again.Heard(&pb.Head{Epoch: p.Epoch, Founding: p.EpochID, Sequence: p.Sequence + 4})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { _ = again.Run(ctx, server.Connect(t, "again")) })
	held := &running{Store: again}
	if s := held.await(t, store.Hold); !strings.Contains(s.Reason, "rolled back") {
		t.Errorf("status %+v", s)
	}
	cancel()
	group.Wait()
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// A replica with an empty disk founds nothing while a node knows of a log.
func TestNoLogIsCreatedOverAFleet(t *testing.T) {
	server := streamtest.New(t)
	node := server.Connect(t, "node")
	ctx, cancel := context.WithCancel(t.Context())
	var beating sync.WaitGroup
	beating.Go(func() {
		for ctx.Err() == nil {
			_ = node.PublishHeartbeat(&pb.Heartbeat{Node: "n1", Epoch: 4, Sequence: 77})
			time.Sleep(200 * time.Millisecond)
		}
	})
	r := firstRun(t, server, config(t.TempDir()))
	if s := r.await(t, store.Hold); !strings.Contains(s.Reason, "node n1") {
		t.Errorf("reason %q", s.Reason)
	}
	if _, err := r.bus.Find(t.Context()); !errors.Is(err, stream.ErrNoLog) {
		t.Errorf("a log was created: %v", err)
	}
	cancel()
	beating.Wait()
	r.await(t, store.Live) // the nodes were stopped: a new beginning is meant
}

// Where no log can exist, nobody is listened for.
func TestFirstLogIsCreatedAtOnce(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.First = true
	began := time.Now()
	firstRun(t, streamtest.New(t), cfg).await(t, store.Live)
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("it was live after %s", took)
	}
}

func serveSnapshots(t *testing.T, st *store.Store) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/snapshot" || r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		s, err := st.Snapshot(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(s.Bytes)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// The log's beginning has aged out: a replica with an empty disk, and one that
// was away for long, take a snapshot from a peer, or say that they need one.
func TestSnapshotFromPeer(t *testing.T) {
	server, awayDir := streamtest.New(t), t.TempDir()
	r := run(t, server, config(t.TempDir()))
	r.await(t, store.Live)
	r.append(t, put(t, "a", 1), put(t, "old", 1))
	away := run(t, server, config(awayDir))
	away.await(t, store.Live)
	away.stop()
	r.append(t, gone("old"))
	r.append(t, put(t, "a", 2), broken("r"))
	r.append(t, put(t, "b", 1))

	// The next epoch's log begins at 5, so nobody can begin before it.
	r.stop()
	founder := open(t, r.cfg)
	beginEpoch(t, server, founder)
	if err := founder.Close(); err != nil {
		t.Fatal(err)
	}
	leader := run(t, server, r.cfg)
	leader.await(t, store.Live)
	leader.append(t, put(t, "c", 1))
	url := serveSnapshots(t, leader.Store)

	for name, dir := range map[string]string{"empty disk": t.TempDir(), "long away": awayDir} {
		alone := run(t, server, config(dir))
		if s := alone.await(t, store.Hold); !strings.Contains(s.Reason, "peers") {
			t.Errorf("%s, without peers: %q", name, s.Reason)
		}
		alone.stop()
		cfg := config(dir)
		cfg.Peers, cfg.PeerToken = []string{"http://127.0.0.1:1", url + "/"}, "secret"
		joined := run(t, server, cfg)
		joined.await(t, store.Live)
		same(t, joined.State(), leader.State())
		leader.append(t, put(t, "d-"+filepath.Base(dir), 1))
		if _, err := joined.WaitFor(t.Context(), leader.State().Position().Sequence); err != nil {
			t.Fatal(err)
		}
		same(t, joined.State(), leader.State())
		joined.stop()
		reopened := open(t, config(dir))
		same(t, reopened.State(), leader.State())
		if err := reopened.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
