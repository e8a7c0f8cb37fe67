// Package store keeps one replica's durable copy of the state.
//
// It follows the log from the entry after the last one it has, folds the entries
// with catalog.State.Apply, writes what they changed together with the position
// to a bbolt file on this replica's disk in one fsynced transaction, and only
// then shows the new State to readers. So what the store shows survives the
// process, and JetStream never holds the only copy.
//
// The store is also the judge of the log: a gap, a log that is behind the store,
// a log of another epoch, or no log where there was one puts it on hold. On hold,
// reads go on from what it has, writes are refused with the reason, and nothing
// is recreated: that is an operator's decision (`keymanager-sync new-epoch`). The
// store keeps looking, and goes on by itself when the log it knows is back.
package store

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

// Config is what a store needs.
type Config struct {
	// Dir holds the store's file; it is made if it does not exist.
	Dir    string
	Logger *slog.Logger
	// Registry receives the store's metrics; nil: none are shown.
	Registry prometheus.Registerer
	// Peers are the base addresses of the other replicas, asked for a snapshot
	// when the log no longer reaches back to what is on this disk.
	Peers []string
	// PeerToken opens the peers' snapshots.
	PeerToken string
	// Writer names this replica in the snapshots it makes.
	Writer string
	// Replicas of the log when it is created at first start; 0: three on a cluster.
	Replicas int
	// First: no log can exist yet, because the NATS server has just begun with an empty
	// directory. An empty store then creates the log without listening for others first.
	First bool
	// MaxDownloads is the number of snapshot downloads served at once. Default 8.
	MaxDownloads int
	// SnapshotAge is how long a snapshot may be handed out although the state has
	// moved on. Default 1s.
	SnapshotAge time.Duration
}

// Phase is what the store is doing.
type Phase string

const (
	// Opening: the log has not been found yet. Reads show what was on disk.
	Opening Phase = "OPENING"
	// Loading: the store is catching up with the log.
	Loading Phase = "LOADING"
	// Live: the store follows the log.
	Live Phase = "LIVE"
	// Away: NATS cannot be reached. Reads go on, writes wait or are refused.
	Away Phase = "AWAY"
	// Hold: the log cannot be trusted, or the disk fails. Reads go on, writes are refused.
	Hold Phase = "HOLD"
)

// longestLag is how long a store may be behind and still take part in writing.
const longestLag = 10 * time.Second

// Status says how far the store has followed the log.
type Status struct {
	Phase Phase
	// Reason says in words why the store is not Live, and what to do.
	Reason   string
	Position catalog.Position
	// Last is the log's last sequence as far as this replica knows.
	Last uint64
	// Since is when the phase began.
	Since time.Time
	// Lag is how old the oldest news is that the store has not caught up with; 0:
	// it is not behind Last.
	Lag time.Duration
}

// Store is one replica's durable copy of the state. All methods are safe for concurrent use.
type Store struct {
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
	foreign bool   // the newest log is not the one that this store is of
	bus     *stream.Bus
	recent  recent

	// catches is how often a snapshot was asked for since the log was followed last.
	// Only Run's goroutine uses it.
	catches int
}

// Open opens the store's file, or makes it, and loads the State it holds. The
// error says if the file is damaged, or is in use by another process.
func Open(cfg Config) (*Store, error) {
	if cfg.MaxDownloads <= 0 {
		cfg.MaxDownloads = 8
	}
	if cfg.SnapshotAge <= 0 {
		cfg.SnapshotAge = time.Second
	}
	d, err := openDisk(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open store in %s: %w", cfg.Dir, err)
	}
	state, err := d.load()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load store in %s: %w", cfg.Dir, err), d.close())
	}
	st := &Store{
		cfg: cfg, disk: d,
		changed: make(chan struct{}),
		phase:   Opening, reason: "the log has not been found yet", since: time.Now(),
		last: state.Position().Sequence,
	}
	st.keep.slots, st.keep.build = make(chan struct{}, cfg.MaxDownloads), make(chan struct{}, 1)
	st.state.Store(state)
	st.observe(cfg.Registry)
	return st, nil
}

