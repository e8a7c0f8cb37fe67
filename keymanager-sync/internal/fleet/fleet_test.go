package fleet_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type replica struct {
	*fleet.Fleet
	store *store.Store
	stop  func()
}

// start runs a replica's store and table on a log that exists already.
func start(t *testing.T, server *streamtest.Server, name string) *replica {
	t.Helper()
	bus, logger := server.Connect(t, name), slog.New(slog.DiscardHandler)
	if _, err := bus.CreateLog(t.Context(), 1, 1, 0); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(store.Config{Dir: t.TempDir(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{store: st, Fleet: fleet.New(fleet.Config{Bus: bus, Store: st, Replica: name, Logger: logger})}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = st.Run(ctx, bus) })
	running.Go(func() { _ = r.Run(ctx) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		_ = st.Close()
		bus.Close()
	})
	t.Cleanup(r.stop)
	until(t, "the store is live", func() bool { return st.Status().Phase == store.Live })
	return r
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still not: " + what)
		}
	}
}

// node beats until stopped, with what set changes.
type node struct {
	mu   sync.Mutex
	beat *pb.Heartbeat
	bus  *stream.Bus
	stop func()
}

func newNode(t *testing.T, server *streamtest.Server, id string, sequence uint64) *node {
	t.Helper()
	return newProcess(t, server, id, sequence, 0)
}

// newProcess is like newNode for a process that says when it started.
func newProcess(t *testing.T, server *streamtest.Server, id string, sequence uint64, startedAt int64) *node {
	t.Helper()
	n := &node{bus: server.Connect(t, id), beat: &pb.Heartbeat{
		Node: id, Epoch: 1, Sequence: sequence, State: pb.Heartbeat_LIVE, StartedAt: startedAt,
	}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			n.set(func(*pb.Heartbeat) {})
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
	})
	n.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(n.stop)
	return n
}

func (n *node) set(change func(*pb.Heartbeat)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n.beat)
	_ = n.bus.PublishHeartbeat(n.beat)
}

func wait(f *replica, sequence uint64, timeout time.Duration) (*fleet.Applied, time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	began := time.Now()
	return f.WaitApplied(ctx, fleet.Change{Epoch: 1, Sequence: sequence}), time.Since(began)
}

func TestWaitApplied(t *testing.T) {
	server := streamtest.New(t)
	// The nodes are there before the table listens: it must not take what it has
	// not heard yet for an empty fleet.
	n1, n2 := newNode(t, server, "n1", 5), newNode(t, server, "n2", 5)
	loading := newNode(t, server, "n3", 0)
	loading.set(func(b *pb.Heartbeat) { b.State = pb.Heartbeat_LOADING })
	f := start(t, server, "r")
	if a, _ := wait(f, 5, 10*time.Second); !slices.Equal(a.Nodes, []string{"n1", "n2"}) || !a.Everywhere() {
		t.Errorf("just after the start: %+v", a)
	}
	// A laggard is named when the time is up, not before.
	n1.set(func(b *pb.Heartbeat) { b.Sequence = 6 })
	if a, took := wait(f, 6, 300*time.Millisecond); !slices.Equal(a.Laggards, []string{"n2"}) || took < 300*time.Millisecond {
		t.Errorf("with a laggard: %+v after %s", a, took)
	}
	// The answer comes with the heartbeat, not with a timer.
	go func() {
		time.Sleep(100 * time.Millisecond)
		n2.set(func(b *pb.Heartbeat) { b.Sequence = 6 })
	}()
	if a, took := wait(f, 6, 5*time.Second); !a.Everywhere() || len(a.Nodes) != 2 || took > 230*time.Millisecond {
		t.Errorf("after catching up: %+v after %s", a, took)
	}
	// Another epoch's sequence says nothing; a later epoch contains it.
	n1.set(func(b *pb.Heartbeat) { b.Epoch, b.Sequence = 0, 99 })
	n2.set(func(b *pb.Heartbeat) { b.Epoch, b.Sequence = 2, 1 })
	time.Sleep(50 * time.Millisecond)
	if a, _ := wait(f, 6, 100*time.Millisecond); !slices.Equal(a.Laggards, []string{"n1"}) || !slices.Equal(a.Nodes, []string{"n2"}) {
		t.Errorf("with other epochs: %+v", a)
	}
	// A node that falls silent is named, and not waited for any longer.
	n1.stop()
	if a, took := wait(f, 6, 15*time.Second); !a.Everywhere() || !slices.Equal(a.Silent, []string{"n1"}) || took > 7*time.Second {
		t.Errorf("with a silent node: %+v after %s", a, took)
	}
}

