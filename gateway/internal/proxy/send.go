package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/gateway/internal/socket"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

const (
	// smallBody is how long a request body may be to be read before a
	// connection is chosen. It can be sent again if nothing of it was sent.
	smallBody = 16 << 10
	// smallResponse is how long a response body may be to be read at once.
	smallResponse = 64 << 10
	// maxInterim bounds the 1xx responses before the final one.
	maxInterim = 8
)

// scratch is the memory of one request.
type scratch struct {
	out  []byte // request line, header section, and a small body
	body []byte // a small body, until out is built
}

// Send sends a request upstream and puts the answer into in.Ctx.Response, whose
// body may then still be streaming. The request is tried on another connection
// or another target only if nothing of it was sent before.
//
// The error is a *denial.Denial with its cause: BadRequest, RequestTooLarge,
// RequestTimeout, UpstreamUnreachable or UpstreamTimeout. The response is
// untouched then.
func (u *Upstream) Send(in *Inbound, f *Forward) error {
	if err := checkConnection(in, f); err != nil {
		return err
	}
	if err := u.CheckLength(in); err != nil {
		return err
	}
	length := bodyLength(in)
	x, _ := u.pool.scratches.Get().(*scratch)
	if x == nil {
		x = new(scratch)
	}
	defer u.pool.scratches.Put(x)

	x.body = x.body[:0]
	if 0 < length && length <= smallBody {
		var err error
		if x.body, err = readSmall(x.body, in.Ctx, length); err != nil {
			return clientFault(err)
		}
	}
	now := socket.Now()
	err := errNotSent
	targets := &u.production
	if f.Sandbox {
		targets = &u.sandbox
	}
	targets.order(now, func(s *server) bool {
		x.out = u.appendHead(x.out[:0], s, in, f, length)
		x.out = append(x.out, x.body...)
		if err = u.try(x, s, in, length, now); !errors.Is(err, errNotSent) {
			return false
		}
		now = socket.Now() // what this server took is not taken from the next
		return true
	})
	return err
}

// CheckLength refuses a request that announces a longer body than the upstream
// takes, with denial.RequestTooLarge.
func (u *Upstream) CheckLength(in *Inbound) error {
	if int64(bodyLength(in)) > u.maxBody {
		return denial.RequestTooLarge
	}
	return nil
}

// bodyLength returns the length of the request's body: -1 chunked, -2 none.
func bodyLength(in *Inbound) int {
	switch {
	case in.Block.Count(request.TransferEncoding) > 0:
		return -1
	case in.Block.Count(request.ContentLength) > 0:
		return in.Ctx.Request.Header.ContentLength()
	}
	return -2
}

// try sends the request to one server, over an idle connection that passes the
// guard or a new one.
func (u *Upstream) try(x *scratch, s *server, in *Inbound, length int, now int64) error {
	for {
		c := s.take()
		if c == nil {
			var err error
			if c, err = s.dial(); err != nil {
				return unreachable(err)
			}
			now = socket.Now() // the response timeout begins after the connection
		}
		err := u.once(x, s, c, in, length, now)
		if err == nil {
			return nil
		}
		s.drop(c)
		if !c.reused || !errors.Is(err, errNotSent) {
			return err
		}
	}
}

// once sends the request over c and reads the answer. On success the
// connection is kept or belongs to the response's body; else it is the caller's.
func (u *Upstream) once(x *scratch, s *server, c *conn, in *Inbound, length int, now int64) error {
	if err := c.setDue(now + int64(u.responseTimeout)); err != nil {
		return fmt.Errorf("%w: %w: %w", errNotSent, denial.UpstreamUnreachable, err)
	}
	streamed := length == -1 || length > smallBody
	if c.canArm() && !streamed {
		c.arm(x.out)
	} else {
		if c.reused && !c.check() {
			return fmt.Errorf("%w: %w: %w", errNotSent, denial.UpstreamUnreachable, socket.ErrNotQuiet)
		}
		if err := u.write(x, c, in, length, streamed); err != nil && !c.answersEarly(err) {
			return err
		}
	}
	br := u.pool.reader(c)
	if err := u.receive(br, s, c, in); err != nil {
		u.pool.release(br)
		return err
	}
	return nil
}

