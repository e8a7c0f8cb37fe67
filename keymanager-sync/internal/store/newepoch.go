package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

var (
	// ErrLogIsWell: the log holds everything that this replica has, so a new epoch
	// could only lose what others write to it meanwhile.
	ErrLogIsWell = errors.New("the log is well")
	// ErrWouldLose: entries are known that this replica does not have.
	ErrWouldLose = errors.New("a new epoch from this replica would lose entries")
	// ErrOutrun: others wrote to the old log each time before its epoch was ended.
	// Nothing was changed.
	ErrOutrun = errors.New("others write to the log faster than its epoch could be ended (hint: stop them)")

	// errBegun: the next epoch has entries that this replica does not know.
	errBegun = errors.New("that epoch has begun already")
)

const (
	// Attempts to end an epoch before the others' writes are taken for endless.
	endAttempts = 20
	endTopic    = "end"
)

// NewEpoch says how BeginEpoch is to go about it.
type NewEpoch struct {
	// GiveUp begins the epoch although other replicas or the log are known to have
	// entries that this replica does not have. They are lost.
	GiveUp bool
	// Listen is how long other replicas are listened for; 0: 2 s.
	Listen time.Duration
}

// BeginEpoch begins the next epoch from what stands on this replica's disk: it
// creates a log whose first entry follows the last one the store has. It is for
// an operator, when the log was lost or rolled back, and must be run on the most
// advanced replica while that replica is stopped. The other replicas then take a
// snapshot from this one (their `peers` setting), and nodes resync.
//
// Where the log holds everything that this replica has, it is refused
// (ErrLogIsWell); where another replica, or the log, has entries that this one
// lacks, too (ErrWouldLose), unless they are to be given up. Otherwise the present
// log, if there is one, gets a last entry that ends its epoch, on condition that
// nothing was appended since it was judged. Every append expects the sequence
// before its own, so none after that entry succeeds, whichever replica makes it.
//
// It may be repeated if it was interrupted.
func BeginEpoch(ctx context.Context, st *Store, bus *stream.Bus, how NewEpoch) (*stream.Log, error) {
	p := st.State().Position()
	if p.Epoch == 0 {
		return nil, fmt.Errorf("begin a new epoch: %w; the log of an empty fleet begins when a replica starts", ErrEmpty)
	}
	log, err := st.beginEpoch(ctx, bus, how, p)
	if err != nil {
		return nil, fmt.Errorf("begin epoch %d after sequence %d: %w", p.Epoch+1, p.Sequence, err)
	}
	return log, nil
}

func (st *Store) beginEpoch(ctx context.Context, bus *stream.Bus, how NewEpoch, p catalog.Position) (*stream.Log, error) {
	if err := st.moreAdvanced(ctx, bus, how, p); err != nil && !how.GiveUp {
		return nil, err
	}
	if err := st.endPresent(ctx, bus, how); err != nil {
		return nil, err
	}
	log, err := bus.CreateLog(ctx, p.Epoch+1, p.Sequence+1, st.cfg.Replicas)
	if err != nil {
		return nil, err
	}
	_, last, err := log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	if last > p.Sequence {
		return nil, fmt.Errorf("%w and stands at sequence %d (hint: let this replica take a snapshot from a peer)", errBegun, last)
	}
	return log, st.adopt(log, st.State(), p.Sequence)
}

