// Package ledger is the only writer of the log.
//
// Commands that wait at the same moment are decided one after another on a
// scratch state and travel in one entry (group commit). The entry is appended on
// condition that no other replica appended since the state it was decided on; if
// one did, the store catches up and the commands are decided again. So
// uniqueness, references and lifecycles hold across any number of replicas
// without a lock. A command is answered only when its entry is acknowledged by
// the log and stands on this replica's own disk.
//
// A refusal is as true as an acceptance: before a command is refused, or found
// to change nothing, it is made sure that the state it was decided on was the
// newest in the log. So what was written through one replica is never missed by
// a command given to another afterwards.
package ledger

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

const (
	// A command is answered within this time, whatever happens.
	longestWait = 30 * time.Second
	// Of one group, from its first round to its answer; longer than an election.
	groupTimeout = 20 * time.Second
	// Commands that may wait, and that may travel together.
	queueLength = 1024
	groupLimit  = 256

	maxKey = 256 // bytes of Meta.IdempotencyKey
)

// Config is what a ledger needs.
type Config struct {
	Store  *store.Store
	Logger *slog.Logger
	// Registry receives the ledger's metrics; nil: none are shown.
	Registry prometheus.Registerer
	// Appended is called after every entry that this replica appended and has on
	// disk, to tell others at once; may be nil. It must not block.
	Appended func()
	// Understood refuses changes that a node of the fleet would not understand,
	// unless Meta.AllowSkew; nil: all are understood. It must not block.
	Understood func(changes []*pb.Change) error
}

// Meta is what accompanies a command.
type Meta struct {
	// Actor is who asks, for the audit.
	Actor string
	// IdempotencyKey of at most 256 bytes; a command whose key the log already
	// holds is not carried out again. Empty: none.
	IdempotencyKey string
	// Awaited asks every node to report at once when it has applied the change.
	Awaited bool
	// AllowSkew lets changes through that a node of the fleet would not understand.
	AllowSkew bool
}

// Result says what became of a command.
type Result struct {
	// Epoch and Sequence of the entry; where nothing had to be changed, the
	// position at which that was found.
	Epoch    uint64
	Sequence uint64
	// Changes of this command; empty: nothing had to be changed, or Repeated.
	Changes []*pb.Change
	// Notes are for the person who asked.
	Notes []rules.Note
	// Repeated: the log already held this command by its idempotency key, at Sequence.
	Repeated bool
	// State contains the change; read the answer's resource from it.
	State *catalog.State
}

// Ledger appends. It is safe for concurrent use.
type Ledger struct {
	cfg     Config
	queue   chan *request
	metrics metrics
}

// New makes a ledger; it accepts commands while Run runs.
func New(cfg Config) *Ledger {
	return &Ledger{cfg: cfg, queue: make(chan *request, queueLength), metrics: newMetrics(cfg.Registry)}
}

// request is a command that waits for its answer.
type request struct {
	cmd  command.Command
	meta Meta
	done chan answer // of one
	// taken: an entry with this command may be on its way.
	taken atomic.Bool
	// abandoned: its caller no longer waits.
	abandoned atomic.Bool
}

type answer struct {
	result Result
	err    error
}

func (r *request) answer(result Result, err error) {
	select {
	case r.done <- answer{result, err}:
	default: // answered before: the first answer stands
	}
}

