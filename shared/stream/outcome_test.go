package stream

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What servers answer that cannot be brought about at will.
func TestOutcome(t *testing.T) {
	t.Parallel()
	log := newLog(nil, 1, 1, "id")
	other := errors.New("")
	for name, test := range map[string]struct {
		ack  *jetstream.PubAck
		err  error
		want error
	}{
		"wrong last sequence":              {nil, &jetstream.APIError{Code: 400, ErrorCode: 10071}, ErrConflict},
		"wrong last sequence in flight":    {nil, &jetstream.APIError{Code: 400, ErrorCode: 10164}, ErrConflict},
		"another refusal":                  {nil, &jetstream.APIError{Code: 400, ErrorCode: 10054}, other},
		"a failure of the server":          {nil, &jetstream.APIError{Code: 503, ErrorCode: 10077}, ErrUnknown},
		"an answer that cannot be read":    {nil, jetstream.ErrInvalidJSAck, ErrUnknown},
		"an acknowledgement of some other": {&jetstream.PubAck{Stream: "PORTCULLIS-000001", Sequence: 7}, nil, ErrUnknown},
		"another stream's":                 {&jetstream.PubAck{Stream: "OTHER", Sequence: 6}, nil, ErrUnknown},
		"too large for a new server":       {nil, nats.ErrMaxPayload, ErrTooLarge},
		"success":                          {&jetstream.PubAck{Stream: "PORTCULLIS-000001", Sequence: 6}, nil, nil},
	} {
		_, err := log.outcome(context.Background(), 5, test.ack, test.err)
		known := errors.Is(err, ErrConflict) || errors.Is(err, ErrUnknown) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrUnavailable)
		if test.want == other && (err == nil || known) || test.want != other && !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}
