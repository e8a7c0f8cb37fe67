package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

const (
	// How long a replica with an empty disk listens for others before it founds a log.
	listenBeforeCreating = 2 * time.Second
	// Pause between attempts to find a log to follow.
	attachMinimum = 500 * time.Millisecond
	attachMaximum = 3 * time.Second
	// The longest pause while one snapshot after the other does not help.
	catchUpMaximum = 15 * time.Second
	// How long another process may know of a log that cannot be found: where replicas start
	// together, one hears of the log before its own server knows it.
	appearTimeout = 4 * time.Second
	appearPause   = 100 * time.Millisecond

	suspicions     = 3
	suspicionPause = 400 * time.Millisecond
)

// Run finds the log, or founds it if there has never been one, and follows it
// until ctx ends. Trouble with the log does not end it: the store goes on hold,
// and Run keeps looking whether the trouble is over.
func (st *Store) Run(ctx context.Context, bus *stream.Bus) error {
	st.mu.Lock()
	st.bus = bus
	st.mu.Unlock()
	for {
		err := st.once(ctx, bus)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // ctx ended: no error
		case err == nil && st.catches <= 1:
			continue // a snapshot was taken: follow from there
		case err != nil:
			st.trouble(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(st.respite()):
		}
	}
}

// respite is the pause before the next attempt; longer and longer while
// snapshots are asked for without success: they are large.
func (st *Store) respite() time.Duration {
	d := attachMinimum + rand.N(attachMaximum-attachMinimum) //nolint:gosec // spreads load, hides nothing
	for range st.catches - 1 {
		if d *= 2; d >= catchUpMaximum {
			return catchUpMaximum
		}
	}
	return d
}

// reopen opens the file if that failed when it was replaced. What it holds then
// may be what was there before, or the replacement.
func (st *Store) reopen() error {
	state, err := st.disk.reopen()
	if err != nil {
		return holdf("the store cannot be read from %s: %v (hint: look at the disk; the replica keeps trying)", st.disk.path, err)
	}
	if state != nil {
		st.restart(state)
	}
	return nil
}

// once attaches to the log and follows it as long as that goes well.
func (st *Store) once(ctx context.Context, bus *stream.Bus) error {
	if err := st.reopen(); err != nil {
		return err
	}
	log, err := st.attach(ctx, bus)
	if err != nil {
		return err
	}
	position := st.State().Position().Sequence
	first, last, err := st.bounds(ctx, log)
	if err != nil {
		return err
	}
	if first > position+1 {
		return st.catchUp(ctx, log, fmt.Sprintf("the log begins at sequence %d and this replica's disk ends at %d", first, position))
	}
	after, check, err := st.resume(first, position)
	if err != nil {
		return err
	}
	st.audit(ctx, log)
	st.begin(log, last)
	defer st.end()
	err = log.Follow(ctx, after, func(batch []stream.Message) error {
		if batch[0].Sequence == position && check != "" {
			if batch[0].ID != check {
				return holdf("the log holds another entry at sequence %d than this replica's disk: it was rolled back and written again (hint: run `keymanager-sync new-epoch` on the most advanced replica)", position)
			}
			batch, check = batch[1:], ""
		}
		return st.foldUntilEnd(batch)
	})
	if errors.Is(err, stream.ErrTooOld) {
		return st.catchUp(ctx, log, err.Error())
	}
	return err
}

// bounds asks where the log begins and ends. That it ends before what is on disk,
// or before what another replica was heard to have, is believed when it is heard
// several times: an election can look like that.
func (st *Store) bounds(ctx context.Context, log *stream.Log) (first, last uint64, err error) {
	st.mu.Lock()
	least := max(st.last, st.State().Position().Sequence)
	st.mu.Unlock()
	for range suspicions {
		first, last, err = log.Bounds(ctx)
		if err != nil || last >= least {
			return first, last, err
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(suspicionPause):
		}
	}
	return 0, 0, holdf("the log ends at sequence %d, and this replica or another has %d: the log was rolled back (hint: bring the NATS servers' data back, or run `keymanager-sync new-epoch` on the most advanced replica)", last, least)
}

// resume returns the sequence after which to follow. If the log still holds the last
// entry on disk, and its id is known, that entry is to be seen again: the log
// may have been rolled back and have grown since.
func (st *Store) resume(first, position uint64) (after uint64, check string, err error) {
	if position == 0 || first > position {
		return position, "", nil
	}
	if check, err = st.disk.lastID(); err != nil {
		return 0, "", fmt.Errorf("read the last entry's id: %w", err)
	}
	if check == "" {
		return position, "", nil
	}
	return position - 1, check, nil
}

