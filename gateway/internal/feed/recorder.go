package feed

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

const (
	// Entries that nobody waits for may wait for this long, so that a node which
	// gets thousands of changes in a second waits for its disk only ten times.
	recordEvery = 100 * time.Millisecond
	// One write to the journal has at most about so many bytes.
	recordAtOnce = 1 << 20
	// A disk that hangs must not fill the memory: beyond this many bytes of waiting
	// entries the node waits for a snapshot instead.
	recordBehind = 64 << 20
)

var errDiskBehind = errors.New("the disk does not keep up")

// recorder puts on disk what the node has applied, and knows how far the node
// would come from its disk alone: that is what it says is in force. Requests are
// decided with what is applied, which may be a little more.
//
// What is on disk is a snapshot and the journal of what came after it. Entries are
// queued as they are applied, and written together, those that arrive during a
// write with the next one. They form a chain that begins at some position. Once a
// snapshot of that position or a later one is on disk, the chain is anchored: it
// leads from the snapshot on. A chain ends where the state is replaced, or where
// the disk fails; what it had brought to disk until then stays true, and the next
// chain begins with the next snapshot.
type recorder struct {
	disk    *snapshot.Dir
	metrics *Metrics
	logger  *slog.Logger
	beat    chan struct{} // somebody waits for a heartbeat

	queued chan struct{} // of capacity 1: entries wait for being written
	hurry  chan struct{} // of capacity 1: and somebody waits for them
	// of capacity 1: only a snapshot brings what is in force to disk
	unanchored chan struct{}

	mu     sync.Mutex
	onDisk catalog.Position // the node would get to from its disk alone
	bare   bool             // the disk holds nothing, so it cannot hold less than what is in force
	busy   bool             // a snapshot is being written

	chain    int              // its number
	base     catalog.Position // where it begins
	written  uint64           // its last sequence that is on disk
	anchored bool
	broken   bool // entries are not queued until a snapshot begins the next chain
	rotate   bool // a snapshot was begun since the last write

	queue [][]byte
	last  uint64 // the sequence of the last entry in queue
	size  int    // of the entries in queue
	// Somebody waits until these sequences are in force, the first and the last of
	// them; 0: nobody does.
	awaited, awaitedLast uint64
}

// newRecorder prepares a recorder; run makes it work. Without a disk there is none.
func newRecorder(cfg *Config, beat chan struct{}) *recorder {
	if cfg.Disk == nil {
		return nil
	}
	return &recorder{
		disk: cfg.Disk, metrics: cfg.Metrics, logger: cfg.Logger, beat: beat,
		queued: make(chan struct{}, 1), hurry: make(chan struct{}, 1), unanchored: make(chan struct{}, 1),
		broken: true,
	}
}

// reported is the position that heartbeats name when the state stands at applied.
func (r *recorder) reported(applied catalog.Position) catalog.Position {
	if r == nil {
		return applied
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.onDisk
}

// nothingLoaded says that there is no snapshot on disk.
func (r *recorder) nothingLoaded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bare = true
}

// loaded says that the node has come to a position from its disk alone.
func (r *recorder) loaded(p catalog.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(p)
	r.anchored = true
	r.reach(p)
}

// replaced says that another state was put in place. Nobody else may apply or
// replace meanwhile.
func (r *recorder) replaced(p catalog.Position) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(p)
	r.awaited = 0
	if r.bare && !r.busy {
		// It would start with nothing and decide nothing, so it may say what is in
		// force. What it says from here on is in the journal when the first snapshot is.
		r.anchored = true
		r.reach(p)
		return
	}
	signal(r.unanchored)
}

// begin begins the next chain.
func (r *recorder) begin(p catalog.Position) {
	r.chain++
	r.base, r.written, r.last = p, p.Sequence, p.Sequence
	r.anchored, r.broken, r.rotate = false, false, true
	r.queue, r.size = nil, 0
}

// reach notes how far the disk leads.
func (r *recorder) reach(p catalog.Position) {
	r.onDisk = p
	r.metrics.onDisk.Set(float64(p.Sequence))
	if r.awaited == 0 || p.Sequence < r.awaited {
		return
	}
	signal(r.beat)
	if r.awaited = p.Sequence + 1; p.Sequence >= r.awaitedLast {
		r.awaited = 0
	}
}

