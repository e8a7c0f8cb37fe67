package feed

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

const (
	retryMinimum = 200 * time.Millisecond
	retryMaximum = 10 * time.Second
	// Between snapshots that do not help: they are large.
	resyncMaximum = 2 * time.Minute
)

// runFleet connects to NATS, and then follows the log and exchanges signals.
// A node that has never had a state takes a snapshot even while NATS is away.
func (f *Feed) runFleet(ctx context.Context) error {
	bus, err := f.connect(ctx)
	if err != nil {
		return nil
	}
	defer bus.Close()
	f.bus.Store(bus)
	defer f.bus.Store(nil)

	g, ctx := errgroup.WithContext(ctx)
	unsubscribe, err := bus.SubscribeHeads(f.headSeen)
	if err != nil {
		return err
	}
	defer unsubscribe()
	g.Go(func() error { f.beatHeart(ctx, bus); return nil })
	g.Go(func() error { f.watchHeads(ctx); return nil })
	g.Go(func() error { f.follow(ctx, bus); return nil })
	return g.Wait()
}

// connect waits for NATS. Meanwhile it takes a first snapshot if the node has none.
func (f *Feed) connect(ctx context.Context) (*stream.Bus, error) {
	for failures := 0; ; failures++ {
		bus, err := f.cfg.Connect(ctx)
		if err == nil || ctx.Err() != nil {
			return bus, err
		}
		f.trouble(ctx, "connect to NATS", err)
		if f.current() == nil {
			if err := f.takeSnapshot(ctx); err != nil {
				f.trouble(ctx, "take a first snapshot", err)
			}
		}
		if !pause(ctx, failures, retryMaximum) {
			return nil, ctx.Err()
		}
	}
}

// follow keeps the state at the head of the log until ctx ends.
func (f *Feed) follow(ctx context.Context, bus *stream.Bus) {
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := f.followOnce(ctx, bus)
		if ctx.Err() != nil {
			return
		}
		// A snapshot that does not help is taken again only after longer and longer
		// pauses: failures are counted from zero only once the node has followed for
		// a while.
		if time.Since(began) > f.timing.calm {
			failures = 0
		}
		most := retryMaximum
		if needsSnapshot(err) {
			if err = f.resync(ctx, err); err == nil && failures == 0 {
				continue
			}
			most = resyncMaximum
		}
		if err != nil {
			f.trouble(ctx, "follow the log", err)
		}
		if !pause(ctx, failures, most) {
			return
		}
	}
}

// needsSnapshot reports whether err says that the state does not fit the log.
func needsSnapshot(err error) bool {
	_, gap := errors.AsType[*stream.GapError](err)
	_, asked := errors.AsType[*resyncError](err)
	return gap || asked || errors.Is(err, catalog.ErrPosition) || errors.Is(err, stream.ErrTooOld) ||
		errors.Is(err, stream.ErrRolledBack) || errors.Is(err, stream.ErrReplaced)
}

func (f *Feed) followOnce(ctx context.Context, bus *stream.Bus) error {
	s := f.current()
	if s == nil {
		if err := f.takeSnapshot(ctx); err != nil {
			return err
		}
		s = f.current()
	}
	log, err := bus.Find(ctx)
	if err != nil {
		return err
	}
	p, id := s.Position(), log.Identity()
	if p.Epoch != id.Epoch || p.EpochID != id.EpochID {
		return resyncBecause("the state is of %s (%s), the log of epoch %d (%s)", p, p.EpochID, id.Epoch, id.EpochID)
	}
	_, last, err := log.Bounds(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.following.Store(&follow{cancel})
	defer f.following.Store(nil)
	f.status.followed(last)
	defer f.status.unfollowed()
	f.fetcher.SetIssuers(nil) // the control plane fetches for us again
	breath, err := newBreather()
	if err != nil {
		return err
	}
	defer breath.close()
	err = log.Follow(ctx, p.Sequence, func(batch []stream.Message) error { return f.applyBatch(batch, breath) })
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

// applyAtOnce is how many entries are applied before they are in force.
const applyAtOnce = 64

// applyBatch applies a batch, a part at a time.
func (f *Feed) applyBatch(batch []stream.Message, breath *breather) error {
	for len(batch) > applyAtOnce {
		if err := f.apply(batch[:applyAtOnce], breath); err != nil {
			return err
		}
		batch = batch[applyAtOnce:]
		breath.breathe()
	}
	return f.apply(batch, breath)
}

// apply folds entries, compiles the new state and swaps the view, once for all of them.
func (f *Feed) apply(batch []stream.Message, breath *breather) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next, touched, awaited := f.state.Batch(), make([]Touch, 0, len(batch)), false
	next.OnPause(breath.breathe)
	for _, m := range batch {
		effects, err := next.Apply(m.Sequence, m.Data)
		if err != nil {
			return &resyncError{err}
		}
		for _, ref := range effects.Touched {
			touched = append(touched, Touch{ref, m.Sequence})
		}
		awaited = awaited || effects.Awaited
		f.history.add(m.Sequence, next.SetHash())
		for _, r := range effects.Rejects {
			f.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "change could not be understood",
				slog.String("resource", r.Ref.String()), slog.Uint64("sequence", r.Sequence), slog.String("reason", r.Reason))
		}
	}
	if err := f.installLocked(next.State(), touched); err != nil {
		return err
	}
	f.cfg.Metrics.applied.Add(float64(len(batch)))
	f.recorder.applied(batch, awaited)
	if awaited && f.recorder == nil {
		signal(f.beat)
	}
	return nil
}

// resync replaces the state by a new snapshot; the old one serves meanwhile.
func (f *Feed) resync(ctx context.Context, because error) error {
	f.status.set(pb.Heartbeat_RESYNC)
	f.status.resyncs.Add(1)
	f.cfg.Metrics.resyncs.Inc()
	f.cfg.Logger.LogAttrs(ctx, slog.LevelError, "state is replaced by a new snapshot", slog.Any("cause", because))
	if !sleep(ctx, rand.N(f.timing.jitter)) { //nolint:gosec // jitter
		return ctx.Err()
	}
	return f.takeSnapshot(ctx)
}

// trouble reports what keeps the node from being current.
func (f *Feed) trouble(ctx context.Context, doing string, err error) {
	if ctx.Err() != nil {
		return
	}
	f.status.set(pb.Heartbeat_STALE)
	f.status.settle()
	f.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "state is not current", slog.String("doing", doing), slog.Any("error", err))
}

// pause waits with capped, fully jittered back-off. It is false if ctx ended first.
func pause(ctx context.Context, failures int, most time.Duration) bool {
	most = min(retryMinimum<<min(failures, 10), most)
	return sleep(ctx, retryMinimum+rand.N(most)) //nolint:gosec // jitter
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