func TestReportAndLeader(t *testing.T) {
	server := streamtest.New(t)
	a, b := start(t, server, "a"), start(t, server, "b")
	newNode(t, server, "n1", 0)
	until(t, "both replicas and the node are known", func() bool {
		report := b.Report()
		return len(report.Replicas) == 2 && len(report.Nodes) == 1
	})
	report := b.Report()
	if report.Replicas[0].Self || !report.Replicas[1].Self || !report.Replicas[0].Live || report.Replicas[0].Diverged {
		t.Errorf("replicas %+v", report.Replicas)
	}
	if !report.Nodes[0].Live || report.Nodes[0].OtherEpoch || report.Nodes[0].Lag != 0 {
		t.Errorf("nodes %+v", report.Nodes)
	}
	until(t, "a leads", a.Leader)
	if b.Leader() {
		t.Error("two lead")
	}
	a.stop()
	until(t, "b takes over", b.Leader)
}

func TestHeadsTellOfLagAndDivergence(t *testing.T) {
	server := streamtest.New(t)
	f := start(t, server, "a")
	p := f.store.State().Position()
	other := server.Connect(t, "other")
	head := func(sequence, hash uint64) {
		t.Helper()
		err := other.PublishHead(&pb.Head{Epoch: p.Epoch, Founding: p.EpochID, Sequence: sequence, SetHash: hash, Replica: "other"})
		if err != nil {
			t.Fatal(err)
		}
	}
	head(p.Sequence, f.store.State().SetHash()+1)
	until(t, "the divergence is seen", func() bool {
		for _, r := range f.Report().Replicas {
			if r.Diverged {
				return true
			}
		}
		return false
	})
	if f.store.Status().Lag != 0 {
		t.Errorf("lag %s", f.store.Status().Lag)
	}
	head(p.Sequence+3, 0)
	until(t, "the lag is seen", func() bool { return f.store.Status().Lag > 0 && f.store.Status().Last == p.Sequence+3 })
}

// A replica that cannot write leaves the leader's work to another.
func TestLeaderOnHoldStepsAside(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	a, b := start(t, server, "a"), start(t, server, "b")
	until(t, "a leads", a.Leader)
	until(t, "b has heard that a can write", func() bool {
		report := b.Report()
		return len(report.Replicas) == 2 && report.Replicas[0].Head.GetWritable()
	})
	// The disk of a fails: its file is closed under it, so the next entry cannot be stored.
	if err := a.store.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := server.Connect(t, "w").Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), 0, "mixed", []byte{8, 1}, "x"); err != nil {
		t.Fatal(err)
	}
	until(t, "a is on hold", func() bool { return a.store.Status().Phase == store.Hold })
	if a.Leader() {
		t.Error("a replica on hold leads")
	}
	until(t, "b leads", b.Leader)
	// It goes on telling where it stands.
	if report := b.Report(); !report.Replicas[0].Live || report.Replicas[0].Head.GetWritable() {
		t.Errorf("replicas %+v", report.Replicas)
	}
}

