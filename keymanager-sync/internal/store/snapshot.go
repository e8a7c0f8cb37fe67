package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Snapshot is the state at one sequence in the form that nodes download.
type Snapshot struct {
	// ETag is a strong entity tag with its quotes: "<epoch>-<sequence>-<set hash>".
	ETag string
	// Epoch, EpochID and Sequence say where in which log the state is exact.
	Epoch    uint64
	EpochID  string
	Sequence uint64
	SetHash  uint64
	// Bytes must not be changed. Compressed with zstd already.
	Bytes   []byte
	Created time.Time
	// fresh is until when it is handed out although the state has moved on.
	fresh time.Time
}

// keeper holds the newest snapshot.
type keeper struct {
	slots chan struct{}
	build chan struct{} // of one: its holder builds

	mu      sync.Mutex
	current *Snapshot
}

// Admit lets a snapshot download begin, unless MaxDownloads are under way. The
// download must call release when it is over.
func (st *Store) Admit() (release func(), ok bool) {
	select {
	case st.keep.slots <- struct{}{}:
		st.metrics.downloads.WithLabelValues("admitted").Inc()
		return sync.OnceFunc(func() { <-st.keep.slots }), true
	default:
		st.metrics.downloads.WithLabelValues("refused").Inc()
		return nil, false
	}
}

// Snapshot is the state, at most SnapshotAge (or three times as long as it takes
// to build) behind the newest. It is built when it is asked for and the state has
// moved on, once at a time however many ask.
// The error is ErrEmpty before the replica has joined a log.
func (st *Store) Snapshot(ctx context.Context) (*Snapshot, error) {
	if s := st.kept(); s != nil {
		return s, nil
	}
	select {
	case st.keep.build <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a snapshot: %w", ctx.Err())
	}
	defer func() { <-st.keep.build }()
	if s := st.kept(); s != nil { // another request has built it meanwhile
		return s, nil
	}
	state := st.State()
	p := state.Position()
	if p.Epoch == 0 {
		return nil, ErrEmpty
	}
	began := time.Now()
	body, err := encode(state, st.streamName(), st.cfg.Writer)
	if err != nil {
		return nil, fmt.Errorf("build snapshot at %s: %w", p, err)
	}
	st.metrics.snapshotBuilds.Inc()
	s := &Snapshot{
		ETag:  fmt.Sprintf(`"%d-%d-%016x"`, p.Epoch, p.Sequence, state.SetHash()),
		Epoch: p.Epoch, EpochID: p.EpochID, Sequence: p.Sequence, SetHash: state.SetHash(),
		Bytes: body, Created: began,
	}
	// A large state takes long to build; under steady writes most of the time
	// must remain for other things.
	s.fresh = time.Now().Add(max(st.cfg.SnapshotAge, 3*time.Since(began)))
	st.keep.mu.Lock()
	st.keep.current = s
	st.keep.mu.Unlock()
	return s, nil
}

// kept is the snapshot that may still be handed out.
func (st *Store) kept() *Snapshot {
	p := st.State().Position()
	st.keep.mu.Lock()
	defer st.keep.mu.Unlock()
	s := st.keep.current
	if s == nil || s.Epoch != p.Epoch || s.EpochID != p.EpochID {
		return nil
	}
	if s.Sequence != p.Sequence && time.Now().After(s.fresh) {
		return nil
	}
	return s
}

// streamName is the name of the log's stream; empty before it was found.
func (st *Store) streamName() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.stream
}