// audit looks whether the log's stream is still configured as it was created.
func (st *Store) audit(ctx context.Context, log *stream.Log) {
	err := log.Audit(ctx)
	st.metrics.misconfigured.Set(one(err != nil))
	if err != nil {
		st.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the log's configuration is not as it should be", slog.Any("faults", err))
	}
}

// begin and end mark the time in which a log is followed.
func (st *Store) begin(log *stream.Log, last uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.catches = 0
	st.log, st.last, st.stream = log, last, log.Identity().Stream
	st.known(last)
	if st.State().Position().Sequence >= last {
		st.turn(Live, "")
	} else {
		st.turn(Loading, fmt.Sprintf("catching up with the log to sequence %d", last))
	}
	st.wake()
}

func (st *Store) end() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.log = nil
}

// trouble says what the end of an attempt means.
func (st *Store) trouble(err error) {
	st.metrics.interruptions.Inc()
	gap, isGap := errors.AsType[*stream.GapError](err)
	hold, isHold := errors.AsType[*HoldError](err)
	switch {
	case isHold:
		st.enter(Hold, hold.Reason)
	case isGap:
		st.enter(Hold, fmt.Sprintf("%v: entries are missing (hint: look at the NATS servers; the replica keeps trying)", gap))
	case errors.Is(err, stream.ErrRolledBack), errors.Is(err, stream.ErrReplaced), errors.Is(err, stream.ErrTooOld):
		st.enter(Hold, err.Error())
	case st.Status().Phase == Hold:
		// What cannot be asked now does not lift the hold.
	default:
		st.enter(Opening, fmt.Sprintf("the log cannot be followed: %v", err))
	}
}

// foldUntilEnd folds a batch up to an entry that ends the epoch. That entry is
// never folded: the position stays before it, so that this replica can append
// nothing after it, and finds it again whenever it comes back to this log.
func (st *Store) foldUntilEnd(batch []stream.Message) error {
	at := slices.IndexFunc(batch, func(m stream.Message) bool { return endsEpoch(m.Data) })
	if at < 0 {
		return st.fold(batch)
	}
	if err := st.fold(batch[:at]); err != nil {
		return err
	}
	return holdf("this epoch was ended at sequence %d, and the next one has not begun yet (hint: `keymanager-sync new-epoch` is at work, or was interrupted: run it again where it ran)", batch[at].Sequence)
}

// fold applies a batch, makes it durable, and shows it.
func (st *Store) fold(batch []stream.Message) error {
	if len(batch) == 0 {
		return nil
	}
	began := time.Now()
	before := st.State()
	s := update{before: before, after: before, touched: make(map[catalog.Ref]struct{}), lastID: batch[len(batch)-1].ID}
	for _, m := range batch {
		next, effects, err := s.after.Apply(m.Sequence, m.Data)
		if err != nil {
			next = st.skip(s.after, m, err)
			effects = catalog.Effects{}
		}
		s.after = next
		for _, ref := range effects.Touched {
			s.touched[ref] = struct{}{}
		}
		for _, r := range effects.Rejects {
			st.metrics.rejects.Inc()
			st.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "change cannot be understood", slog.String("ref", r.Ref.String()),
				slog.Uint64("sequence", r.Sequence), slog.String("reason", r.Reason))
		}
		s.memories = append(s.memories, memoriesOf(m.Sequence, m.Data)...)
	}
	if err := st.disk.write(s); err != nil {
		return holdf("the store cannot be written to %s: %v (hint: look at the disk; the replica keeps trying)", st.disk.path, err)
	}
	st.metrics.folded.Add(float64(len(batch)))
	st.metrics.foldSeconds.Observe(time.Since(began).Seconds())
	st.publish(s.after, batch)
	return nil
}

// skip passes over an entry whose envelope cannot be decoded: it holds nothing
// that anybody can apply, on any side, and must not stop what comes after it.
func (st *Store) skip(state *catalog.State, m stream.Message, reason error) *catalog.State {
	st.metrics.undecodable.Inc()
	st.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "log entry cannot be understood and is passed over",
		slog.Uint64("sequence", m.Sequence), slog.String("id", m.ID), slog.Any("reason", reason))
	p := state.Position()
	p.Sequence = m.Sequence
	return state.At(p)
}

