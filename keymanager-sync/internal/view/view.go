// Package view is one replica's own copy of the state that the log amounts to.
//
// It follows the log from the entry after the last one it has, folds the entries
// with catalog.State.Apply, writes what they changed together with the position
// to a bbolt file on this replica's disk in one fsynced transaction, and only
// then shows the new State to readers. So what the view shows survives the
// process, and JetStream never holds the only copy.
//
// The view is also the judge of the log: a gap, a log that is behind the view,
// another founding, or no log where there was one puts it on hold. On hold,
// reads go on from what it has, writes are refused with the reason, and nothing
// is recreated: that is an operator's decision (`keymanager-sync new-epoch`). The
// view keeps looking, and goes on by itself when the log it knows is back.
package view

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// Config is what a view needs.
type Config struct {
	// Dir holds the view's file; it is made if it does not exist.
	Dir    string
	Logger *slog.Logger
	// Registry receives the view's metrics; nil: none are shown.
	Registry prometheus.Registerer
	// Peers are the base addresses of the other replicas, asked for a snapshot
	// when the log no longer reaches back to what is on this disk.
	Peers []string
	// PeerToken opens the peers' snapshots.
	PeerToken string
	// Writer names this replica in the snapshots it makes.
	Writer string
	// Replicas of the log when it is founded at first start; 0: three on a cluster.
	Replicas int
	// MaxDownloads is the number of snapshot downloads served at once. Default 8.
	MaxDownloads int
	// SnapshotAge is how long a snapshot may be handed out although the state has
	// moved on. Default 1s.
	SnapshotAge time.Duration
}

// Phase is what the view is doing.
type Phase string

const (
	// Opening: the log has not been found yet. Reads show what was on disk.
	Opening Phase = "OPENING"
	// Loading: the view is catching up with the log.
	Loading Phase = "LOADING"
	// Live: the view follows the log.
	Live Phase = "LIVE"
	// Away: NATS cannot be reached. Reads go on, writes wait or are refused.
	Away Phase = "AWAY"
	// Hold: the log cannot be trusted, or the disk fails. Reads go on, writes are refused.
	Hold Phase = "HOLD"
)

// longestLag is how long a view may be behind and still take part in writing.
const longestLag = 10 * time.Second

// Status tells how the view stands to the log.
type Status struct {
	Phase Phase
	// Reason says in words why the view is not Live, and what to do.
	Reason   string
	Position catalog.Position
	// Last is the log's last sequence as far as this replica knows.
	Last uint64
	// Since is when the phase began.
	Since time.Time
	// Lag is how old the oldest news is that the view has not caught up with; 0:
	// it is not behind Last.
	Lag time.Duration
}

// View is one replica's durable view. All methods are safe for concurrent use.
type View struct {
	cfg     Config
	disk    *disk
	state   atomic.Pointer[catalog.State]
	keep    keeper
	metrics metrics

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when the state or the phase changes
	phase   Phase
	reason  string
	since   time.Time
	last    uint64
	behind  time.Time // when target was heard of, if the position is before it; else zero
	target  uint64
	log     *stream.Log
	stream  string // the name of the last log that was followed
	foreign bool   // the newest log is not the one that this view is of
	bus     *stream.Bus
	recent  recent

	// catches is how often a snapshot was asked for since the log was followed last.
	// Only Run's goroutine uses it.
	catches int
}

// Open opens the view's file, or makes it, and loads the State it holds. The
// error says if the file is damaged, or is in use by another process.
func Open(cfg Config) (*View, error) {
	if cfg.MaxDownloads <= 0 {
		cfg.MaxDownloads = 8
	}
	if cfg.SnapshotAge <= 0 {
		cfg.SnapshotAge = time.Second
	}
	d, err := openDisk(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open view in %s: %w", cfg.Dir, err)
	}
	state, err := d.load()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load view in %s: %w", cfg.Dir, err), d.close())
	}
	v := &View{
		cfg: cfg, disk: d,
		changed: make(chan struct{}),
		phase:   Opening, reason: "the log has not been found yet", since: time.Now(),
		last: state.Position().Sequence,
	}
	v.keep.slots, v.keep.build = make(chan struct{}, cfg.MaxDownloads), make(chan struct{}, 1)
	v.state.Store(state)
	v.observe(cfg.Registry)
	return v, nil
}

// Close closes the file. Run must have returned.
func (v *View) Close() error { return v.disk.close() }