// moreAdvanced listens whether another replica has more of this log than this one,
// or follows a later one.
func (st *Store) moreAdvanced(ctx context.Context, bus *stream.Bus, how NewEpoch, p catalog.Position) error {
	var mu sync.Mutex
	var ahead error
	unsubscribe, err := bus.SubscribeHeads(func(h *pb.Head) {
		later := h.GetEpoch() > p.Epoch
		if later || h.GetEpoch() == p.Epoch && h.GetFounding() == p.EpochID && h.GetSequence() > p.Sequence {
			mu.Lock()
			defer mu.Unlock()
			ahead = fmt.Errorf("%w: replica %s stands at sequence %d of epoch %d (hint: stop that replica and run new-epoch there, or give its entries up with --give-up-entries)",
				ErrWouldLose, h.GetReplica(), h.GetSequence(), h.GetEpoch())
		}
	})
	if err != nil {
		return err
	}
	listen := how.Listen
	if listen == 0 {
		listen = listenBeforeCreating
	}
	select {
	case <-ctx.Done():
	case <-time.After(listen):
	}
	unsubscribe()
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(ctx.Err(), ahead)
}

// endPresent ends the epoch of the log that is there, if its loss is certain and
// nothing in it is lost with it.
func (st *Store) endPresent(ctx context.Context, bus *stream.Bus, how NewEpoch) error {
	for range endAttempts {
		log, err := bus.Find(ctx)
		if errors.Is(err, stream.ErrNoLog) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w (hint: nothing begins while the present log cannot be judged; bring the NATS servers back, or delete its stream if it is lost for good)", err)
		}
		judged, err := st.judge(ctx, log)
		switch {
		case err != nil:
			return err
		case judged.next || judged.ended && (how.GiveUp || judged.loses == nil):
			return nil
		case judged.loses != nil && !how.GiveUp:
			return judged.loses
		}
		err = st.endEpoch(ctx, log, judged.last)
		// After an unknown outcome the log itself shows whether it has ended.
		if !errors.Is(err, stream.ErrConflict) && !errors.Is(err, stream.ErrUnknown) {
			return err
		}
	}
	return ErrOutrun
}

// endEpoch appends the entry that ends an epoch after the sequence last.
func (st *Store) endEpoch(ctx context.Context, log *stream.Log, last uint64) error {
	id := log.Identity()
	data, err := proto.Marshal(&pb.Entry{Epoch: id.Epoch, Founding: id.EpochID, EndsEpoch: true})
	if err != nil {
		return fmt.Errorf("encode the end of epoch %d: %w", id.Epoch, err)
	}
	if _, err := log.Append(ctx, last, endTopic, data, "end-"+ulid.Make().String()); err != nil {
		return fmt.Errorf("end epoch %d: %w", id.Epoch, err)
	}
	st.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the epoch was ended: no replica can write to its log any more",
		slog.String("stream", id.Stream), slog.Uint64("sequence", last+1))
	return nil
}

// judgement is what a new epoch may do about a log.
type judgement struct {
	// last sequence of the log when it was judged.
	last uint64
	// ended: the last entry ends the epoch.
	ended bool
	// next: it is the very log that is to begin; an earlier attempt was interrupted.
	next bool
	// loses says which entries of it would be lost; nil: none.
	loses error
}

// judge finds out whether the log was lost in part, and what a new epoch would
// lose of it. The error is ErrLogIsWell if it was not.
func (st *Store) judge(ctx context.Context, log *stream.Log) (judgement, error) {
	p, id := st.State().Position(), log.Identity()
	if id.Epoch > p.Epoch {
		if id.Epoch == p.Epoch+1 && log.First() == p.Sequence+1 {
			return judgement{next: true}, nil
		}
		return judgement{}, fmt.Errorf("epoch %d has begun, after sequence %d (hint: start this replica; it takes a snapshot from a peer)", id.Epoch, log.First()-1)
	}
	same := id.Epoch == p.Epoch && id.EpochID == p.EpochID
	first, last, err := st.boundsOfSuspect(ctx, log, same)
	if err != nil {
		return judgement{}, err
	}
	j := judgement{last: last}
	newest, err := newestOf(ctx, log, first, last)
	if err != nil {
		return j, err
	}
	if newest == nil {
		return j, nil
	}
	if j.ended = endsEpoch(newest.Data); j.ended {
		last--
		if newest, err = newestOf(ctx, log, first, last); err != nil || newest == nil {
			return j, err
		}
	}
	if same && last >= p.Sequence {
		return st.judgeWhole(ctx, log, j, first, last)
	}
	another := id.Epoch == p.Epoch && !same
	j.loses, err = st.unknownTo(id, newest, another)
	return j, err
}

