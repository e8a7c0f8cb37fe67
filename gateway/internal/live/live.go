package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/jwks"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// Config is what a Live works with.
type Config struct {
	NodeID  string
	Version string
	Logger  *slog.Logger
	Metrics *Metrics

	// Compiler turns states into views.
	Compiler *Compiler

	// Resources are files to serve from, instead of a control plane.
	Resources []string

	// Control are the control plane's addresses, in no order.
	Control []string
	// Token is sent to the control plane.
	Token string
	// Connect dials NATS. It is called until it succeeds, so that a node starts without NATS.
	Connect func(context.Context) (*stream.Bus, error)
	// Disk is where snapshots and journals are kept; nil: nowhere.
	Disk *snapshot.Dir

	// Sized is told the bytes of the state when they have changed by a quarter; may be nil.
	Sized func(bytes int)

	// Counters are the totals that heartbeats report.
	Counters func() (requests, denials uint64)
}

// Live is a node's current view and the goroutines that keep it current.
type Live struct {
	cfg  Config
	view atomic.Pointer[pipeline.View]
	// faults are what is not in force, the newest first.
	faults atomic.Pointer[[]Fault]
	bus    atomic.Pointer[stream.Bus]

	mu      sync.Mutex // of everything that makes a new view
	state   *catalog.State
	fetched map[string]*pb.KeySet // fetched by the node itself, by issuer
	history ring
	sized   int // bytes of the state, as last told

	fetcher *jwks.Fetcher
	status  status
	timing  timing
	started time.Time

	recorder  *recorder     // nil: nothing is kept on disk
	loaded    saved         // the snapshot that was loaded from disk
	unsaved   chan struct{} // of capacity 1: the state has changed since it was saved
	beat      chan struct{} // of capacity 1: somebody waits for a heartbeat
	following atomic.Pointer[follow]
}

// follow is one run of following the log; ending it with a cause makes the next one.
type follow struct{ end context.CancelCauseFunc }

// New prepares a Live; Run makes it work.
func New(cfg Config) *Live {
	l := &Live{
		cfg: cfg, fetched: map[string]*pb.KeySet{},
		unsaved: make(chan struct{}, 1), beat: make(chan struct{}, 1),
		started: time.Now(), timing: defaultTiming(),
	}
	l.recorder = newRecorder(&cfg, l.beat)
	l.fetcher = jwks.New(jwks.Config{
		Logger:  cfg.Logger,
		Update:  l.keysFetched,
		Known:   l.knownSources,
		Fetched: func(_ string, o jwks.Outcome) { cfg.Metrics.fetches.WithLabelValues(string(o)).Inc() },
		Skipped: func(issuer string, skipped []keyset.Skipped) {
			for _, s := range skipped {
				cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "key of a key set is not used",
					slog.String("issuer", issuer), slog.String("kid", s.KeyID), slog.String("reason", s.Reason))
			}
		},
	})
	return l
}

// View is what requests are decided with; nil before the first state is there.
func (l *Live) View() *pipeline.View { return l.view.Load() }

// Run keeps the view current until ctx ends. An error means that the node
// cannot work at all: files that are wrong at the start.
func (l *Live) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if len(l.cfg.Resources) > 0 {
		g.Go(func() error { return l.watchFiles(ctx) })
		g.Go(func() error { l.fetcher.Run(ctx); return nil })
		return g.Wait()
	}
	l.loadDisk(ctx)
	g.Go(func() error { l.fetcher.Run(ctx); return nil })
	if l.recorder != nil {
		g.Go(func() error { l.keepSaved(ctx); return nil })
		g.Go(func() error { l.recorder.run(ctx); return nil })
	}
	g.Go(func() error { return l.runFleet(ctx) })
	return g.Wait()
}

// install makes a state the one that requests see, whatever was before.
func (l *Live) install(s *catalog.State) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.installLocked(s, nil)
}

// replace installs a state that does not come from the entries of the log, nor from disk.
func (l *Live) replace(s *catalog.State) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.installLocked(s, nil); err != nil {
		return err
	}
	l.recorder.replaced(s.Position())
	return nil
}

// installLocked compiles a state and makes it the one that requests see. touched
// are the resources that differ from the state before; nil: everything may.
func (l *Live) installLocked(s *catalog.State, touched []Touch) error {
	for _, t := range touched {
		if t.Kind == pb.Kind_KIND_KEY_SET || t.Kind == pb.Kind_KIND_ISSUER {
			delete(l.fetched, t.ID) // the control plane knows better again
		}
	}
	if touched == nil && len(l.cfg.Resources) == 0 {
		clear(l.fetched)
	}
	if err := l.compileLocked(s, touched); err != nil {
		return err
	}
	l.state = s
	if touched == nil {
		l.history = ring{} // of another log, perhaps
	}
	l.history.add(s.Position().Sequence, s.SetHash())
	l.status.applied(s)
	l.cfg.Metrics.sequence.Set(float64(s.Position().Sequence))
	if issuersTouched(touched) {
		l.fetcher.SetIssuers(l.fetchableIssuers(s))
	}
	l.tellSize(s.Size())
	signal(l.unsaved)
	return nil
}

// compileLocked makes the view of a state, and notes what cannot be put in force. A
// node without a complete view decides nothing.
func (l *Live) compileLocked(s *catalog.State, touched []Touch) error {
	view, fresh := l.cfg.Compiler.Compile(s, touched, l.fetched)
	for _, f := range fresh {
		l.cfg.Metrics.compileFaults.Inc()
		l.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "resource cannot be put in force",
			slog.String("resource", f.Ref.String()), slog.Uint64("sequence", f.Sequence), slog.String("reason", f.Reason))
	}
	faults := l.cfg.Compiler.Faults()
	for _, r := range s.Rejects() {
		faults = append(faults, Fault{r.Ref, r.Sequence, r.Reason})
	}
	sortFaults(faults)
	l.faults.Store(&faults) // before the view: who sees the position sees the faults
	l.view.Store(view)
	l.cfg.Metrics.notInForce.Set(float64(len(faults)))
	l.cfg.Metrics.rejects.Set(float64(len(s.Rejects())))
	if view == nil {
		return errors.New("the state has no complete table of routes")
	}
	return nil
}

func (l *Live) tellSize(size int) {
	if l.cfg.Sized == nil || size > l.sized*3/4 && size < l.sized*5/4 {
		return
	}
	l.sized = size
	l.cfg.Sized(size)
}

func issuersTouched(touched []Touch) bool {
	for _, t := range touched {
		if t.Kind == pb.Kind_KIND_ISSUER {
			return true
		}
	}
	return touched == nil
}

// current is the state that was installed last; nil if none was.
func (l *Live) current() *catalog.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// signal wakes the reader of a channel of capacity 1.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ring remembers the set hashes of the last sequences, to compare them with
// the control plane's when those arrive later.
type ring struct {
	at [1024]struct{ sequence, hash uint64 }
}

func (r *ring) add(sequence, hash uint64) {
	r.at[sequence%uint64(len(r.at))] = struct{ sequence, hash uint64 }{sequence, hash}
}

// get returns the hash at a sequence, if it is still known.
func (r *ring) get(sequence uint64) (uint64, bool) {
	e := r.at[sequence%uint64(len(r.at))]
	return e.hash, e.sequence == sequence
}

// errResync says why the state must be replaced by a new snapshot.
type resyncError struct{ cause error }

func (e *resyncError) Error() string { return "resync: " + e.cause.Error() }
func (e *resyncError) Unwrap() error { return e.cause }

func resyncBecause(format string, args ...any) error {
	return &resyncError{fmt.Errorf(format, args...)}
}