// attach finds the log that continues what is on disk.
func (st *Store) attach(ctx context.Context, bus *stream.Bus) (*stream.Log, error) {
	position := st.State().Position()
	log, err := bus.Find(ctx)
	switch {
	case errors.Is(err, stream.ErrNoLog) && position.Epoch == 0:
		return st.firstStart(ctx, bus)
	case errors.Is(err, stream.ErrNoLog):
		return nil, holdf("there is no log any more, and this replica's disk holds %s (hint: bring the NATS servers' data back, or run `keymanager-sync new-epoch` on the most advanced replica)", position)
	case err != nil:
		return nil, err
	}
	id := log.Identity()
	st.mu.Lock()
	st.foreign = position.Epoch > 0 && (id.Epoch != position.Epoch || id.EpochID != position.EpochID)
	st.mu.Unlock()
	switch {
	case position.Epoch == 0:
		return log, st.join(ctx, log)
	case id.Epoch == position.Epoch && id.EpochID == position.EpochID:
		return log, nil
	case id.Epoch > position.Epoch:
		return log, st.catchUp(ctx, log, fmt.Sprintf("epoch %d has begun", id.Epoch))
	case id.Epoch == position.Epoch:
		return nil, holdf("stream %s was deleted and created again (hint: bring the NATS servers' data back, or run `keymanager-sync new-epoch` on the most advanced replica)", id.Stream)
	}
	return nil, holdf("the newest log is of epoch %d, and this replica's disk is of epoch %d (hint: this is the wrong NATS, or it was restored from before; run `keymanager-sync new-epoch` on the most advanced replica)", id.Epoch, position.Epoch)
}

// join begins to follow a log with an empty disk.
func (st *Store) join(ctx context.Context, log *stream.Log) error {
	first, _, err := log.Bounds(ctx)
	if err != nil {
		return err
	}
	if first > 1 {
		return st.catchUp(ctx, log, fmt.Sprintf("the log begins at sequence %d and this replica's disk is empty", first))
	}
	return st.adopt(log, catalog.Empty(), 0)
}

// adopt writes that a state is the one at a sequence of a log.
func (st *Store) adopt(log *stream.Log, state *catalog.State, sequence uint64) error {
	id := log.Identity()
	after := state.At(catalog.Position{Epoch: id.Epoch, EpochID: id.EpochID, Sequence: sequence})
	if err := st.disk.write(update{before: state, after: after}); err != nil {
		return holdf("the store cannot be written to %s: %v (hint: look at the disk)", st.disk.path, err)
	}
	st.publish(after, nil)
	return nil
}

// firstStart creates the log, unless a replica or a node is heard that knows one.
func (st *Store) firstStart(ctx context.Context, bus *stream.Bus) (*stream.Log, error) {
	if st.cfg.First {
		return st.create(ctx, bus)
	}
	heard := make(chan string, 1)
	tell := func(who string) {
		select {
		case heard <- who:
		default: // one is enough
		}
	}
	heads, err := bus.SubscribeHeads(func(h *pb.Head) {
		tell(fmt.Sprintf("replica %s stands at sequence %d of epoch %d", h.GetReplica(), h.GetSequence(), h.GetEpoch()))
	})
	if err != nil {
		return nil, err
	}
	defer heads()
	beats, err := bus.SubscribeHeartbeats(func(b *pb.Heartbeat) {
		if b.GetEpoch() > 0 {
			tell(fmt.Sprintf("node %s stands at sequence %d of epoch %d", b.GetNode(), b.GetSequence(), b.GetEpoch()))
		}
	})
	if err != nil {
		return nil, err
	}
	defer beats()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case who := <-heard:
		return st.appearing(ctx, bus, who)
	case <-time.After(listenBeforeCreating):
		return st.create(ctx, bus)
	}
}

func (st *Store) create(ctx context.Context, bus *stream.Bus) (*stream.Log, error) {
	log, err := bus.CreateLog(ctx, 1, 1, st.cfg.Replicas)
	if err != nil {
		return nil, err
	}
	st.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "log created", slog.String("stream", log.Identity().Stream))
	return log, st.join(ctx, log)
}

// appearing waits for a log that another process knows. If it does not come, it was lost.
func (st *Store) appearing(ctx context.Context, bus *stream.Bus, who string) (*stream.Log, error) {
	for end := time.Now().Add(appearTimeout); ; {
		log, err := bus.Find(ctx)
		switch {
		case err == nil:
			return log, st.join(ctx, log)
		case !errors.Is(err, stream.ErrNoLog):
			return nil, err
		case time.Now().After(end):
			return nil, holdf("there is no log, but %s: no log is created over what exists (hint: bring the NATS servers' data back, or run `keymanager-sync new-epoch` on the most advanced replica; to start all over, stop the nodes first)", who)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(appearPause):
		}
	}
}
