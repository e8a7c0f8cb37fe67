package forward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// What can go wrong between a request and its answer.
var (
	// ErrNotSent says that not one byte of a request reached the upstream, so that
	// it may be sent again elsewhere.
	ErrNotSent = errors.New("nothing was sent")
	// ErrTooManyConns says that a target has as many connections as it may have.
	ErrTooManyConns = errors.New("too many connections")
	// ErrTruncated says that a request's body ended before its length.
	ErrTruncated = errors.New("the request body ended early")
	// ErrTooLarge says that a request's body is longer than its Api allows.
	ErrTooLarge = errors.New("the request body is too large")
	// ErrSwitched says that an upstream switched protocols unasked.
	ErrSwitched = errors.New("the upstream switched protocols unasked")
	// ErrInterim says that an upstream sent more than MaxInterim 1xx responses.
	ErrInterim = errors.New("too many interim responses")
)

const (
	// MaxHeader bounds an answer's header section in bytes.
	MaxHeader = 16 << 10
	// MaxInterim bounds the 1xx responses before the final one.
	MaxInterim = 8
)

// Unreachable is the fault of a connection that could not be opened.
func Unreachable(err error) error {
	d := denial.UpstreamUnreachable.Because(cause.UpstreamConnect)
	switch {
	case errors.Is(err, ErrTooManyConns):
		d = denial.UpstreamUnreachable.Because(cause.UpstreamBusy)
	case IsTimeout(err):
		d = denial.UpstreamTimeout.Because(cause.UpstreamConnectTimeout)
	}
	return fmt.Errorf("%w: %w: %w", ErrNotSent, d, err)
}

// SendFault is the fault of a request that could not be sent, in whole or in part.
func SendFault(sent bool, err error) error {
	switch {
	case IsTimeout(err):
		return fmt.Errorf("send the request: %w: %w", denial.UpstreamTimeout.Because(cause.UpstreamSendTimeout), err)
	case !sent:
		return fmt.Errorf("send the request: %w: %w: %w", ErrNotSent, denial.UpstreamUnreachable.Because(cause.UpstreamSend), err)
	}
	return fmt.Errorf("send the request: %w: %w", denial.UpstreamUnreachable.Because(cause.UpstreamSend), err)
}

// AnswerFault is the fault of a request that was sent and not answered as it should.
func AnswerFault(err error) error {
	if IsTimeout(err) {
		return fmt.Errorf("await the answer: %w: %w", denial.UpstreamTimeout.Because(cause.UpstreamAnswerTimeout), err)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read the answer: %w: %w", denial.UpstreamUnreachable.Because(cause.UpstreamAnswer), err)
}

// ClientFault is the fault of a request whose body did not arrive.
func ClientFault(err error) error {
	d := denial.BadRequest.Because(cause.BodyBroken)
	switch {
	case errors.Is(err, ErrTooLarge):
		d = denial.RequestTooLarge
	case IsTimeout(err):
		d = denial.RequestTimeout.Because(cause.BodyTimeout)
	}
	return fmt.Errorf("read the request body: %w: %w", d, err)
}

// IsTimeout reports whether err says that time was up.
func IsTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
