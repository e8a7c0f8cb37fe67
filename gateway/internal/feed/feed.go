package feed

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
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// Config is what a Feed works with.
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

	// OnStateSize is called with the state's size in bytes when it has changed by a
	// quarter; may be nil.
	OnStateSize func(bytes int)

	// Counters are the totals that heartbeats report.
	Counters func() (requests, denials uint64)
}

// Feed is a node's current view and the goroutines that keep it current.
type Feed struct {
	cfg  Config
	view atomic.Pointer[pipeline.View]
	// faults are what is not in force, the newest first.
	faults atomic.Pointer[[]Fault]
	bus    atomic.Pointer[stream.Bus]

	mu      sync.Mutex // of everything that makes a new view
	state   *catalog.State
	fetched map[string]*pb.KeySet // fetched by the node itself, by issuer
	history ring
	sized   int // bytes of the state, as last passed to OnStateSize

	fetcher *jwks.Fetcher
	status  status
	timing  timing
	started time.Time

	recorder  *recorder     // nil: nothing is kept on disk
	loaded    saved         // the snapshot that was loaded from disk
	unsaved   chan struct{} // of capacity 1: the state has changed since it was saved
	beat      chan struct{} // of capacity 1: a heartbeat is due at once
	following atomic.Pointer[follow]
}

// follow is one run of following the log; ending it with a cause makes the next one.
type follow struct{ end context.CancelCauseFunc }

// New makes a Feed; Run runs it.
func New(cfg Config) *Feed {
	f := &Feed{
		cfg: cfg, fetched: map[string]*pb.KeySet{},
		unsaved: make(chan struct{}, 1), beat: make(chan struct{}, 1),
		started: time.Now(), timing: defaultTiming(),
	}
	f.recorder = newRecorder(&cfg, f.beat)
	f.fetcher = jwks.New(jwks.Config{
		Logger:  cfg.Logger,
		Update:  f.keysFetched,
		Known:   f.knownSources,
		Secrets: cfg.Compiler.Secrets,
		Fetched: func(_ string, o jwks.Outcome) { cfg.Metrics.fetches.WithLabelValues(string(o)).Inc() },
	})
	return f
}

// View is what requests are decided with; nil before the first state is there.
func (f *Feed) View() *pipeline.View { return f.view.Load() }

// Run keeps the view current until ctx ends. An error means that the node
// cannot work at all: files that are wrong at the start.
func (f *Feed) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if len(f.cfg.Resources) > 0 {
		g.Go(func() error { return f.watchFiles(ctx) })
		g.Go(func() error { f.fetcher.Run(ctx); return nil })
		return g.Wait()
	}
	f.loadDisk(ctx)
	g.Go(func() error { f.fetcher.Run(ctx); return nil })
	if f.recorder != nil {
		g.Go(func() error { f.keepSaved(ctx); return nil })
		g.Go(func() error { f.recorder.run(ctx); return nil })
	}
	g.Go(func() error { return f.runFleet(ctx) })
	return g.Wait()
}

// install makes a state the one that requests see, whatever was before.
func (f *Feed) install(s *catalog.State) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.installLocked(s, nil)
}

// replace installs a state that does not come from the entries of the log, nor from disk.
func (f *Feed) replace(s *catalog.State) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.installLocked(s, nil); err != nil {
		return err
	}
	f.recorder.replaced(s.Position())
	return nil
}

// installLocked compiles a state and makes it the one that requests see. touched
// are the resources that differ from the state before; nil: everything may.
func (f *Feed) installLocked(s *catalog.State, touched []Touch) error {
	for _, t := range touched {
		if t.Kind == pb.Kind_KIND_KEY_SET || t.Kind == pb.Kind_KIND_ISSUER {
			delete(f.fetched, t.ID) // the control plane knows better again
		}
	}
	if touched == nil && len(f.cfg.Resources) == 0 {
		clear(f.fetched)
	}
	if err := f.compileLocked(s, touched); err != nil {
		return err
	}
	f.state = s
	if touched == nil {
		f.history = ring{} // of another log, perhaps
	}
	f.history.add(s.Position().Sequence, s.SetHash())
	f.status.applied(s)
	f.cfg.Metrics.sequence.Set(float64(s.Position().Sequence))
	if issuersTouched(touched) {
		f.fetcher.SetIssuers(f.fetchableIssuers(s))
	}
	f.reportSize(s.Size())
	signal(f.unsaved)
	return nil
}

// compileLocked makes the view of a state, and notes what cannot be put in force. A
// node without a complete view decides nothing.
func (f *Feed) compileLocked(s *catalog.State, touched []Touch) error {
	view, fresh := f.cfg.Compiler.Compile(s, touched, f.fetched)
	for _, note := range f.cfg.Compiler.Notes() {
		f.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "keys of an issuer are not used",
			slog.String("issuer", note.Ref.ID), slog.Uint64("sequence", note.Sequence), slog.String("reason", note.Reason))
	}
	for _, fault := range fresh {
		f.cfg.Metrics.compileFaults.Inc()
		f.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "resource cannot be put in force",
			slog.String("resource", fault.Ref.String()), slog.Uint64("sequence", fault.Sequence), slog.String("reason", fault.Reason))
	}
	faults := f.cfg.Compiler.Faults()
	rejects := s.Rejects()
	for _, r := range rejects {
		faults = append(faults, Fault{r.Ref, r.Sequence, r.Reason})
	}
	sortFaults(faults)
	if len(faults) > 0 || len(f.notInForce()) > 0 {
		f.faults.Store(&faults) // before the view: a reader of the new view sees its faults
	}
	f.view.Store(view)
	f.cfg.Metrics.notInForce.Set(float64(len(faults)))
	f.cfg.Metrics.rejects.Set(float64(len(rejects)))
	if view == nil {
		return errors.New("the state has no complete table of routes")
	}
	return nil
}

func (f *Feed) reportSize(size int) {
	if f.cfg.OnStateSize == nil || size > f.sized*3/4 && size < f.sized*5/4 {
		return
	}
	f.sized = size
	f.cfg.OnStateSize(size)
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
func (f *Feed) current() *catalog.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
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

// resyncError says why the state must be replaced by a new snapshot.
type resyncError struct{ cause error }

func (e *resyncError) Error() string { return "resync: " + e.cause.Error() }
func (e *resyncError) Unwrap() error { return e.cause }

func resyncBecause(format string, args ...any) error {
	return &resyncError{fmt.Errorf(format, args...)}
}
