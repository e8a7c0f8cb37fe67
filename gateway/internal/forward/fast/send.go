package fast

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward"
)

const (
	// smallBody is how long a request body may be to be read before a
	// connection is chosen. It can be sent again if nothing of it was sent.
	smallBody = 16 << 10
	// smallAnswer is how long an answer's body may be to be read at once.
	smallAnswer = 64 << 10
)

var (
	errBodyRefused = errors.New("the upstream takes no more of the request body")
	errNotQuiet    = errors.New("the idle connection is not quiet")
)

// scratch is the memory of one request.
type scratch struct {
	out    []byte // request line, header section, and a small body
	body   []byte // a small body: the request's, until out is built, then the answer's
	header fasthttp.ResponseHeader
	head   exchange.Head
}

// Send implements exchange.Upstream. The request is tried on another connection or
// another target only if nothing of it was sent before.
func (u *Upstream) Send(x *exchange.Exchange, f *exchange.Forward) error {
	if err := u.Check(x, f); err != nil {
		return err
	}
	m := u.pool.scratch()
	defer u.pool.scratches.Put(m)
	m.body = m.body[:0]
	if 0 < x.Length && x.Length <= smallBody {
		var err error
		if m.body, err = readSmall(m.body, x); err != nil {
			return forward.ClientFault(err)
		}
	}
	targets := &u.production
	if f.Sandbox {
		targets = &u.sandbox
	}
	err := forward.ErrNotSent
	targets.Order(func(s *server) bool {
		m.out = append(u.appendHead(m.out[:0], s, x, f), m.body...)
		err = u.try(m, s, x)
		return errors.Is(err, forward.ErrNotSent)
	})
	return err
}

// appendHead appends the request line and header section for s.
func (u *Upstream) appendHead(dst []byte, s *server, x *exchange.Exchange, f *exchange.Forward) []byte {
	dst = append(dst, x.Request.Method...)
	dst = append(dst, ' ')
	dst = u.AppendTarget(dst, s.says.Prefix, f)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = u.AppendHost(dst, s.says, x)
	dst = append(dst, '\r', '\n')
	switch {
	case x.Length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, x.Length, 10)
		dst = append(dst, '\r', '\n')
	case x.Length == exchange.UnknownLength:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	dst = forward.AppendFields(dst, x, f)
	return append(dst, '\r', '\n')
}

// try sends the request to one server, over an idle connection that passes the
// guard or a new one.
func (u *Upstream) try(m *scratch, s *server, x *exchange.Exchange) error {
	for {
		x.Asked = exchange.Asked{Target: s.address}
		c := s.take()
		if c == nil {
			x.Asked.At = time.Now()
			var err error
			if c, err = s.dial(); err != nil {
				return forward.Unreachable(err)
			}
		}
		err := u.guarded(m, s, c, x)
		if err == nil {
			return nil
		}
		s.drop(c)
		if !c.reused || !errors.Is(err, forward.ErrNotSent) {
			return err
		}
	}
}

// guarded is once. Should it panic, the connection is closed and counts no longer.
func (u *Upstream) guarded(m *scratch, s *server, c *conn, x *exchange.Exchange) error {
	kept, returned := c.kept, false
	defer func() {
		if !returned {
			s.abandon(c, kept)
		}
	}()
	err := u.once(m, s, c, x)
	returned = true
	return err
}

// once sends the request over c and answers it. On success the connection is kept
// or belongs to the answer's body; else it is the caller's.
func (u *Upstream) once(m *scratch, s *server, c *conn, x *exchange.Exchange) error {
	if c.reused && !c.check() {
		return forward.SendFault(false, errNotQuiet)
	}
	c.idleSince = time.Now()
	if x.Asked.At.IsZero() {
		x.Asked.At = c.idleSince
	}
	c.socket.WriteTimeout = u.ResponseTimeout
	if err := c.SetReadDeadline(c.idleSince.Add(u.ResponseTimeout)); err != nil {
		return forward.SendFault(false, err)
	}
	if n, err := c.Write(m.out); err != nil {
		return forward.SendFault(n > 0, err)
	}
	if x.Length == exchange.UnknownLength || x.Length > smallBody {
		if err := u.writeBody(c, x); err != nil && !c.answersEarly(err) {
			return err
		}
	}
	br := u.pool.reader(c)
	given, err := u.receive(m, br, s, c, x)
	if !given {
		u.pool.release(br)
	}
	return err
}

