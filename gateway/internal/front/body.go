package front

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// SmallBody is the length in bytes up to which a request's body must come within
// the time for its header section. Longer ones have Patience.
const SmallBody = 16 << 10

// Patience bounds the time that a client may take for a long body.
type Patience struct {
	// Stall is how long it may take for the next piece.
	Stall time.Duration
	// Rate is how many bytes per second it must send, on average, beyond the first
	// Stall.
	Rate int
}

// deadliner is a client's connection.
type deadliner interface{ SetReadDeadline(t time.Time) error }

// Body reads a request's body from the client's connection, which gets the time
// that Patience has for each piece. Set it up with Reset.
type Body struct {
	patience Patience
	from     io.Reader
	client   deadliner
	start    time.Time // zero: the deadline that is in force holds
	total    int64
}

// Reset makes b a body of so many bytes (or of an exchange.UnknownLength) from r,
// which reads from client.
func (b *Body) Reset(p Patience, r io.Reader, length int64, client deadliner) {
	*b = Body{patience: p, from: r, client: client}
	if length < 0 || length > SmallBody {
		b.start = time.Now()
	}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if !b.start.IsZero() {
		if err := b.client.SetReadDeadline(b.limit()); err != nil {
			return 0, err
		}
	}
	n, err := b.from.Read(p)
	b.total += int64(n)
	return n, err
}

// limit is when the next piece must be there: after Stall, but not later than a
// client at Rate would be done with what has come.
func (b *Body) limit() time.Time {
	atRate := time.Duration(float64(b.total) / float64(b.patience.Rate) * float64(time.Second))
	limit := b.start.Add(b.patience.Stall + atRate)
	if stalled := time.Now().Add(b.patience.Stall); stalled.Before(limit) {
		return stalled
	}
	return limit
}

// maxCollected bounds an answer's body of unknown length, in bytes, for a client of
// HTTP/1.0, which cannot be told its end but by Content-Length.
const maxCollected = 8 << 20

var errTooLong = errors.New("the response body is too long for an HTTP/1.0 client")

// Collect reads an answer's whole body, for a client that must be told its length.
func Collect(body io.Reader) ([]byte, error) {
	whole, err := io.ReadAll(io.LimitReader(body, maxCollected+1))
	if err == nil && len(whole) > maxCollected {
		err = errTooLong
	}
	if err != nil {
		return nil, fmt.Errorf("collect the answer: %w", err)
	}
	return whole, nil
}