// Submit decides a command, appends it, and returns when it stands on this
// replica's disk. It waits at most until ctx ends, and never more than 30 s.
//
// Errors: what Config.Understood returns, fault.List and *command.PreconditionError (refused by the
// rules), *TooLarge, *KeyReuse, ErrKeyTooLong, *Unavailable, ErrTimeout,
// ErrContended, ErrInternal (in all these cases nothing was changed),
// ErrUncertain (it may have been).
func (l *Ledger) Submit(ctx context.Context, cmd command.Command, meta Meta) (Result, error) {
	if len(meta.IdempotencyKey) > maxKey {
		return Result{}, ErrKeyTooLong
	}
	if err := l.writable(); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	r := &request{cmd: cmd, meta: meta, done: make(chan answer, 1)}
	select {
	case l.queue <- r:
	case <-ctx.Done():
		return Result{}, ErrTimeout
	}
	select {
	case a := <-r.done:
		return a.result, a.err
	case <-ctx.Done():
	}
	r.abandoned.Store(true)
	select {
	case a := <-r.done: // it came just now
		return a.result, a.err
	default:
	}
	// taken is set before abandoned is read for the last time, see take.
	if r.taken.Load() {
		return Result{}, ErrUncertain
	}
	return Result{}, ErrTimeout
}

// take reports whether the caller still waits for the command; from now on it may happen.
func (r *request) take() bool {
	r.taken.Store(true)
	return !r.abandoned.Load()
}

// writable returns why nothing can be written now; nil: writes are possible.
func (l *Ledger) writable() error {
	if s := l.cfg.Store.Status(); s.Phase != store.Live {
		return &Unavailable{Reason: s.Reason}
	}
	return nil
}

// Run appends what is submitted until ctx ends; what waits then is refused.
func (l *Ledger) Run(ctx context.Context) error {
	for {
		group := l.collect(ctx)
		if group == nil {
			l.refuseRest()
			return nil
		}
		l.commit(ctx, group)
	}
}

// collect waits for a command and takes those that wait with it; nil when ctx ends.
func (l *Ledger) collect(ctx context.Context) []*request {
	var group []*request
	select {
	case r := <-l.queue:
		group = append(group, r)
	case <-ctx.Done():
		return nil
	}
	for len(group) < groupLimit {
		select {
		case r := <-l.queue:
			group = append(group, r)
		default:
			return group
		}
	}
	return group
}

func (l *Ledger) refuseRest() {
	for {
		select {
		case r := <-l.queue:
			r.answer(Result{}, &Unavailable{Reason: "this replica is shutting down"})
		default:
			return
		}
	}
}

// commit answers every request of a group.
func (l *Ledger) commit(ctx context.Context, group []*request) {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	began := time.Now()
	for len(group) > 0 {
		var err error
		if ctx.Err() != nil {
			err = timedOut(ctx.Err())
		} else {
			group, err = l.round(ctx, group)
		}
		if err != nil {
			for _, r := range group {
				r.answer(Result{}, err)
			}
			return
		}
	}
	l.metrics.seconds.Observe(time.Since(began).Seconds())
}

// round decides a group once and appends what was accepted. It returns the
// requests that are still to be answered; with an error, with that error.
func (l *Ledger) round(ctx context.Context, group []*request) ([]*request, error) {
	if err := l.writable(); err != nil {
		return group, err
	}
	log := l.cfg.Store.Log()
	if log == nil {
		return group, &Unavailable{Reason: "the log is not being followed"}
	}
	// An append after less than what is known to be in the log would be refused; and if
	// the log does not give it, it was rolled back and must not be written to.
	state, err := l.cfg.Store.WaitFor(ctx, l.cfg.Store.Status().Last)
	if err != nil {
		return group, timedOut(err)
	}
	if log.Identity().EpochID != state.Position().EpochID {
		return group, &Unavailable{Reason: "the log has just changed"}
	}
	d := l.decide(state, log.MaxSize(), group)
	if len(d.accepted) == 0 {
		return l.confirm(ctx, log, state, d)
	}
	return l.append(ctx, log, state, d)
}

// pause waits a little before something is tried again.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// timedOut is the error of a group that could not be decided in time.
func timedOut(err error) error {
	if hold, ok := errors.AsType[*store.HoldError](err); ok {
		return &Unavailable{Reason: hold.Reason}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrTimeout
	}
	return &Unavailable{Reason: "this replica is shutting down"}
}