// applied queues entries that were applied, in their order. It keeps their bytes.
// If somebody waits for them, a heartbeat follows when they are on disk.
func (r *recorder) applied(batch []stream.Message, awaited bool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := batch[len(batch)-1].Sequence
	if awaited {
		r.awaitedLast = last
		if r.awaited == 0 {
			r.awaited = last
		}
	}
	if r.broken {
		return
	}
	for _, m := range batch {
		r.queue = append(r.queue, m.Data)
		r.size += len(m.Data)
	}
	r.last = last
	if r.size > recordBehind {
		r.fail(errDiskBehind)
		return
	}
	if awaited {
		signal(r.hurry)
	}
	signal(r.queued)
}

// saving says that a snapshot of the state at p is about to be written. The state
// must not change meanwhile.
func (r *recorder) saving(p catalog.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy, r.rotate = true, true
	if r.broken {
		r.begin(p)
	}
	select {
	case <-r.unanchored: // this is the snapshot that was asked for
	default:
	}
}

// saved says that the snapshot at p is on disk, or that it failed.
func (r *recorder) saved(p catalog.Position, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
	if err != nil {
		return
	}
	r.bare = false
	if !sameLog(p, r.onDisk) || p.Sequence > r.onDisk.Sequence {
		r.reach(p)
	}
	if !sameLog(p, r.base) || r.base.Sequence > p.Sequence {
		return
	}
	r.anchored = true
	r.reachWritten()
}

// reachWritten notes what the anchored chain has brought to disk.
func (r *recorder) reachWritten() {
	if r.anchored && r.written > r.onDisk.Sequence {
		p := r.base
		p.Sequence = r.written
		r.reach(p)
	}
}

func sameLog(p, q catalog.Position) bool { return p.Epoch == q.Epoch && p.EpochID == q.EpochID }

// fail ends the chain.
func (r *recorder) fail(err error) {
	r.anchored, r.broken = false, true
	r.chain++
	r.queue, r.size = nil, 0
	r.metrics.journalFaults.Inc()
	r.logger.LogAttrs(context.Background(), slog.LevelError, "changes are in force and not on disk; the node does not say that they are in force before a snapshot is",
		slog.Uint64("in_force", r.last), slog.Uint64("on_disk", r.onDisk.Sequence), slog.Any("error", err))
	signal(r.unanchored)
}

// run writes what is queued until ctx ends, and then the rest.
func (r *recorder) run(ctx context.Context) {
	journal := r.disk.Journal()
	defer journal.Close()
	for {
		select {
		case <-ctx.Done():
			r.flush(journal)
			return
		case <-r.hurry:
		case <-r.queued:
			r.gather(ctx)
		}
		r.flush(journal)
	}
}

// gather waits for more entries, unless somebody waits for those that are there.
func (r *recorder) gather(ctx context.Context) {
	timer := time.NewTimer(recordEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.hurry:
	case <-timer.C:
	}
}

// piece is what is written at once.
type piece struct {
	chain   int
	after   catalog.Position
	entries [][]byte
	rotate  bool
}

// flush writes all that is queued.
func (r *recorder) flush(journal *snapshot.Journal) {
	for {
		p := r.take()
		if len(p.entries) == 0 {
			return
		}
		if p.rotate {
			journal.Rotate()
		}
		began := time.Now()
		err := journal.Append(snapshot.Position(p.after), p.entries, began)
		r.metrics.journalWrites.Observe(time.Since(began).Seconds())
		r.wrote(p, err)
	}
}

// take takes the beginning of the queue.
func (r *recorder) take() piece {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, size := 0, 0
	for n < len(r.queue) && size < recordAtOnce {
		size += len(r.queue[n])
		n++
	}
	p := piece{chain: r.chain, after: r.base, entries: r.queue[:n:n], rotate: r.rotate}
	p.after.Sequence = r.last - uint64(len(r.queue))
	if r.queue, r.size = r.queue[n:], r.size-size; len(r.queue) == 0 {
		r.queue = nil
	}
	if n > 0 {
		r.rotate = false
	}
	return p
}

// wrote notes that a piece is on disk, or that it may not be.
func (r *recorder) wrote(p piece, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case p.chain != r.chain: // of a chain that has ended
	case err != nil:
		r.fail(err)
	default:
		r.written = p.after.Sequence + uint64(len(p.entries))
		r.reachWritten()
	}
}
