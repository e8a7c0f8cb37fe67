package stream

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// At asks the leader for the message at a sequence. It is for a look at single
// messages; Follow reads the log.
func (l *Log) At(ctx context.Context, sequence uint64) (Message, error) {
	m, err := l.at(ctx, sequence)
	if err != nil {
		return Message{}, fmt.Errorf("read the log at sequence %d: %w", sequence, err)
	}
	return m, nil
}

func (l *Log) at(ctx context.Context, sequence uint64) (Message, error) {
	if _, err := l.ours(ctx); err != nil {
		return Message{}, err
	}
	ctx, done := l.bus.asking(ctx, requestTimeout)
	defer done()
	s, err := l.bus.js.Stream(ctx, l.identity.Stream)
	if err != nil {
		return Message{}, unavailable(ctx, err)
	}
	var raw *jetstream.RawStreamMsg
	if raw, err = s.GetMsg(ctx, sequence); err != nil {
		return Message{}, unavailable(ctx, err)
	}
	return Message{Sequence: raw.Sequence, Time: raw.Time, ID: raw.Header.Get(idHeader), Data: raw.Data}, nil
}