// State is the newest state that stands on this replica's disk; never nil.
// Before the replica has joined a log it is empty, with position zero.
func (v *View) State() *catalog.State { return v.state.Load() }

// Status tells how the view stands to the log.
func (v *View) Status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Status{
		Phase: v.phase, Reason: v.reason, Position: v.State().Position(), Since: v.since,
		Last: max(v.last, v.State().Position().Sequence),
	}
	if !v.behind.IsZero() {
		s.Lag = time.Since(v.behind)
	}
	switch {
	case v.phase == Hold:
	case v.bus != nil && !v.bus.Connected():
		s.Phase, s.Reason = Away, "NATS cannot be reached"
	case v.phase == Live && s.Lag > longestLag:
		// A log that another replica has seen more of may have been rolled back.
		s.Phase = Loading
		s.Reason = fmt.Sprintf("another replica has seen sequence %d, and the log has given this one only %d for %s", s.Last, s.Position.Sequence, s.Lag.Round(time.Second))
	}
	return s
}

// Log is the log that the view follows; nil while it follows none.
func (v *View) Log() *stream.Log {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.log
}

// Vouches reports whether the view's position may be told to others: it has joined
// a log, and no other log has taken that one's place. A replica on hold goes on
// telling it, so that nobody founds a log over what it has, or writes to one that
// was rolled back.
func (v *View) Vouches() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.foreign && v.State().Position().Epoch > 0
}

// WaitFor waits until the view has a sequence, and returns the state then. The
// error is that of ctx, or a *HoldError when the view comes to a hold.
func (v *View) WaitFor(ctx context.Context, sequence uint64) (*catalog.State, error) {
	for {
		v.mu.Lock()
		changed, phase, reason := v.changed, v.phase, v.reason
		v.mu.Unlock()
		if s := v.State(); s.Position().Sequence >= sequence {
			return s, nil
		}
		if phase == Hold {
			return nil, &HoldError{Reason: reason}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for sequence %d: %w", sequence, ctx.Err())
		}
	}
}

// Changed is closed when the state or the phase changes next.
func (v *View) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// EntryID is the id with which the entry at a sequence was appended; known for
// the last 4,096 entries that this process has folded.
func (v *View) EntryID(sequence uint64) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.recent.get(sequence)
}

// Heard takes the head of another replica into account, so that the view knows
// that it is behind although nothing arrives.
func (v *View) Heard(head *pb.Head) {
	p := v.State().Position()
	if head.GetEpoch() != p.Epoch || head.GetFounding() != p.EpochID {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known(head.GetSequence())
}

// known notes how far the log has come; v.mu is held. The lag is the age of the
// oldest news that the view has not caught up with, so a view that is busy
// following does not look like one that stands still.
func (v *View) known(last uint64) {
	v.last = max(v.last, last)
	position := v.State().Position().Sequence
	switch {
	case position >= v.last:
		v.behind = time.Time{}
	case v.behind.IsZero() || position >= v.target:
		v.behind, v.target = time.Now(), v.last
	}
}

// publish shows a state that stands on disk.
func (v *View) publish(state *catalog.State, entries []stream.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.Store(state)
	for _, m := range entries {
		v.recent.put(m.Sequence, m.ID)
	}
	v.known(state.Position().Sequence)
	if v.phase == Loading && state.Position().Sequence >= v.last {
		v.turn(Live, "")
	}
	v.wake()
}

// enter moves to a phase.
func (v *View) enter(phase Phase, reason string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.phase == phase && v.reason == reason {
		return
	}
	v.turn(phase, reason)
	v.wake()
}

func (v *View) turn(phase Phase, reason string) {
	level := slog.LevelInfo
	if phase == Hold {
		level = slog.LevelError
	}
	v.cfg.Logger.LogAttrs(context.Background(), level, "view enters a phase",
		slog.String("phase", string(phase)), slog.String("reason", reason),
		slog.Uint64("sequence", v.State().Position().Sequence))
	if v.phase != phase {
		v.since = time.Now()
	}
	v.phase, v.reason = phase, reason
}

func (v *View) wake() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// recent remembers the ids of the last entries.
type recent [4096]struct {
	sequence uint64
	id       string
}

func (r *recent) put(sequence uint64, id string) {
	r[sequence%uint64(len(r))] = struct {
		sequence uint64
		id       string
	}{sequence, id}
}

func (r *recent) get(sequence uint64) (string, bool) {
	e := r[sequence%uint64(len(r))]
	return e.id, e.sequence == sequence && sequence != 0
}
