package stream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	fleet := streamtest.Cluster(t, 3)
	foundersRace(t, func() *stream.Bus { return fleet.Connect(t, "creator") })
	log, err := fleet.Connect(t, "writer").Find(t.Context())
	must(t, err)
	must(t, log.Audit(t.Context()))
	s, err := raw(t, fleet.URLs()).Stream(t.Context(), log.Identity().Stream)
	must(t, err)
	if replicas := s.CachedInfo().Config.Replicas; replicas != 3 {
		t.Errorf("the log has %d replicas, want 3", replicas)
	}
	appendAll(t, log, 0, 3)
	refusesStale(t, log)
	r := follow(t, log, 0)
	r.wait(t, 0, 3)

	// A change of leaders, and a stop, which hands over, cost no more than patience.
	name := log.Identity().Stream
	last := uint64(3)
	must(t, fleet.Leader(t, name).Server().StepDown(name))
	last = appendPatiently(t, log, last, 10)
	leader := fleet.Leader(t, name)
	leader.Stop(t)
	began := time.Now()
	last = appendPatiently(t, log, last, 10)
	// Without handing over, the others would wait at least four seconds before they vote.
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("writes went on only %s after a planned stop of the leader", d)
	}
	leader.Start(t)
	fleet.Ready(t)
	r.wait(t, 0, int(last))

	// A writer at each server, and conflicts between them that are still under way.
	racing := fleet.Connect(t, "racer")
	other, err := racing.Find(t.Context())
	must(t, err)
	acknowledged := [2]map[uint64]string{{}, {}}
	done := make(chan struct{})
	r.cancel()
	go func() {
		defer close(done)
		race(t, other, 1, 50, acknowledged[1])
	}()
	race(t, log, 0, 50, acknowledged[0])
	<-done
	if _, end, err := log.Bounds(t.Context()); err != nil || end != last+100 {
		t.Errorf("after 100 racing appends the log ends at %d, %v; want %d", end, err, last+100)
	}
	for sequence := range acknowledged[0] {
		if id, twice := acknowledged[1][sequence]; twice {
			t.Errorf("sequence %d was acknowledged to both writers, once for %s", sequence, id)
		}
	}
}

func TestClusterLosesItsLeader(t *testing.T) {
	t.Parallel()
	fleet := streamtest.Cluster(t, 3)
	log := createLog(t, fleet.Connect(t, "writer"))
	appendAll(t, log, 0, 10)
	name := log.Identity().Stream
	leader := fleet.Leader(t, name)
	// One follower hangs on the server that goes, with the others known to it.
	reading, err := streamtest.Connect(t, leader.URL(), "reader").Find(t.Context())
	must(t, err)
	readers := []*reader{follow(t, log, 0), follow(t, reading, 0)}

	gone := make(chan struct{})
	go func() {
		time.Sleep(100 * time.Millisecond)
		leader.Stop(t)
		close(gone)
	}()
	last := uint64(10)
	for isOpen := true; isOpen; {
		last = appendPatiently(t, log, last, 1)
		select {
		case <-gone:
			isOpen = false
		default:
		}
	}
	last = appendPatiently(t, log, last, 20)
	for _, r := range readers {
		r.wait(t, 0, int(last))
	}

	// All gone and back: nothing of it is lost, and nobody takes it for a rollback.
	for _, s := range fleet.Servers {
		if s != leader {
			s.Stop(t)
		}
	}
	for _, s := range fleet.Servers {
		s.Start(t)
	}
	fleet.Ready(t)
	fleet.Leader(t, name)
	last = appendPatiently(t, log, last, 5)
	for _, r := range readers {
		r.wait(t, 0, int(last))
	}
}

// Five servers, of which three hold the log and two of these are away. The cluster
// lives, and the third answers questions about the log, which must not be believed.
func TestMinorityDoesNotSpeakForTheLog(t *testing.T) {
	t.Parallel()
	fleet := streamtest.Cluster(t, 5)
	log := createLog(t, fleet.Connect(t, "writer"))
	appendAll(t, log, 0, 5)
	s, err := raw(t, fleet.URLs()).Stream(t.Context(), log.Identity().Stream)
	must(t, err)
	cluster := s.CachedInfo().Cluster
	for _, name := range []string{cluster.Leader, cluster.Replicas[0].Name} {
		fleet.Member(t, name).Stop(t)
	}
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, last, err := log.Bounds(t.Context()); !errors.Is(err, stream.ErrUnavailable) {
			t.Fatalf("bounds without a leader: got %d, %v; want ErrUnavailable", last, err)
		}
	}
}

// The leader is killed while it is written to, with no chance to say so, and the
// others elect a new one.
func TestClusterAcrossKills(t *testing.T) {
	t.Parallel()
	processes := streamtest.Processes(t, 3)
	urls := streamtest.URLs(processes...)
	bus := streamtest.Connect(t, urls, "writer")
	log, _, err := retry(func() (*stream.Log, bool, error) {
		log, err := bus.CreateLog(t.Context(), 1, 1, 3)
		return log, true, err
	})
	must(t, err)
	reading, err := streamtest.Connect(t, urls, "reader").Find(t.Context())
	must(t, err)
	r := follow(t, reading, 0)
	js := raw(t, urls)
	last := appendPatiently(t, log, 0, 20)
	s, err := js.Stream(t.Context(), log.Identity().Stream)
	must(t, err)
	at := slices.IndexFunc(processes, func(p *streamtest.Process) bool { return p.Name() == s.CachedInfo().Cluster.Leader })
	leader, others := processes[at], slices.Delete(slices.Clone(processes), at, at+1)
	patient, err := streamtest.Connect(t, streamtest.URLs(others...), "patient").Find(t.Context())
	must(t, err)
	began := time.Now()
	leader.Kill()
	time.Sleep(200 * time.Millisecond)
	// One call sits out the election.
	last, err = patient.Append(t.Context(), last, "mixed", []byte(fmt.Sprint(last+1)), "id")
	must(t, err)
	t.Logf("writes went on %s after the leader was killed", time.Since(began).Round(time.Millisecond))
	last = appendPatiently(t, log, last, 19)
	leader.Start(t)
	began = time.Now()
	r.wait(t, 0, int(last))
	t.Logf("the follower had everything %s later", time.Since(began).Round(time.Millisecond))
}

// appendPatiently appends like appendAll, and as a writer must: what is unknown is
// tried again, and a conflict is looked into.
func appendPatiently(t *testing.T, log *stream.Log, last uint64, count int) uint64 {
	t.Helper()
	end := time.Now().Add(2 * patience)
	for range count {
		next := last + 1
		for {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_, err := log.Append(ctx, last, "mixed", []byte(fmt.Sprint(next)), fmt.Sprintf("id-%d", next))
			cancel()
			if err == nil || errors.Is(err, stream.ErrConflict) && landed(t, log, last) {
				break
			}
			if !errors.Is(err, stream.ErrUnavailable) && !errors.Is(err, stream.ErrUnknown) || time.Now().After(end) {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		last = next
	}
	return last
}

// landed reports whether the message after last is our own.
func landed(t *testing.T, log *stream.Log, last uint64) bool {
	t.Helper()
	r := follow(t, log, last)
	defer r.cancel()
	return r.wait(t, last, 1)[0].ID == fmt.Sprintf("id-%d", last+1)
}