// write sends the request without arming.
func (u *Upstream) write(x *scratch, c *conn, in *Inbound, length int, streamed bool) error {
	if c.reused && !c.plain { // check moved the read deadline
		if err := c.setDue(socket.Now() + int64(u.responseTimeout)); err != nil {
			return fmt.Errorf("%w: %w: %w", errNotSent, denial.UpstreamUnreachable, err)
		}
	}
	if n, err := c.Write(x.out); err != nil {
		return sendFault(n > 0, err)
	}
	if !streamed {
		return nil
	}
	return u.writeBody(c, in, length)
}

// receive reads the answer's header section and, if it is short, its body.
func (u *Upstream) receive(br *bufio.Reader, s *server, c *conn, in *Inbound) error {
	armed := c.send != nil
	if _, err := br.Peek(1); err != nil {
		if armed && !c.sent {
			return sendFault(false, err)
		}
		return answerFault(err)
	}
	resp := &in.Ctx.Response
	resp.Header.SetNoDefaultContentType(true)
	resp.Header.DisableNormalizing() // names go on as they came
	if err := readHeader(br, &resp.Header); err != nil {
		resp.Reset()
		return answerFault(err)
	}
	reusable := cleanResponse(&resp.Header)
	resp.SkipBody = in.Ctx.IsHead()
	length := resp.Header.ContentLength()
	status := resp.StatusCode()
	switch {
	case resp.SkipBody, status == fasthttp.StatusNoContent, status == fasthttp.StatusNotModified, length == 0:
		// -2 made the parser say "close", although there is no body to end by it.
	case 0 < length && length <= smallResponse:
		if br.Buffered() < length {
			if err := c.socket.SetReadDue(socket.Now() + int64(u.responseTimeout)); err != nil {
				return answerFault(err)
			}
		}
		if err := resp.ReadBody(br, 0); err != nil {
			resp.Reset()
			return answerFault(err)
		}
	case length == -1 && takeChunks(br, resp):
	default:
		return u.stream(br, s, c, in, length, reusable)
	}
	in.Ended = u.finish(br, s, c, reusable)
	return nil
}

// finish ends an exchange whose answer has been read completely, and tells when.
func (u *Upstream) finish(br *bufio.Reader, s *server, c *conn, reusable bool) (now int64) {
	now = socket.Now()
	clean := br.Buffered() == 0
	u.pool.release(br)
	if clean && reusable && !c.broken && c.socket.ByHand() {
		s.keep(c, now)
	} else {
		s.drop(c)
	}
	return now
}

// readHeader reads the final response's header section; interim ones are dropped.
func readHeader(br *bufio.Reader, h *fasthttp.ResponseHeader) error {
	for range maxInterim {
		if err := h.Read(br); err != nil {
			return err
		}
		switch status := h.StatusCode(); {
		case status == fasthttp.StatusSwitchingProtocols:
			return errSwitched
		case status >= 200 || status < 100:
			h.SetProtocol(nil) // ours, not the upstream's
			return nil
		}
	}
	return errInterim
}

// unreachable is the fault of a connection that could not be opened.
func unreachable(err error) error {
	d := denial.UpstreamUnreachable
	if isTimeout(err) {
		d = denial.UpstreamTimeout
	}
	return fmt.Errorf("%w: %w: %w", errNotSent, d, err)
}

// sendFault is the fault of a request that could not be sent, in whole or in part.
func sendFault(sent bool, err error) error {
	switch {
	case !sent && !isTimeout(err):
		return fmt.Errorf("send the request: %w: %w: %w", errNotSent, denial.UpstreamUnreachable, err)
	case isTimeout(err):
		return fmt.Errorf("send the request: %w: %w", denial.UpstreamTimeout, err)
	}
	return fmt.Errorf("send the request: %w: %w", denial.UpstreamUnreachable, err)
}

// answerFault is the fault of a request that was sent and not answered as it should.
func answerFault(err error) error {
	if isTimeout(err) {
		return fmt.Errorf("await the answer: %w: %w", denial.UpstreamTimeout, err)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read the answer: %w: %w", denial.UpstreamUnreachable, err)
}

// clientFault is the fault of a request whose body did not arrive.
func clientFault(err error) error {
	d := denial.BadRequest
	switch {
	case errors.Is(err, errTooLarge):
		d = denial.RequestTooLarge
	case isTimeout(err):
		d = denial.RequestTimeout
	}
	return fmt.Errorf("read the request body: %w: %w", d, err)
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