// Close closes the file. Run must have returned.
func (st *Store) Close() error { return st.disk.close() }

// State returns the newest state that is on this replica's disk; never nil.
// Before the replica has joined a log it is empty, with position zero.
func (st *Store) State() *catalog.State { return st.state.Load() }

// Status returns how far the store has followed the log, and what it is doing.
func (st *Store) Status() Status {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := Status{
		Phase: st.phase, Reason: st.reason, Position: st.State().Position(), Since: st.since,
		Last: max(st.last, st.State().Position().Sequence),
	}
	if !st.behind.IsZero() {
		s.Lag = time.Since(st.behind)
	}
	switch {
	case st.phase == Hold:
	case st.bus != nil && !st.bus.Connected():
		s.Phase, s.Reason = Away, "NATS cannot be reached"
	case st.phase == Live && s.Lag > longestLag:
		// A log that another replica has seen more of may have been rolled back.
		s.Phase = Loading
		s.Reason = fmt.Sprintf("another replica has seen sequence %d, and the log has given this one only %d for %s", s.Last, s.Position.Sequence, s.Lag.Round(time.Second))
	}
	return s
}

// Log is the log that the store follows; nil while it follows none.
func (st *Store) Log() *stream.Log {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.log
}

// MayAnnounce reports whether other replicas may learn the store's position: it has
// joined a log, and no other log has replaced that one. A replica on hold goes on
// announcing it, so that no other creates a log over what it has, or writes to one
// that was rolled back.
func (st *Store) MayAnnounce() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return !st.foreign && st.State().Position().Epoch > 0
}

// WaitFor waits until the store has a sequence, and returns the state then. The
// error is that of ctx, or a *HoldError when the store goes on hold.
func (st *Store) WaitFor(ctx context.Context, sequence uint64) (*catalog.State, error) {
	for {
		st.mu.Lock()
		changed, phase, reason := st.changed, st.phase, st.reason
		st.mu.Unlock()
		if s := st.State(); s.Position().Sequence >= sequence {
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
func (st *Store) Changed() <-chan struct{} {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.changed
}

// EntryID is the id with which the entry at a sequence was appended; known for
// the last 4,096 entries that this process has folded.
func (st *Store) EntryID(sequence uint64) (string, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.recent.get(sequence)
}

// Heard takes the head of another replica into account, so that the store knows
// that it is behind although nothing arrives.
func (st *Store) Heard(head *pb.Head) {
	p := st.State().Position()
	if head.GetEpoch() != p.Epoch || head.GetFounding() != p.EpochID {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.known(head.GetSequence())
}

// known notes how far the log has come; st.mu is held. The lag is the age of the
// oldest news that the store has not caught up with, so a store that is busy
// following does not look like one that stands still.
func (st *Store) known(last uint64) {
	st.last = max(st.last, last)
	position := st.State().Position().Sequence
	switch {
	case position >= st.last:
		st.behind = time.Time{}
	case st.behind.IsZero() || position >= st.target:
		st.behind, st.target = time.Now(), st.last
	}
}

// publish shows a state that stands on disk.
func (st *Store) publish(state *catalog.State, entries []stream.Message) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.state.Store(state)
	for _, m := range entries {
		st.recent.put(m.Sequence, m.ID)
	}
	st.known(state.Position().Sequence)
	if st.phase == Loading && state.Position().Sequence >= st.last {
		st.turn(Live, "")
	}
	st.wake()
}

// enter moves to a phase.
func (st *Store) enter(phase Phase, reason string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.phase == phase && st.reason == reason {
		return
	}
	st.turn(phase, reason)
	st.wake()
}

func (st *Store) turn(phase Phase, reason string) {
	level := slog.LevelInfo
	if phase == Hold {
		level = slog.LevelError
	}
	st.cfg.Logger.LogAttrs(context.Background(), level, "store enters a phase",
		slog.String("phase", string(phase)), slog.String("reason", reason),
		slog.Uint64("sequence", st.State().Position().Sequence))
	if st.phase != phase {
		st.since = time.Now()
	}
	st.phase, st.reason = phase, reason
}

func (st *Store) wake() {
	close(st.changed)
	st.changed = make(chan struct{})
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
