// Package fleet knows which processes run: the nodes by their heartbeats, the other
// replicas by their heads. It knows which sequence each node has applied, so a
// write can answer whether it is in force everywhere.
//
// Who belongs to the fleet is recorded in the log (see KeepMembers). Where each
// stands lives in memory and is rebuilt within a heartbeat's interval after a start.
// A node counts as live for 5 seconds after a heartbeat, unless that says that it
// was its last: then the node is forgotten at once.
package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

const (
	// LiveFor is how long a node or a replica counts as live after it was heard.
	LiveFor = 5 * time.Second
	// Who is not heard for so long is forgotten.
	forgetAfter = 10 * time.Minute
	// After a start, so long must have been listened before the table counts as complete.
	settleTime = 2500 * time.Millisecond
	// A replica that can write listens for so long before it believes that it leads: the
	// others answer its first head with theirs at once.
	introduction = 300 * time.Millisecond
	// Heartbeats of more nodes than this are ignored: memory is bounded.
	mostNodes = 20_000
	// Processes with one node's id that are distinguished; of more, the one that was
	// silent for longest is forgotten.
	mostTwins = 8

	headInterval  = time.Second
	sweepInterval = 250 * time.Millisecond
)

// Config is what the table needs.
type Config struct {
	Bus   *stream.Bus
	Store *store.Store
	// Replica is this replica's id.
	Replica string
	Logger  *slog.Logger
	// Registry receives the fleet's metrics; nil: none are shown.
	Registry prometheus.Registerer
	// ForgetAfter is how long a node may be silent and belong to the fleet; 0: always.
	ForgetAfter time.Duration
}

// Node is one gateway node as its last heartbeat describes it.
type Node struct {
	Heartbeat *pb.Heartbeat
	// Seen is when this replica heard it.
	Seen time.Time
	// Live: heard within the last 5 seconds.
	Live bool
	// Lag is the number of entries the node is behind this replica's store; 0 if
	// it is ahead.
	Lag uint64
	// OtherEpoch: the node stands in another epoch, so Lag says nothing.
	OtherEpoch bool
	// Duplicate: several processes use this id at the same time, distinguished by when
	// they started. Heartbeat is the one heard last; to count as having applied a
	// change, all of them must have. Give each node its own id.
	Duplicate bool
	// Unheard: this replica has not heard the node since it started. Heartbeat and
	// Seen are what was recorded of it when it was last written down.
	Unheard bool
	// Member: it is recorded in the log that the node belongs to the fleet.
	Member bool
	// Joined is when it began to belong to it; zero unless Member.
	Joined time.Time

	recorded bool      // Member, when it was last looked
	news     time.Time // since when the log does not say what it should; zero: it does
	written  time.Time // when this replica last asked for it to be recorded

	processes []process // heard within the last 5 seconds
	twins     time.Time // when a process was heard again after another of the same id
}

// process is one of the processes that use a node's id.
type process struct {
	beat *pb.Heartbeat
	seen time.Time
}

// Replica is one control-plane replica as its last head describes it.
type Replica struct {
	Head *pb.Head
	Seen time.Time
	Live bool
	// Self: it is this one.
	Self bool
	// Diverged: at the same sequence its set hash was another than this replica's.
	// That must never be; alarm.
	Diverged bool
}

// Report is the fleet at one moment, sorted by id.
type Report struct {
	Nodes    []Node
	Replicas []Replica
}

// Fleet is the table. It is safe for concurrent use.
type Fleet struct {
	cfg      Config
	announce chan struct{}
	departed chan struct{} // of one: a node has left
	diverged prometheus.Counter

	mu       sync.Mutex
	since    time.Time // when listening began; zero: not yet
	able     time.Time // since when this replica listens and can write; zero: it cannot
	nodes    map[string]Node
	left     map[string]time.Time // nodes whose last heartbeat was heard, until that is in the log
	replicas map[string]Replica
	changed  chan struct{} // closed and replaced when a node moved
}

// New makes an empty table; Run fills it.
func New(cfg Config) *Fleet {
	f := &Fleet{
		cfg: cfg, announce: make(chan struct{}, 1), departed: make(chan struct{}, 1), left: make(map[string]time.Time),
		nodes: make(map[string]Node), replicas: make(map[string]Replica), changed: make(chan struct{}),
	}
	f.observe()
	return f
}

// Run listens, and broadcasts this replica's head each second, until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	heads, err := f.cfg.Bus.SubscribeHeads(f.heardHead)
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	defer heads()
	beats, err := f.cfg.Bus.SubscribeHeartbeats(f.heardBeat)
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	defer beats()
	f.mu.Lock()
	f.since = time.Now()
	f.mu.Unlock()
	ticker := time.NewTicker(headInterval)
	defer ticker.Stop()
	for {
		changed := f.cfg.Store.Changed()
		if f.publishHead() {
			changed = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.announce:
		case <-changed: // it may be able to write now
		case <-ticker.C:
			f.forget(time.Now())
		}
	}
}

