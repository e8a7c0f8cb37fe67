package feed

import (
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// TestLiveWhenCaughtUp: a node that starts from an old state says LIVE when it
// has reached what the log held, and not when it is connected.
func TestLiveWhenCaughtUp(t *testing.T) {
	var s status
	at := func(sequence uint64) { s.applied(catalog.Empty().At(catalog.Position{Epoch: 1, Sequence: sequence})) }
	want := func(when string, state pb.Heartbeat_State) {
		t.Helper()
		if got := s.get(); got != state {
			t.Errorf("%s: %s, want %s", when, got, state)
		}
	}
	at(5)
	s.set(pb.Heartbeat_STALE)
	s.liveIfStale()
	want("before the log is followed", pb.Heartbeat_STALE)
	s.followed(8)
	at(7)
	s.liveIfStale()
	want("before the state has caught up", pb.Heartbeat_STALE)
	at(8)
	want("caught up", pb.Heartbeat_LIVE)
	s.staleIfLive()
	s.liveIfStale()
	want("connected again while it is followed", pb.Heartbeat_LIVE)
	s.unfollowed()
	s.set(pb.Heartbeat_STALE)
	s.liveIfStale()
	want("no longer followed", pb.Heartbeat_STALE)
	s.followed(8)
	want("nothing to catch up", pb.Heartbeat_LIVE)
}

// TestAge: a stale state has its true age from the first moment, and a state that
// has caught up has none, however old the one from disk was.
func TestAge(t *testing.T) {
	var s status
	now := time.Now()
	s.startedFrom(now.Add(-time.Second))
	s.applied(catalog.Empty().At(catalog.Position{Epoch: 1, Sequence: 5}))
	s.set(pb.Heartbeat_STALE)
	if got := s.lag(now); got != time.Second {
		t.Errorf("stale: %s, want 1s", got)
	}
	s.startedFrom(now.Add(-time.Hour))
	s.followed(5)
	if got := s.lag(now); got != 0 {
		t.Errorf("caught up: %s, want 0", got)
	}
	s.headSeen(6, 5, now) // a head that we do not have yet
	if got := s.lag(now.Add(time.Minute)); got < 59*time.Second {
		t.Errorf("behind for a minute: %s", got)
	}
}
