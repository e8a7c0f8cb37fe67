package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

const (
	// Pause before an append is repeated whose outcome is not known.
	unsurePause = 100 * time.Millisecond
	// A leader that is killed answers nothing to what is on its way to it, and no
	// later one does. So an answer is waited for as long as a live leader may take
	// at worst, and then the append is repeated; an election takes a few of these.
	attemptTimeout = 2500 * time.Millisecond
)

// outcome of an attempt to append.
type outcome int

const (
	landed outcome = iota
	overtaken
)

// append sends the entry of a round. If another replica was faster, all
// requests are returned, to be decided again.
func (l *Ledger) append(ctx context.Context, log *stream.Log, state *catalog.State, d *round) ([]*request, error) {
	data, err := proto.Marshal(d.entry)
	if err != nil {
		return d.requests(), fmt.Errorf("encode entry: %w", err)
	}
	last := state.Position().Sequence
	how, err := l.send(ctx, log, last, topic(d.entry), data)
	switch {
	case errors.Is(err, ErrUncertain):
		l.metrics.appends.WithLabelValues("failed").Inc()
		for _, r := range d.accepted {
			r.request.answer(Result{}, err)
		}
		return d.requests(), ErrTimeout // for those who were not in the entry
	case err != nil:
		l.metrics.appends.WithLabelValues("failed").Inc()
		return d.requests(), err
	case how == overtaken:
		l.metrics.appends.WithLabelValues("conflict").Inc()
		return d.requests(), l.giveWay(ctx, last+1)
	}
	l.metrics.appends.WithLabelValues("landed").Inc()
	l.metrics.group.Observe(float64(len(d.accepted)))
	after, err := l.cfg.Store.WaitFor(ctx, last+1)
	if err != nil {
		for _, r := range d.accepted {
			r.request.answer(Result{}, ErrUncertain)
		}
		return d.requests(), timedOut(err)
	}
	if l.cfg.Appended != nil {
		l.cfg.Appended()
	}
	d.answer(after, last+1)
	return d.later, nil
}

// giveWay waits for the entry that was faster than ours. One that its writer had
// on the way to a leader that was killed then never comes: after a while it is
// decided again all the same.
func (l *Ledger) giveWay(ctx context.Context, sequence uint64) error {
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	_, err := l.cfg.Store.WaitFor(attempt, sequence)
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil && attempt.Err() != nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return ErrContended
	}
	return timedOut(err)
}

// send appends, and finds out what happened if the log's answer was lost.
func (l *Ledger) send(ctx context.Context, log *stream.Log, last uint64, topic string, data []byte) (outcome, error) {
	id := ulid.Make().String()
	unsure := false
	for {
		late, err := l.attempt(ctx, log, last, topic, data, id)
		switch {
		case err == nil:
			return landed, nil
		case errors.Is(err, stream.ErrConflict) && !unsure:
			return overtaken, nil
		case errors.Is(err, stream.ErrConflict):
			if how, settled, err := l.settle(ctx, last+1, id); settled {
				return how, err
			}
		case errors.Is(err, stream.ErrUnknown):
			l.metrics.unknown.Inc()
			unsure = true
		case !unsure && !late:
			return 0, &Unavailable{Reason: err.Error()}
		}
		// Repeating it is safe: the same expected sequence lets one of them in at most.
		if pause(ctx, unsurePause) != nil {
			if !unsure {
				return 0, &Unavailable{Reason: err.Error()}
			}
			return 0, ErrUncertain
		}
	}
}

// attempt appends once. late: only the time of this attempt was up.
func (l *Ledger) attempt(ctx context.Context, log *stream.Log, last uint64, topic string, data []byte, id string) (late bool, err error) {
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	_, err = log.Append(attempt, last, topic, data, id)
	return attempt.Err() != nil && ctx.Err() == nil, err
}

// settle looks which entry stands where an append of unknown outcome was to stand. It is
// not settled if no entry stands there yet: what was in the append's way may have
// been lost with the leader it was on its way to.
func (l *Ledger) settle(ctx context.Context, sequence uint64, id string) (how outcome, settled bool, err error) {
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if _, err := l.cfg.Store.WaitFor(attempt, sequence); err != nil {
		return 0, ctx.Err() != nil || attempt.Err() == nil, ErrUncertain
	}
	if found, ok := l.cfg.Store.EntryID(sequence); !ok {
		return 0, true, ErrUncertain
	} else if found == id {
		return landed, true, nil
	}
	return overtaken, true, nil
}

// confirm answers requests that need no entry, once it is sure that the state
// they were decided on was the newest. If not, they are returned.
func (l *Ledger) confirm(ctx context.Context, log *stream.Log, state *catalog.State, d *round) ([]*request, error) {
	if len(d.settled) == 0 {
		return d.later, nil
	}
	_, last, err := log.Bounds(ctx)
	if err != nil {
		return d.requests(), &Unavailable{Reason: err.Error()}
	}
	if last > state.Position().Sequence {
		if _, err := l.cfg.Store.WaitFor(ctx, last); err != nil {
			return d.requests(), timedOut(err)
		}
		return d.requests(), nil
	}
	d.answer(state, state.Position().Sequence)
	return d.later, nil
}

// answer answers every request of the round except those left for later.
func (d *round) answer(state *catalog.State, sequence uint64) {
	for _, r := range d.accepted {
		r.tell(state, sequence)
	}
	for _, r := range d.settled {
		r.tell(state, sequence)
	}
}

func (r *reply) tell(state *catalog.State, sequence uint64) {
	if r.err != nil {
		r.request.answer(Result{}, r.err)
		return
	}
	r.result.State, r.result.Epoch = state, state.Position().Epoch
	if !r.result.Repeated || r.twin {
		r.result.Sequence = sequence
	}
	r.request.answer(r.result, nil)
}

// topic is the kind that an entry is about, for people who look at the stream.
func topic(e *pb.Entry) string {
	kind := pb.Kind_KIND_UNSPECIFIED
	for _, t := range e.GetTransactions() {
		for _, c := range t.GetChanges() {
			if kind != pb.Kind_KIND_UNSPECIFIED && c.GetKind() != kind {
				return "mixed"
			}
			kind = c.GetKind()
		}
	}
	return catalog.Collection(kind)
}