// writable reports whether this replica can write now.
func (f *Fleet) writable() bool { return f.cfg.Store.Status().Phase == store.Live }

// Announce broadcasts the head now. It does not block.
func (f *Fleet) Announce() {
	select {
	case f.announce <- struct{}{}:
	default: // it is about to be broadcast
	}
}

// publishHead broadcasts the head, and reports whether this replica can write.
func (f *Fleet) publishHead() (writable bool) {
	writable = f.writable()
	f.mu.Lock()
	switch {
	case !writable:
		f.able = time.Time{}
	case f.able.IsZero():
		f.able = time.Now()
	}
	f.mu.Unlock()
	if !f.cfg.Store.MayAnnounce() {
		return writable
	}
	state := f.cfg.Store.State()
	p := state.Position()
	// What cannot be sent now, the next head makes up for.
	_ = f.cfg.Bus.PublishHead(&pb.Head{
		Epoch: p.Epoch, Founding: p.EpochID, Sequence: p.Sequence,
		SetHash: state.SetHash(), Replica: f.cfg.Replica, Time: time.Now().UnixMilli(), Writable: writable,
	})
	return writable
}

func (f *Fleet) heardHead(h *pb.Head) {
	r := Replica{Head: h, Seen: time.Now(), Self: h.GetReplica() == f.cfg.Replica}
	if !r.Self {
		f.cfg.Store.Heard(h)
		r.Diverged = f.divergent(h)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before, known := f.replicas[h.GetReplica()]
	if known || len(f.replicas) < mostNodes {
		f.replicas[h.GetReplica()] = r
	}
	if news := !known || r.Seen.Sub(before.Seen) >= LiveFor || before.Head.GetWritable() != h.GetWritable(); news && !r.Self {
		f.Announce() // it asks who else is there
	}
}

func (f *Fleet) divergent(h *pb.Head) bool {
	state := f.cfg.Store.State()
	p := state.Position()
	if h.GetEpoch() != p.Epoch || h.GetFounding() != p.EpochID || h.GetSequence() != p.Sequence || h.GetSetHash() == state.SetHash() {
		return false
	}
	f.diverged.Inc()
	f.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "replica holds another state at the same sequence",
		slog.String("replica", h.GetReplica()), slog.Uint64("sequence", p.Sequence))
	return true
}

// forget drops who does not belong to the fleet and has been silent for long, or was
// draining and went without a last heartbeat.
func (f *Fleet) forget(now time.Time) {
	state := f.cfg.Store.State()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropRemoved(state, now)
	for id, n := range f.nodes {
		silent := now.Sub(n.Seen)
		left := n.Heartbeat.GetState() == pb.Heartbeat_DRAINING && silent > LiveFor
		if !n.recorded && (left || silent > forgetAfter) {
			delete(f.nodes, id)
		}
	}
	for id, r := range f.replicas {
		if now.Sub(r.Seen) > forgetAfter {
			delete(f.replicas, id)
		}
	}
}

// Report lists the nodes that belong to the fleet, and those that were heard in the
// last ten minutes, but for nodes that left.
func (f *Fleet) Report() Report {
	now, state := time.Now(), f.cfg.Store.State()
	p := state.Position()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropRemoved(state, now)
	var report Report
	for _, n := range append(f.absent(state), slices.Collect(maps.Values(f.nodes))...) {
		n.Live = now.Sub(n.Seen) < LiveFor && !n.Unheard
		m, member := catalog.Lookup[*pb.Member](state, pb.Kind_KIND_MEMBER, n.Heartbeat.GetNode())
		if n.Member = member; member {
			n.Joined = m.GetJoinedAt().AsTime()
		}
		n.Duplicate = n.duplicate(now)
		n.OtherEpoch = n.Heartbeat.GetEpoch() != p.Epoch
		if at := n.Heartbeat.GetSequence(); !n.OtherEpoch && at < p.Sequence {
			n.Lag = p.Sequence - at
		}
		report.Nodes = append(report.Nodes, n)
	}
	for _, r := range f.replicas {
		r.Live = now.Sub(r.Seen) < LiveFor
		report.Replicas = append(report.Replicas, r)
	}
	slices.SortFunc(report.Nodes, func(a, b Node) int {
		return strings.Compare(a.Heartbeat.GetNode(), b.Heartbeat.GetNode())
	})
	slices.SortFunc(report.Replicas, func(a, b Replica) int {
		return strings.Compare(a.Head.GetReplica(), b.Head.GetReplica())
	})
	return report
}

// Leader reports whether this replica is the one to do what one replica is enough
// for: of the live ones that can write, the one with the lowest id. It listens
// for a while, able to write, before it believes so of itself. Two may believe it
// for some seconds all the same, so what the leader does must be harmless when
// done twice.
func (f *Fleet) Leader() bool {
	if !f.writable() {
		return false
	}
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.able.IsZero() || now.Sub(f.able) < introduction {
		return false
	}
	for id, r := range f.replicas {
		if id < f.cfg.Replica && r.Head.GetWritable() && now.Sub(r.Seen) < LiveFor {
			return false
		}
	}
	return true
}