// newestOf is the last entry of a log; nil if it is empty.
func newestOf(ctx context.Context, log *stream.Log, first, last uint64) (*stream.Message, error) {
	if last < first {
		return nil, nil //nolint:nilnil // an empty log has none
	}
	m, err := log.At(ctx, last)
	return &m, err
}

// unknownTo says that this replica does not have the newest entry of a log which is
// another than its own, or was written after what is on its disk; loses is nil if it
// has. The times are the NATS server's and this machine's.
func (st *Store) unknownTo(id stream.Identity, newest *stream.Message, another bool) (loses, err error) {
	written, err := st.disk.writtenAt()
	if err != nil || !another && !newest.Time.After(written) {
		return nil, err
	}
	return fmt.Errorf("%w: %s holds entries up to sequence %d, the last from %s, that this replica does not have (hint: give them up with --give-up-entries)",
		ErrWouldLose, id.Stream, newest.Sequence, newest.Time.UTC().Format(time.RFC3339)), nil
}

// judgeWhole judges a log of this epoch that reaches as far as this replica's disk.
func (st *Store) judgeWhole(ctx context.Context, log *stream.Log, j judgement, first, last uint64) (judgement, error) {
	p := st.State().Position()
	ours, err := st.isOurs(ctx, log, first, p.Sequence)
	switch {
	case err != nil:
		return j, err
	case !ours:
		j.loses = fmt.Errorf("%w: the log holds another entry at sequence %d than this replica, and goes on to %d (hint: it was rolled back and written again; give these entries up with --give-up-entries)",
			ErrWouldLose, p.Sequence, last)
	case j.ended && last > p.Sequence:
		j.loses = fmt.Errorf("%w: the log goes on to sequence %d (hint: run new-epoch on a replica that has that sequence, or give the entries up with --give-up-entries)", ErrWouldLose, last)
	case !j.ended:
		return j, fmt.Errorf("%w: it reaches to sequence %d and holds everything that this replica has (hint: start this replica; it follows the log by itself)", ErrLogIsWell, last)
	}
	return j, nil
}

// isOurs reports whether the log holds the same entry as this replica's disk at
// the disk's position, as far as both still know.
func (st *Store) isOurs(ctx context.Context, log *stream.Log, first, position uint64) (bool, error) {
	known, err := st.disk.lastID()
	if err != nil || known == "" || first > position {
		return err == nil, err
	}
	m, err := log.At(ctx, position)
	if err != nil {
		return false, err
	}
	return m.ID == known, nil
}

// boundsOfSuspect asks where a log begins and ends. That it lacks what is on disk
// is believed when it is heard several times: an election can look like that.
func (st *Store) boundsOfSuspect(ctx context.Context, log *stream.Log, same bool) (first, last uint64, err error) {
	for range suspicions {
		first, last, err = log.Bounds(ctx)
		if err != nil || !same || last >= st.State().Position().Sequence {
			return first, last, err
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(suspicionPause):
		}
	}
	return first, last, nil
}

// endsEpoch reports whether an entry ends its epoch. It reads no more than the
// entry's outermost fields.
func endsEpoch(entry []byte) bool {
	const field = 5 // ends_epoch
	for len(entry) > 0 {
		number, wire, n := protowire.ConsumeTag(entry)
		if n < 0 {
			return false
		}
		entry = entry[n:]
		if number == field && wire == protowire.VarintType {
			value, _ := protowire.ConsumeVarint(entry)
			return value != 0
		}
		if n = protowire.ConsumeFieldValue(number, wire, entry); n < 0 {
			return false
		}
		entry = entry[n:]
	}
	return false
}
