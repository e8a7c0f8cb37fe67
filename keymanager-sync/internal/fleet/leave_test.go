package fleet_test

import (
	"slices"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// leave ends a process in good order.
func (n *node) leave() {
	n.stop()
	n.set(func(b *pb.Heartbeat) { b.State, b.Left = pb.Heartbeat_DRAINING, true })
}

// nodes are the ids in the table.
func nodes(f *replica) (ids []string) {
	for _, n := range f.Report().Nodes {
		ids = append(ids, n.Heartbeat.GetNode())
	}
	return ids
}

// A node is waited for while it drains, not any more when it has left, and again
// when it is back.
func TestNodeThatLeaves(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	f := start(t, server, "r")
	newNode(t, server, "n1", 6)
	until(t, "n1 is known", func() bool { return slices.Equal(nodes(f), []string{"n1"}) })
	if a, _ := wait(f, 6, 10*time.Second); !a.Everywhere() {
		t.Fatalf("at first: %+v", a)
	}
	best := time.Hour
	for life := range int64(4) {
		n2 := newProcess(t, server, "n2", 5, 1000-life) // a clock may be set back
		until(t, "n2 is known", func() bool { return slices.Equal(nodes(f), []string{"n1", "n2"}) })
		if a, _ := wait(f, 6, 50*time.Millisecond); !slices.Equal(a.Laggards, []string{"n2"}) {
			t.Errorf("life %d: %+v", life, a)
		}
		n2.set(func(b *pb.Heartbeat) { b.State = pb.Heartbeat_DRAINING })
		if a, took := wait(f, 6, 600*time.Millisecond); !slices.Equal(a.Laggards, []string{"n2"}) || took < 600*time.Millisecond {
			t.Errorf("life %d, draining: %+v after %s", life, a, took)
		}
		n2.stop()
		left := make(chan time.Time, 1)
		time.AfterFunc(20*time.Millisecond, func() {
			left <- time.Now()
			n2.leave()
		})
		a, _ := wait(f, 6, 10*time.Second)
		took := time.Since(<-left)
		if !a.Everywhere() || !slices.Equal(a.Nodes, []string{"n1"}) || len(a.Silent)+len(a.Duplicates) != 0 || took > 2*time.Second {
			t.Errorf("life %d, left: %+v after %s", life, a, took)
		}
		best = min(best, took)
		if !slices.Equal(nodes(f), []string{"n1"}) {
			t.Errorf("life %d, left: the table has %q", life, nodes(f))
		}
	}
	// With the heartbeat, not with the next look at the table.
	if best > 150*time.Millisecond {
		t.Errorf("the quickest of 4 answers took %s", best)
	}
}

// A node that was killed said nothing, so whether it still decides is not known.
func TestNodeThatVanishesIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	f := start(t, server, "r")
	n := newNode(t, server, "n", 5)
	until(t, "it is known", func() bool { return len(nodes(f)) == 1 })
	n.set(func(b *pb.Heartbeat) { b.State = pb.Heartbeat_DRAINING }) // nor is it after a drain that broke off
	n.stop()
	n.set(func(*pb.Heartbeat) {})
	if a, took := wait(f, 6, 15*time.Second); !a.Everywhere() || took < 4*time.Second {
		t.Errorf("%+v after %s", a, took)
	}
}

// The last heartbeat of a process says nothing of others that use its id.
func TestLastHeartbeatOfOneProcess(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	f := start(t, server, "r")
	waitedFor := func(when string) {
		t.Helper()
		time.Sleep(50 * time.Millisecond)
		if a, _ := wait(f, 6, 400*time.Millisecond); !slices.Equal(a.Laggards, []string{"n"}) {
			t.Errorf("%s: %+v", when, a)
		}
	}
	known := func(startedAt int64) {
		t.Helper()
		until(t, "the process is known", func() bool {
			report := f.Report()
			return len(report.Nodes) == 1 && report.Nodes[0].Heartbeat.GetStartedAt() == startedAt
		})
	}
	old := newProcess(t, server, "n", 6, 1000)
	known(1000)
	if a, _ := wait(f, 6, 10*time.Second); !a.Everywhere() { // the table counts as complete
		t.Fatalf("at first: %+v", a)
	}
	// The new process is heard before the old one has gone.
	old.stop()
	restarted := newProcess(t, server, "n", 5, 2000)
	known(2000)
	old.leave()
	waitedFor("the old process has left")
	if a, _ := wait(f, 6, 0); len(a.Duplicates) != 0 {
		t.Errorf("a restart is taken for a duplicate: %+v", a)
	}
	// Of two that are there, the one that is heard of last leaves.
	twin := newProcess(t, server, "n", 6, 3000)
	until(t, "the duplicate is seen", func() bool { return f.Report().Nodes[0].Duplicate })
	twin.leave()
	waitedFor("one of two has left")
	if f.Report().Nodes[0].Duplicate {
		t.Error("one process is left, and is called a duplicate")
	}
	restarted.leave()
	if a, took := wait(f, 6, 10*time.Second); !a.Everywhere() || took > 2*time.Second || len(nodes(f)) != 0 {
		t.Errorf("all have left: %+v after %s, the table has %q", a, took, nodes(f))
	}
}
