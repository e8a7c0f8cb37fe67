package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	watchPeriod = 2500 * time.Millisecond // plus up to 1 s, so that a fleet does not ask at once
	watchJitter = time.Second

	suspicions      = 3 // times that a suspicion must be confirmed
	suspicionPeriod = 400 * time.Millisecond
)

// watch looks at the log from time to time, for what a consumer does not notice.
func (f *follower) watch(ctx context.Context) {
	stalledAt, stalled := uint64(0), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchPeriod + rand.N(watchJitter)): //nolint:gosec // a pause is no secret
		}
		position := f.position.Load()
		last, err := f.log.inspectTwice(ctx, position)
		if err == nil {
			err = f.log.superseded(ctx, position)
		}
		if fatal(err) {
			f.unfit <- err
			return
		}
		behind := err == nil && last > position
		if behind && stalled && position == stalledAt {
			select {
			case f.stalled <- position:
			default: // not yet read
			}
		}
		stalledAt, stalled = position, behind
	}
}

// fatal reports whether an error means that the log can be followed no further.
func fatal(err error) bool {
	return errors.Is(err, ErrReplaced) || errors.Is(err, ErrRolledBack) || errors.Is(err, ErrTooOld)
}

// inspectTwice is inspect, but believes bad news that an election or a restart
// could explain only when it hears them several times in a row.
func (l *Log) inspectTwice(ctx context.Context, position uint64) (last uint64, err error) {
	for range suspicions {
		last, err = l.inspect(ctx, position)
		if !fatal(err) || errors.Is(err, ErrTooOld) {
			return last, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(suspicionPeriod):
		}
	}
	return last, err
}

// inspect asks the leader whether the log can be followed from position on, and
// for its last sequence. An error that is not fatal is a *renewalError.
func (l *Log) inspect(ctx context.Context, position uint64) (last uint64, err error) {
	info, err := l.ours(ctx)
	if err != nil {
		err = fmt.Errorf("follow after sequence %d: %w", position, err)
		if !fatal(err) {
			err = &renewalError{err}
		}
		return 0, err
	}
	first, last := bounds(info)
	switch {
	case last < position:
		return last, fmt.Errorf("follow after sequence %d: %w: it ends at %d", position, ErrRolledBack, last)
	case first > position+1:
		return last, fmt.Errorf("follow after sequence %d: %w: it begins at %d", position, ErrTooOld, first)
	}
	return last, nil
}

// superseded looks for a later epoch. Being unable to look is no error.
func (l *Log) superseded(ctx context.Context, position uint64) error {
	newest, err := l.bus.newestEpoch(ctx)
	if err == nil && newest > l.identity.Epoch {
		return fmt.Errorf("follow after sequence %d of epoch %d: %w: epoch %d has begun",
			position, l.identity.Epoch, ErrReplaced, newest)
	}
	return nil
}