// A replica that has just come to life, or just begins to be able to write, does not
// lead beside one that leads: it is answered before it can believe that it does. Alone
// it leads soon.
func TestNobodyLeadsBeforeTheHeadsAreHeard(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	bus, logger := server.Connect(t, "b"), slog.New(slog.DiscardHandler)
	st, err := store.Open(store.Config{Dir: t.TempDir(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	b := fleet.New(fleet.Config{Bus: bus, Store: st, Replica: "b", Logger: logger})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = b.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = st.Close()
	})
	time.Sleep(time.Second)
	if b.Leader() {
		t.Error("a replica without a log leads")
	}
	began := time.Now()
	a := start(t, server, "a")
	until(t, "a leads", a.Leader)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a leads after %s", took)
	}
	// Between two of its heads, so that b hears of a by an answer.
	running.Go(func() { _ = st.Run(ctx, bus) })
	until(t, "the store is live", func() bool { return st.Status().Phase == store.Live })
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if b.Leader() {
			t.Fatal("b leads beside a")
		}
	}
	a.stop()
	until(t, "b leads", b.Leader)
}

// A head of somebody new is answered at once.
func TestHeadsAreAnswered(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	a := start(t, server, "a")
	until(t, "a leads", a.Leader)
	other := server.Connect(t, "other")
	heard := make(chan time.Time, 16)
	unsubscribe, err := other.SubscribeHeads(func(h *pb.Head) {
		if h.GetReplica() == "a" {
			heard <- time.Now()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unsubscribe()
	p := a.store.State().Position()
	<-heard // the next of its own accord comes in a second
	time.Sleep(100 * time.Millisecond)
	asked := time.Now()
	if err := other.PublishHead(&pb.Head{Epoch: p.Epoch, Founding: p.EpochID, Replica: "new"}); err != nil {
		t.Fatal(err)
	}
	if took := (<-heard).Sub(asked); took > 500*time.Millisecond {
		t.Errorf("answered after %s", took)
	}
}

// Two processes with one id hide each other from a table of ids: that is
// noticed, and a change counts as applied when both have it.
func TestTwoNodesWithOneID(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	f := start(t, server, "r")
	first := newNode(t, server, "same", 5)
	first.set(func(b *pb.Heartbeat) { b.StartedAt = 1000 })
	until(t, "the node is known", func() bool { return len(f.Report().Nodes) == 1 })
	// A restart is no duplicate.
	first.stop()
	second := newNode(t, server, "same", 5)
	second.set(func(b *pb.Heartbeat) { b.StartedAt = 2000 })
	until(t, "the restart is seen", func() bool { return f.Report().Nodes[0].Heartbeat.GetStartedAt() == 2000 })
	time.Sleep(time.Second)
	if a, _ := wait(f, 5, 5*time.Second); len(a.Duplicates) != 0 || f.Report().Nodes[0].Duplicate {
		t.Errorf("after a restart: %+v, %+v", a, f.Report().Nodes)
	}
	// Another process, which is behind.
	third := newNode(t, server, "same", 4)
	third.set(func(b *pb.Heartbeat) { b.StartedAt = 3000 })
	until(t, "the duplicate is seen", func() bool { return f.Report().Nodes[0].Duplicate })
	for range 5 {
		if a, _ := wait(f, 5, 150*time.Millisecond); !slices.Equal(a.Laggards, []string{"same"}) || !slices.Equal(a.Duplicates, []string{"same"}) {
			t.Errorf("with a duplicate that is behind: %+v", a)
		}
	}
	third.set(func(b *pb.Heartbeat) { b.Sequence = 5 })
	if a, _ := wait(f, 5, 5*time.Second); !slices.Equal(a.Nodes, []string{"same"}) || !slices.Equal(a.Duplicates, []string{"same"}) || !a.Everywhere() {
		t.Errorf("with a duplicate that has caught up: %+v", a)
	}
	third.stop()
	until(t, "the duplicate is over", func() bool { return !f.Report().Nodes[0].Duplicate })
}
