// Package exchange is what the parts of a request's way through the gateway hand
// to each other. A front makes an Exchange of what its HTTP stack received, the
// pipeline decides about the request (Forward), and a forwarder sends it to its
// Upstream and answers the Exchange.
//
// It knows no HTTP stack: every front works with every forwarder.
package exchange

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/compile"
)

// Exchange is one request with the way to answer it. It belongs to one goroutine,
// and to the front: nobody keeps it, or parts of it, after the request.
type Exchange struct {
	// Request is the request's head as decisions see it.
	Request request.Request
	// Fields is the header section as the client sent it; Request.Header reads it.
	Fields *request.Block
	// Protocol is what the client speaks.
	Protocol Protocol
	// Length is the body's in bytes, or NoBody or UnknownLength.
	Length int64
	// Body yields the body; nil: there is none. The front bounds the time that a
	// client takes for it: what comes too slowly ends in os.ErrDeadlineExceeded. A
	// client that waits for 100-continue gets it before the first Read returns.
	Body io.Reader
	// Via are the trusted proxies between the client and us, from the one next to
	// us to the one next to the client.
	Via []netip.Addr
	// ID is what X-Request-Id says, upstream and in the answer.
	ID []byte
	// Traceparent and Tracestate are the upstream's fields of these names (W3C Trace
	// Context), in place of the client's; without a Traceparent the client's go on.
	Traceparent, Tracestate []byte
	// Asked is filled by the forwarder.
	Asked Asked
	// Answer takes the answer.
	Answer Answer
}

// Asked is who was asked for the answer.
type Asked struct {
	// Target is the host and port of the last target that was tried; empty: none was.
	Target string
	// At is when that began, with the opening of a connection if one was needed.
	At time.Time
}

// Protocol is a version of HTTP.
type Protocol uint8

// The protocols that fronts speak.
const (
	HTTP10 Protocol = iota + 1
	HTTP11
)

// What a Length can be in place of a number of bytes.
const (
	// UnknownLength is that of a body which ends where its framing says so.
	UnknownLength = -1
	// NoBody: there is no body, and no field that would frame one.
	NoBody = -2
)

// Answer takes the answer to a request: Head first, then its body at once (Bytes)
// or as it comes (Stream), or neither if it has none. Hijack follows a Head with
// status 101. Nothing needs to be called when an error is returned to the front
// instead.
type Answer interface {
	// Head copies what it is given.
	Head(h *Head)
	// Bytes copies body, which is Head's Length long.
	Bytes(body []byte)
	// Stream makes body the answer's; the front closes it, whatever happens. It may
	// read it before or after Stream returns, and cuts the client's connection when
	// Read fails or ends before Head's Length: the client must not take a part for
	// the whole. An error says that nothing was answered, and can be returned to
	// the front.
	Stream(body io.ReadCloser) error
	// Hijack lets serve have the client's connection after the head was sent: now or
	// when the request's goroutine returns to the front. The connection is closed
	// after serve returns. ErrNoHijack: the protocol has no connection of its own
	// for a request.
	Hijack(serve func(client net.Conn)) error
}

// Head is an answer without its body.
type Head struct {
	Status int
	// Reason is the phrase behind the status, for fronts that have one; empty: the
	// usual.
	Reason []byte
	// Length is the body's in bytes, or UnknownLength, or NoBody. For an answer to
	// HEAD, and for 304, it is the one that a GET would have got.
	Length int64
	// Fields are the header fields but for those that frame or concern the
	// connection, which are the front's.
	Fields []Field
}

// Field is one header field.
type Field struct{ Name, Value []byte }

// ErrNoHijack says that a front cannot give its client's connection away.
var ErrNoHijack = errors.New("the client's connection cannot be taken over")

// Upstream is where an Api's requests go, prepared by a forwarder for its
// settings. The pipeline puts it into its decision (Forward.To), and the front
// calls it there.
type Upstream interface {
	// Check refuses what Send would refuse without having read of the body:
	// denial.BadRequest, denial.RequestTooLarge. A front asks before it lets a
	// client send its body.
	Check(x *Exchange, f *Forward) error
	// Send sends the request on and answers it. If there is no answer, its error
	// is a *denial.Denial with its cause.
	Send(x *Exchange, f *Forward) error
	// HasSandbox reports whether there are sandbox targets.
	HasSandbox() bool
	// Preview returns the path that the upstream gets, without the path of its own
	// URL and without the query.
	Preview(f *Forward) string
}

// Prepare makes an Upstream of compiled settings.
type Prepare func(settings *compile.Upstream) Upstream
