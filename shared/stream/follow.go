package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	// A batch is what is there, up to this.
	batchMessages = 512
	batchBytes    = 8 << 20

	// What the server may have on its way to one follower.
	pullMessages = 512
	pullBytes    = 16 << 20 // at least one message of the largest size
	pullExpiry   = 30 * time.Second
	pullSilence  = 2 * time.Second // between signs of life of the server

	consumerInactive = 60 * time.Second // after which the server forgets a consumer
	consumerGoodbye  = time.Second
	maxConsumerName  = 128 // of our part of it

	renewMinimum = 20 * time.Millisecond
	renewMaximum = 2 * time.Second
	renewCalm    = 10 * time.Second // a consumer that lived longer was a good one
)

// Message is one message of the log.
type Message struct {
	Sequence uint64
	Time     time.Time // when the log's leader stored it
	ID       string    // as given to Append
	Data     []byte    // the receiver's to keep
}

// Follow hands every message after the sequence `after` to fn, in order and
// without a gap, in batches of what is already there. It returns when ctx ends
// (with its error), when fn fails (with fn's error, as it is), or when the log
// cannot be followed any further:
//
//   - ErrTooOld: message after+1 is no longer, or never was, in the log;
//   - ErrRolledBack: the log ends before the position reached, or its last
//     message is not the one that was delivered;
//   - ErrReplaced: the log is gone, was created again, or a later epoch exists;
//   - *GapError: the log has a hole.
//
// Outages are not errors: Follow waits, retries and resumes where it was. These
// checks are made at the start, on each resumption and about every 3 s.
// Follow calls fn from one goroutine. When it returns, all goroutines it started have ended.
func (l *Log) Follow(ctx context.Context, after uint64, fn func([]Message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{
		log:     l,
		fn:      fn,
		unfit:   make(chan error, 1),
		stalled: make(chan uint64, 1),
	}
	f.position.Store(after)
	defer f.background.Wait()
	defer cancel()
	f.background.Go(func() { f.watch(ctx) })

	for failures := 0; ; failures++ {
		began := time.Now()
		err := f.consume(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		again, ok := errors.AsType[*renewalError](err)
		if !ok {
			return err
		}
		if l.bus.conn.IsClosed() {
			return fmt.Errorf("follow after sequence %d: %w: the connection was closed", f.position.Load(), ErrUnavailable)
		}
		if time.Since(began) > renewCalm {
			failures = 0
		}
		f.report(ctx, again, failures)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(jittered(renewMinimum, renewMaximum, failures)):
		}
	}
}

// report counts a renewal, and logs the first of a row.
func (f *follower) report(ctx context.Context, again *renewalError, failures int) {
	f.log.bus.renewals.Add(1)
	level := slog.LevelDebug
	if failures == 0 {
		level = slog.LevelInfo
	}
	f.log.bus.logger.LogAttrs(ctx, level, "log consumer is renewed",
		slog.Uint64("after", f.position.Load()), slog.Any("cause", again.cause))
}

// renewalError is the error of a consumer that is to be replaced by another.
type renewalError struct{ cause error }

func (r *renewalError) Error() string { return r.cause.Error() }

type follower struct {
	log *Log
	fn  func([]Message) error

	position   atomic.Uint64 // the last sequence that fn has taken
	unfit      chan error    // why the log can be followed no further, from the watch
	stalled    chan uint64   // the position at which the watch saw nothing arrive
	background sync.WaitGroup

	lastTime  time.Time // of the message at position; zero: not known
	delivered uint64    // messages of the present consumer
}

// consume follows with one consumer, until it is to be replaced or all is over.
func (f *follower) consume(ctx context.Context) error {
	if _, err := f.log.inspectTwice(ctx, f.position.Load()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn := f.log.bus.conn
	status := conn.StatusChanged(nats.CONNECTED)
	defer conn.RemoveStatusListener(status)

	consumer, err := f.create(ctx)
	if err != nil {
		return &renewalError{fmt.Errorf("create a consumer: %w", err)}
	}
	defer f.discard(ctx, consumer)
	arrived := make(chan jetstream.Msg, pullMessages)
	lost := make(chan error, 1)
	pull, err := consumer.Consume(
		func(msg jetstream.Msg) {
			select {
			case arrived <- msg:
			case <-ctx.Done():
			}
		},
		jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(pullSilence),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			select {
			case lost <- err:
			default: // one reason is enough
			}
		}),
	)
	if err != nil {
		return &renewalError{fmt.Errorf("start a consumer: %w", err)}
	}
	defer stop(pull)
	defer cancel() // before stop, which waits for the handler
	return f.loop(ctx, arrived, lost, status)
}