// receive reads the answer's header section and, if it is short, its body, and
// answers. given: c and br have been given away.
func (u *Upstream) receive(m *scratch, br *bufio.Reader, s *server, c *conn, x *exchange.Exchange) (given bool, err error) {
	if _, err := br.Peek(1); err != nil { // fasthttp would hide that time is up
		return false, forward.AnswerFault(err)
	}
	if err := readHeader(br, &m.header); err != nil {
		return false, forward.AnswerFault(err)
	}
	reusable := !m.header.ConnectionClose()
	status, length := m.header.StatusCode(), m.header.ContentLength()
	head := &m.head
	head.Status, head.Reason = status, m.header.StatusMessage()
	head.Length, head.Fields = exchange.NoBody, m.cleanFields()
	switch {
	case bytes.Equal(x.Request.Method, []byte("HEAD")), status == fasthttp.StatusNoContent, status == fasthttp.StatusNotModified:
		head.Length = max(int64(length), exchange.NoBody)
		if length == exchange.UnknownLength {
			head.Length = exchange.NoBody
		}
		x.Answer.Head(head)
	case 0 <= length && length <= smallAnswer:
		if err := u.readBody(m, br, c, length); err != nil {
			return false, forward.AnswerFault(err)
		}
		head.Length = int64(length)
		x.Answer.Head(head)
		x.Answer.Bytes(m.body)
	case length == exchange.UnknownLength && m.takeChunks(br):
		head.Length = int64(len(m.body))
		x.Answer.Head(head)
		x.Answer.Bytes(m.body)
	default:
		head.Length = max(int64(length), exchange.UnknownLength)
		x.Answer.Head(head)
		return true, u.stream(br, s, c, x, int64(length), reusable)
	}
	u.finish(br, s, c, reusable)
	return true, nil
}

// readHeader reads the final response's header section; interim ones are dropped.
func readHeader(br *bufio.Reader, h *fasthttp.ResponseHeader) error {
	h.DisableNormalizing() // names go on as they came
	h.SetNoDefaultContentType(true)
	for range forward.MaxInterim {
		if err := h.Read(br); err != nil {
			return err
		}
		switch status := h.StatusCode(); {
		case status == fasthttp.StatusSwitchingProtocols:
			return forward.ErrSwitched
		case status >= 200 || status < 100:
			return nil
		}
	}
	return forward.ErrInterim
}

// cleanFields returns the answer's fields that pass. They are good until the next
// answer is read.
func (m *scratch) cleanFields() []exchange.Field {
	fields := m.head.Fields[:0]
	for name, value := range m.header.All() {
		fields = append(fields, exchange.Field{Name: name, Value: value})
	}
	return forward.Clean(fields)
}

// readBody reads the answer's whole body, for which the upstream has its time again.
func (u *Upstream) readBody(m *scratch, br *bufio.Reader, c *conn, length int) error {
	if br.Buffered() < length {
		if err := c.SetReadDeadline(time.Now().Add(u.ResponseTimeout)); err != nil {
			return err
		}
	}
	m.body = slices.Grow(m.body[:0], length)[:length]
	_, err := io.ReadFull(br, m.body)
	return err
}

// finish ends an exchange whose answer has been read completely.
func (u *Upstream) finish(br *bufio.Reader, s *server, c *conn, reusable bool) {
	clean := br.Buffered() == 0
	u.pool.release(br)
	if clean && reusable && !c.broken && c.socket.CanBeQuiet() {
		s.keep(c)
	} else {
		s.drop(c)
	}
}
