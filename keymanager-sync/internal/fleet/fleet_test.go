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
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/view"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type replica struct {
	*fleet.Fleet
	view *view.View
	stop func()
}

// start runs a replica's view and table on a log that exists already.
func start(t *testing.T, server *streamtest.Server, name string) *replica {
	t.Helper()
	bus, logger := server.Connect(t, name), slog.New(slog.DiscardHandler)
	if _, err := bus.Found(t.Context(), 1, 1, 0); err != nil {
		t.Fatal(err)
	}
	v, err := view.Open(view.Config{Dir: t.TempDir(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{view: v, Fleet: fleet.New(fleet.Config{Bus: bus, View: v, Replica: name, Logger: logger})}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = v.Run(ctx, bus) })
	running.Go(func() { _ = r.Run(ctx) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		_ = v.Close()
		bus.Close()
	})
	t.Cleanup(r.stop)
	until(t, "the view is live", func() bool { return v.Status().Phase == view.Live })
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
	n := &node{bus: server.Connect(t, id), beat: &pb.Heartbeat{Node: id, Epoch: 1, Sequence: sequence, State: pb.Heartbeat_LIVE}}
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

func wait(f *replica, sequence uint64, timeout time.Duration) (fleet.Applied, time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	began := time.Now()
	return f.WaitApplied(ctx, 1, sequence), time.Since(began)
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
	p := f.view.State().Position()
	other := server.Connect(t, "other")
	head := func(sequence, hash uint64) {
		t.Helper()
		err := other.PublishHead(&pb.Head{Epoch: p.Epoch, Founding: p.Founding, Sequence: sequence, SetHash: hash, Replica: "other"})
		if err != nil {
			t.Fatal(err)
		}
	}
	head(p.Sequence, f.view.State().SetHash()+1)
	until(t, "the divergence is seen", func() bool {
		for _, r := range f.Report().Replicas {
			if r.Diverged {
				return true
			}
		}
		return false
	})
	if f.view.Status().Lag != 0 {
		t.Errorf("lag %s", f.view.Status().Lag)
	}
	head(p.Sequence+3, 0)
	until(t, "the lag is seen", func() bool { return f.view.Status().Lag > 0 && f.view.Status().Last == p.Sequence+3 })
}