func (f *follower) loop(ctx context.Context, arrived <-chan jetstream.Msg, lost <-chan error, status <-chan nats.Status) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-f.unfit:
			return err
		case err := <-lost:
			return &renewalError{err}
		case <-status:
			// What was on its way to us when the connection was lost never arrives.
			return &renewalError{errCut}
		case position := <-f.stalled:
			if position == f.position.Load() && len(arrived) == 0 {
				return &renewalError{errors.New("the consumer delivers nothing, although there is more")}
			}
		case msg := <-arrived:
			if err := f.deliver(msg, arrived); err != nil {
				return err
			}
		}
	}
}

// deliver hands over msg and what else has arrived in order, and then reports
// what was not in order.
func (f *follower) deliver(msg jetstream.Msg, arrived <-chan jetstream.Msg) error {
	var batch []Message
	position, size := f.position.Load(), 0
	var fault error
collecting:
	for {
		var m Message
		if m, fault = f.check(msg, position); fault != nil {
			break
		}
		if m.Sequence > position { // else it is the one we had, seen again for comparison
			batch = append(batch, m)
			position = m.Sequence
			size += len(m.Data)
		}
		if len(batch) == batchMessages || size >= batchBytes {
			break
		}
		select {
		case msg = <-arrived:
		default:
			break collecting
		}
	}
	if len(batch) > 0 {
		if err := f.fn(batch); err != nil {
			return err
		}
		f.lastTime = batch[len(batch)-1].Time
		f.position.Store(position)
	}
	return fault
}

// check returns msg as a Message, or an error if it is not what follows position.
func (f *follower) check(msg jetstream.Msg, position uint64) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, &renewalError{fmt.Errorf("read a message's position: %w", err)}
	}
	if f.delivered++; meta.Sequence.Consumer != f.delivered {
		return Message{}, &renewalError{errors.New("messages were lost on their way")}
	}
	if !strings.HasPrefix(msg.Subject(), f.log.subject) {
		return Message{}, fmt.Errorf("follow after sequence %d: %w: sequence %d has subject %s",
			position, ErrReplaced, meta.Sequence.Stream, msg.Subject())
	}
	sequence := meta.Sequence.Stream
	again := f.delivered == 1 && sequence == position && !f.lastTime.IsZero()
	switch {
	case again && !meta.Timestamp.Equal(f.lastTime):
		return Message{}, fmt.Errorf("follow after sequence %d: %w: it was stored at %s there, and at %s here",
			position, ErrRolledBack, meta.Timestamp.UTC(), f.lastTime.UTC())
	case !again && sequence != position+1:
		return Message{}, fmt.Errorf("follow after sequence %d: %w", position, &GapError{After: position, Got: sequence})
	}
	return Message{
		Sequence: sequence,
		Time:     meta.Timestamp,
		ID:       msg.Headers().Get(idHeader),
		Data:     msg.Data(),
	}, nil
}

// create makes a consumer that begins with the last message we have, if we know
// when it was stored, and with the one after it otherwise.
func (f *follower) create(ctx context.Context) (jetstream.Consumer, error) {
	ctx, done := f.log.bus.asking(ctx, requestTimeout)
	defer done()
	start := f.position.Load()
	if f.lastTime.IsZero() {
		start++
	}
	f.delivered = 0
	return f.log.bus.js.CreateConsumer(ctx, f.log.identity.Stream, jetstream.ConsumerConfig{
		Name:              f.log.bus.name[:min(len(f.log.bus.name), maxConsumerName)] + "-" + nuid.Next(),
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       start,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: consumerInactive,
		Replicas:          1,
		MemoryStorage:     true,
	})
}

// discard deletes a consumer, so that the server need not keep it for a minute.
func (f *follower) discard(ctx context.Context, consumer jetstream.Consumer) {
	bus := f.log.bus
	if !bus.Connected() {
		return
	}
	f.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), consumerGoodbye)
		defer cancel()
		_ = bus.js.DeleteConsumer(ctx, f.log.identity.Stream, consumer.CachedInfo().Name)
	})
}

// stop ends a consumer on our side.
func stop(pull jetstream.ConsumeContext) {
	pull.Stop()
	select {
	case <-pull.Closed():
	case <-time.After(consumerGoodbye): // it has no more to say to us in any case
	}
}
