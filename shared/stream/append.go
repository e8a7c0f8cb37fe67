package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	idHeader = "Portcullis-Id" // not Nats-Msg-Id, see duplicates

	appendTimeout = 15 * time.Second // longer than an election
	electionPause = 100 * time.Millisecond

	maxTopic = 32
	maxID    = 128

	// The server has two ways of saying that the expected sequence is not the last;
	// the second concerns appends that are still on their way to the replicas.
	wrongLastSequence         jetstream.ErrorCode = 10071
	wrongLastSequenceInFlight jetstream.ErrorCode = 10164
)

// MaxSize returns how many bytes one append may carry: what the connected server
// accepts, at most 8 MiB, less some room for headers.
func (l *Log) MaxSize() int {
	limit := l.bus.conn.MaxPayload()
	if limit <= 0 { // not connected yet
		limit = maxPayload
	}
	return int(min(limit, maxPayload)) - headroom
}

// Append adds one message after the one with sequence last, and returns its
// sequence, last+1. The topic names what it is about, for people who look at the
// stream: 1 to 32 of [A-Za-z0-9_-]. The id (1 to 128 printable characters without
// spaces) comes back in [Message.ID], by which a writer knows its own message.
//
// ErrConflict: last is not the last sequence; nothing was appended. ErrTooLarge,
// ErrUnavailable: nothing was appended. ErrUnknown: the answer was lost; the
// message may stand at last+1, may still arrive there, or neither. Any message
// that a follower sees at last+1 settles it; so does repeating the append, which
// ends in ErrConflict if it had happened.
//
// While the log has no leader, as in an election, Append keeps trying until ctx
// ends, or for 15 s if ctx has no end. What was on its way to a leader that dies
// is never answered: give ctx a few seconds and repeat the append, rather than
// wait for such an answer for long.
func (l *Log) Append(ctx context.Context, last uint64, topic string, data []byte, id string) (uint64, error) {
	sequence, err := l.append(ctx, last, topic, data, id)
	if err != nil {
		return 0, fmt.Errorf("append after sequence %d: %w", last, err)
	}
	return sequence, nil
}

func (l *Log) append(ctx context.Context, last uint64, topic string, data []byte, id string) (uint64, error) {
	if !plainTopic(topic) {
		return 0, fmt.Errorf("topic %q: 1 to %d of [A-Za-z0-9_-] are allowed", topic, maxTopic)
	}
	if !printable(id) {
		return 0, fmt.Errorf("id %q: 1 to %d printable characters are allowed", id, maxID)
	}
	if limit := l.MaxSize(); len(data) > limit {
		return 0, fmt.Errorf("%w: %d bytes, %d are allowed", ErrTooLarge, len(data), limit)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, appendTimeout)
		defer cancel()
	}
	ctx, done := l.bus.untilCut(ctx)
	defer done()
	msg := &nats.Msg{
		Subject: l.subject + topic,
		Header: nats.Header{
			idHeader:                        []string{id},
			jetstream.ExpectedLastSeqHeader: []string{strconv.FormatUint(last, 10)},
		},
		Data: data,
	}
	for {
		ack, err := l.bus.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
		if !errors.Is(err, jetstream.ErrNoStreamResponse) {
			return l.outcome(ctx, last, ack, err)
		}
		select { // nobody was there to receive it
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w: %w", ErrUnavailable, err, context.Cause(ctx))
		case <-time.After(electionPause):
		}
	}
}

// outcome decides which outcomes are certain.
func (l *Log) outcome(ctx context.Context, last uint64, ack *jetstream.PubAck, err error) (uint64, error) {
	api, refused := errors.AsType[*jetstream.APIError](err)
	switch {
	case err == nil && ack.Sequence == last+1 && ack.Stream == l.identity.Stream:
		return ack.Sequence, nil
	case err == nil:
		return 0, fmt.Errorf("%w: stream %s acknowledged sequence %d", ErrUnknown, ack.Stream, ack.Sequence)
	case refused && (api.ErrorCode == wrongLastSequence || api.ErrorCode == wrongLastSequenceInFlight):
		return 0, fmt.Errorf("%w: %w", ErrConflict, err)
	case refused && api.Code < 500:
		return 0, err
	case errors.Is(err, nats.ErrMaxPayload):
		return 0, fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return 0, fmt.Errorf("%w: not connected", ErrUnavailable) // refused before anything was sent
	case ctx.Err() != nil:
		return 0, fmt.Errorf("%w: %w", ErrUnknown, context.Cause(ctx))
	default:
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
}

func plainTopic(topic string) bool {
	if topic == "" || len(topic) > maxTopic {
		return false
	}
	for _, c := range topic {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

func printable(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for _, c := range id {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
