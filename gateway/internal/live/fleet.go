package live

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
func (l *Live) runFleet(ctx context.Context) error {
	bus, err := l.connect(ctx)
	if err != nil {
		return nil
	}
	defer bus.Close()
	l.bus.Store(bus)
	defer l.bus.Store(nil)

	g, ctx := errgroup.WithContext(ctx)
	unsubscribe, err := bus.SubscribeHeads(l.headSeen)
	if err != nil {
		return err
	}
	defer unsubscribe()
	g.Go(func() error { l.beatHeart(ctx, bus); return nil })
	g.Go(func() error { l.watchHeads(ctx); return nil })
	g.Go(func() error { l.follow(ctx, bus); return nil })
	return g.Wait()
}

// connect waits for NATS. Meanwhile it takes a first snapshot if the node has none.
func (l *Live) connect(ctx context.Context) (*stream.Bus, error) {
	for failures := 0; ; failures++ {
		bus, err := l.cfg.Connect(ctx)
		if err == nil || ctx.Err() != nil {
			return bus, err
		}
		l.trouble(ctx, "connect to NATS", err)
		if l.current() == nil {
			if err := l.takeSnapshot(ctx); err != nil {
				l.trouble(ctx, "take a first snapshot", err)
			}
		}
		if !pause(ctx, failures, retryMaximum) {
			return nil, ctx.Err()
		}
	}
}

// follow keeps the state at the head of the log until ctx ends.
func (l *Live) follow(ctx context.Context, bus *stream.Bus) {
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := l.followOnce(ctx, bus)
		if ctx.Err() != nil {
			return
		}
		// A snapshot that does not help is not taken again and again: only a node
		// that has followed for a while begins to count anew.
		if time.Since(began) > l.timing.calm {
			failures = 0
		}
		most := retryMaximum
		if needsSnapshot(err) {
			if err = l.resync(ctx, err); err == nil && failures == 0 {
				continue
			}
			most = resyncMaximum
		}
		if err != nil {
			l.trouble(ctx, "follow the log", err)
		}
		if !pause(ctx, failures, most) {
			return
		}
	}
}

// needsSnapshot tells whether the state on hand does not fit the log.
func needsSnapshot(err error) bool {
	_, gap := errors.AsType[*stream.GapError](err)
	_, asked := errors.AsType[*resyncError](err)
	return gap || asked || errors.Is(err, catalog.ErrPosition) || errors.Is(err, stream.ErrTooOld) ||
		errors.Is(err, stream.ErrRolledBack) || errors.Is(err, stream.ErrReplaced)
}

func (l *Live) followOnce(ctx context.Context, bus *stream.Bus) error {
	s := l.current()
	if s == nil {
		if err := l.takeSnapshot(ctx); err != nil {
			return err
		}
		s = l.current()
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
	l.following.Store(&follow{cancel})
	defer l.following.Store(nil)
	l.status.followed(last)
	defer l.status.unfollowed()
	l.fetcher.SetIssuers(nil) // the control plane fetches for us again
	breath, err := newBreather()
	if err != nil {
		return err
	}
	defer breath.close()
	err = log.Follow(ctx, p.Sequence, func(batch []stream.Message) error { return l.applyBatch(batch, breath) })
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

// applyAtOnce is how many entries are applied before they are in force.
const applyAtOnce = 64

// applyBatch applies a batch, a part at a time.
func (l *Live) applyBatch(batch []stream.Message, breath *breather) error {
	for len(batch) > applyAtOnce {
		if err := l.apply(batch[:applyAtOnce], breath); err != nil {
			return err
		}
		batch = batch[applyAtOnce:]
		breath.breathe()
	}
	return l.apply(batch, breath)
}

// apply folds entries and swaps the view once.
func (l *Live) apply(batch []stream.Message, breath *breather) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, touched, awaited := l.state.Batch(), make([]Touch, 0, len(batch)), false
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
		l.history.add(m.Sequence, next.SetHash())
		for _, r := range effects.Rejects {
			l.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "change could not be understood",
				slog.String("resource", r.Ref.String()), slog.Uint64("sequence", r.Sequence), slog.String("reason", r.Reason))
		}
	}
	if err := l.installLocked(next.State(), touched); err != nil {
		return err
	}
	l.cfg.Metrics.applied.Add(float64(len(batch)))
	l.recorder.applied(batch, awaited)
	if awaited && l.recorder == nil {
		signal(l.beat)
	}
	return nil
}

// resync replaces the state by a new snapshot; the old one serves meanwhile.
func (l *Live) resync(ctx context.Context, because error) error {
	l.status.set(pb.Heartbeat_RESYNC)
	l.status.resyncs.Add(1)
	l.cfg.Metrics.resyncs.Inc()
	l.cfg.Logger.LogAttrs(ctx, slog.LevelError, "state is replaced by a new snapshot", slog.Any("cause", because))
	if !sleep(ctx, rand.N(l.timing.jitter)) { //nolint:gosec // jitter
		return ctx.Err()
	}
	return l.takeSnapshot(ctx)
}

// trouble reports what keeps the node from being current.
func (l *Live) trouble(ctx context.Context, doing string, err error) {
	if ctx.Err() != nil {
		return
	}
	l.status.set(pb.Heartbeat_STALE)
	l.status.settle()
	l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "state is not current", slog.String("doing", doing), slog.Any("error", err))
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
