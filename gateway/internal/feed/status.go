package feed

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

var errRenew = errors.New("the consumer is silent although the log has moved on")

// status is what a node knows about how current its state is.
type status struct {
	resyncs atomic.Uint64
	left    atomic.Bool

	mu          sync.Mutex
	state       pb.Heartbeat_State
	position    catalog.Position
	head        uint64    // the highest head received
	headAt      time.Time // when a head was last received
	atHead      time.Time // when the node last knew itself at the head
	behindSince time.Time // zero: not behind
	target      uint64    // the head that was news when the node was first behind it

	// The log is being followed, and ended at goal when that began. A state that
	// has reached it is current; before, it is not, whatever the connection is like.
	following, current bool
	// The node has been current once, or has found out that it cannot be now.
	settled bool
	goal    uint64
}

// Status is a node's own account of how current it is.
type Status struct {
	State    pb.Heartbeat_State
	Position catalog.Position
	// Age is the time since the node last knew its state to be current; 0 while it is.
	Age time.Duration
	// Behind is the number of entries that the log is known to have and the state has not.
	Behind uint64
	// Ready: there is a view to serve from, and it is current or the best to be had.
	Ready bool
	// NotInForce are the resources that this node could not put in force, the newest first.
	NotInForce []Fault
}

// Status returns how current the node is.
func (f *Feed) Status() Status {
	now := time.Now()
	s := Status{State: f.status.get(), Age: f.status.lag(now), Behind: f.status.entriesBehind(), Ready: f.View() != nil && f.status.isSettled(now, f.started)}
	if c := f.current(); c != nil {
		s.Position, s.NotInForce = c.Position(), f.notInForce()
	}
	return s
}

func (f *Feed) notInForce() []Fault {
	if faults := f.faults.Load(); faults != nil {
		return *faults
	}
	return nil
}

// Drain makes the node's state DRAINING, for good: it is about to end.
func (f *Feed) Drain() {
	f.status.mu.Lock()
	f.status.state = pb.Heartbeat_DRAINING
	f.status.mu.Unlock()
	signal(f.beat)
}

// Leave notes that the last request has been answered and that no other will be decided.
// When Run ends, a last heartbeat says so, and the control plane stops waiting for this
// node.
func (f *Feed) Leave() { f.status.left.Store(true) }

func (s *status) entriesBehind() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head - min(s.head, s.position.Sequence)
}

func (s *status) get() pb.Heartbeat_State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// set moves to a state; a node that has nothing to serve stays LOADING.
func (s *status) set(to pb.Heartbeat_State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == pb.Heartbeat_DRAINING || s.state == pb.Heartbeat_LOADING && to == pb.Heartbeat_STALE && s.position == (catalog.Position{}) {
		return
	}
	s.state = to
}

// followed notes that the log is followed from now on, which ended at goal just now.
func (s *status) followed(goal uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.following, s.current, s.goal = true, false, goal
	s.reach()
}

// settleTime is how long a node that has a state from disk waits for the newest one
// before it reports that it is ready. It serves requests in the meantime, too.
const settleTime = 3 * time.Second

func (s *status) isSettled(now, started time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled || s.state == pb.Heartbeat_LIVE || now.Sub(started) > settleTime
}

// settle notes that a newer state cannot be had now, so that waiting ends.
func (s *status) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = true
}

// reach makes a state LIVE that has come to what the log held when it began to
// be followed.
func (s *status) reach() {
	if !s.following || s.current || s.position.Sequence < s.goal {
		return
	}
	s.current, s.settled, s.atHead = true, true, time.Now()
	if s.state != pb.Heartbeat_DRAINING {
		s.state = pb.Heartbeat_LIVE
	}
}

// unfollowed notes that the log is not followed any more.
func (s *status) unfollowed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.following, s.current = false, false
}

// staleIfLive also makes the node prove itself current again, by reaching the
// highest head it has heard of.
func (s *status) staleIfLive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.goal = false, max(s.goal, s.head)
	if s.state == pb.Heartbeat_LIVE {
		s.state = pb.Heartbeat_STALE
	}
}

// liveIfStale makes a STALE state that has reached the head LIVE, and reports whether
// it did.
func (s *status) liveIfStale() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.state
	s.reach()
	if s.state == pb.Heartbeat_STALE && s.current {
		s.state = pb.Heartbeat_LIVE
	}
	return was == pb.Heartbeat_STALE && s.state == pb.Heartbeat_LIVE
}

// applied notes the position of a newly installed state.
func (s *status) applied(c *catalog.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = c.Position()
	s.compare(time.Now())
	s.reach()
}

func (s *status) headSeen(head, applied uint64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head, s.headAt = max(s.head, head), now
	if max(applied, s.position.Sequence) >= s.head {
		s.atHead = now
	}
	s.compare(now)
}

// compare measures for how long one and the same head has not been reached. A node that
// makes progress, but is always a little behind, is not stuck.
func (s *status) compare(now time.Time) {
	switch {
	case s.position.Sequence >= s.head:
		s.behindSince = time.Time{}
	case s.behindSince.IsZero() || s.position.Sequence >= s.target:
		s.behindSince, s.target = now, s.head
	}
}

// resynced forgets heads of the log that was left.
func (s *status) resynced(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head, s.atHead, s.behindSince = s.position.Sequence, now, time.Time{}
}

// behind is for how long a later head than ours has been known, and for how
// long no head has been received.
func (s *status) behind(now time.Time) (behind, silent time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.behindSince.IsZero() {
		behind = now.Sub(s.behindSince)
	}
	return behind, now.Sub(s.headAt)
}

// currentAt is when the state was last known to be current.
func (s *status) currentAt(now time.Time) time.Time { return now.Add(-s.lag(now)) }

// lag is the time since the node last knew itself current; 0 while it is. Heads
// come once a second, so a LIVE node is current for two seconds after it reached one.
func (s *status) lag(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.atHead.IsZero() {
		return 0
	}
	d := now.Sub(s.atHead)
	if stale := s.state == pb.Heartbeat_STALE || s.state == pb.Heartbeat_RESYNC; stale || d > 2*beatEvery {
		return max(d, 0)
	}
	return 0
}
