package fast

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// state is the memory for the requests of a connection, which come one after the other.
type state struct {
	call   front.Call
	body   front.Body
	answer answer
}

// callKey finds that a request was decided about before its body was asked for.
type callKey struct{}

// handle is called for every request that fasthttp could read: it is parsed,
// decided about, forwarded, and answered.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	c := front.ConnOf(ctx.Conn())
	st := stateOf(c)
	defer func() { s.end(ctx, c, recover()) }()
	if ctx.UserValue(callKey{}) == nil {
		s.core.Begin(&st.call)
		st.answer = answer{ctx: ctx, call: &st.call}
		if err := s.admit(ctx, c, st); err != nil {
			s.refuse(ctx, st, err)
			return
		}
	}
	st.takeBody(ctx, s.core.Config.Patience)
	if err := cmp.Or(s.core.Forward(&st.call), st.answer.err); err != nil {
		s.refuse(ctx, st, err)
		return
	}
	s.finish(ctx, st, nil, nil)
}

// expect is called for a request with Expect: 100-continue. It decides about it
// before the body is asked for, and returns the status to answer with; 100: go on.
func (s *Server) expect(ctx *fasthttp.RequestCtx) (status int) {
	c := front.ConnOf(ctx.Conn())
	st := stateOf(c)
	admitted := false
	defer func() {
		if panicked := recover(); panicked != nil || !admitted {
			s.end(ctx, c, panicked)
			status = ctx.Response.StatusCode()
		}
	}()
	s.core.Begin(&st.call)
	st.answer = answer{ctx: ctx, call: &st.call}
	if err := s.admit(ctx, c, st); err != nil {
		s.refuse(ctx, st, err)
		return 0
	}
	admitted = true
	ctx.SetUserValue(callKey{}, true)
	return fasthttp.StatusContinue
}

func stateOf(c *front.Conn) *state {
	st, ok := c.State.(*state)
	if !ok {
		st = new(state)
		c.State = st
	}
	return st
}

// admit parses a request and has it decided about.
func (s *Server) admit(ctx *fasthttp.RequestCtx, c *front.Conn, st *state) error {
	h := &ctx.Request.Header
	st.call.Exchange.Answer = &st.answer
	raw := front.Raw{
		Protocol: protocolOf(h), Method: h.Method(), Target: h.RequestURI(), Header: h.RawHeaders(),
		Address: c.Address, TLS: ctx.TLSConnectionState(),
	}
	if err := s.core.Parse(&st.call, &raw); err != nil {
		ctx.SetConnectionClose()
		return err
	}
	st.call.Exchange.Length = lengthOf(&st.call.Exchange, h)
	return s.core.Decide(&st.call)
}

func protocolOf(h *fasthttp.RequestHeader) exchange.Protocol {
	switch {
	case h.IsHTTP11():
		return exchange.HTTP11
	case string(h.Protocol()) == "HTTP/1.0":
		return exchange.HTTP10
	}
	return 0
}

// takeBody makes the body of a request that was let through its exchange's.
func (st *state) takeBody(ctx *fasthttp.RequestCtx, patience front.Patience) {
	x := &st.call.Exchange
	if x.Length == exchange.NoBody {
		return
	}
	from := ctx.RequestBodyStream()
	if from == nil {
		from = bytes.NewReader(ctx.Request.Body())
	}
	st.body.Reset(patience, from, x.Length, ctx.Conn())
	x.Body = &st.body
}

// refuse answers with the denial that err is.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, st *state, err error) {
	st.answer.reset()
	s.finish(ctx, st, s.core.Refuse(&st.call, err), err)
}

// finish completes an answer, which fasthttp writes then, and counts it.
func (s *Server) finish(ctx *fasthttp.RequestCtx, st *state, refused *denial.Denial, err error) {
	ctx.Response.Header.SetCanonical(idHeader, st.call.ID())
	if s.core.Draining() {
		ctx.SetConnectionClose()
	}
	s.core.Answered(&st.call, ctx.Response.StatusCode(), st.answer.length, refused, err)
}

// end ends a request. A panic on the way becomes denial.Internal.
func (s *Server) end(ctx *fasthttp.RequestCtx, c *front.Conn, panicked any) {
	st := stateOf(c)
	if panicked != nil {
		ctx.SetConnectionClose()
		s.refuse(ctx, st, front.Panicked(panicked))
		c.State = nil // the panic may have left it in any state
		return
	}
	s.core.End(&st.call)
}

// fail answers what fasthttp could not read. The connection closes after it.
func (s *Server) fail(ctx *fasthttp.RequestCtx, err error) {
	if secure, ok := ctx.Conn().(*tls.Conn); ok && !secure.ConnectionState().HandshakeComplete {
		s.core.Config.Logger.LogAttrs(context.Background(), slog.LevelDebug, "TLS handshake", slog.Any("error", err))
		return // no request ever came
	}
	d := denial.BadRequest.Because(cause.Unreadable)
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		d = denial.HeaderTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		d = denial.RequestTimeout.Because(cause.HeaderTimeout)
	}
	c := front.ConnOf(ctx.Conn())
	st := stateOf(c)
	s.core.Begin(&st.call)
	defer s.core.End(&st.call)
	st.answer = answer{ctx: ctx, call: &st.call}
	st.call.Exchange.Answer = &st.answer
	s.core.Unreadable(&st.call, d, err, !errors.Is(err, io.ErrUnexpectedEOF))
	ctx.Response.Header.SetCanonical(idHeader, st.call.ID())
}
