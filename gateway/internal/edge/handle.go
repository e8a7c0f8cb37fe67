package edge

import (
	"bytes"
	"fmt"
	"runtime/debug"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/socket"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// visitKey finds the visit of a request that was decided about before its body
// was asked for.
type visitKey struct{}

// handle is called for every request that fasthttp could read.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	v, _ := ctx.UserValue(visitKey{}).(*visit)
	if v == nil {
		v = s.visit(ctx)
	}
	defer func() { s.leave(ctx, v, recover()) }()
	err := s.admit(ctx, v)
	switch {
	case err != nil:
	case v.decision.Page != nil:
		writePage(ctx, v.decision.Page)
	default:
		err = v.upstream().Send(&v.inbound, &v.decision.Forward)
	}
	s.answer(ctx, v, err)
}

// admit takes the request in and decides about it, once.
func (s *Server) admit(ctx *fasthttp.RequestCtx, v *visit) error {
	if v.admitted {
		return nil
	}
	if err := v.takeIn(ctx, s.peers); err != nil {
		ctx.SetConnectionClose()
		return err
	}
	if err := s.decide(v); err != nil {
		return err
	}
	v.admitted = true
	return nil
}

// decide asks the pipeline, unless the request is for a page of the gateway's own.
func (s *Server) decide(v *visit) error {
	if len(s.config.Pages) > 0 && bytes.HasPrefix(v.request.Path, []byte("/.well-known/")) {
		if page, ok := s.config.Pages[string(v.request.Path)]; ok {
			return v.decision.Serve(page, v.request.Method)
		}
	}
	return s.config.Decide(&v.request, &v.decision)
}

// expect is called for a request with Expect: 100-continue. It decides about it
// before the body is asked for, and returns the status to answer with; 100: go on.
func (s *Server) expect(ctx *fasthttp.RequestCtx) (status int) {
	v := s.visit(ctx)
	keep := false
	defer func() {
		if cause := recover(); cause != nil || !keep {
			s.leave(ctx, v, cause)
			status = ctx.Response.StatusCode()
		}
	}()
	err := s.admit(ctx, v)
	if err == nil && v.decision.Page == nil {
		err = v.upstream().CheckLength(&v.inbound)
	}
	if err != nil {
		s.answer(ctx, v, err)
		return 0
	}
	keep = true
	ctx.SetUserValue(visitKey{}, v)
	return fasthttp.StatusContinue
}

// leave ends a visit. A panic on the way becomes denial.Internal.
func (s *Server) leave(ctx *fasthttp.RequestCtx, v *visit, cause any) {
	if cause != nil {
		ctx.SetConnectionClose()
		s.answer(ctx, v, fmt.Errorf("%w: panic: %v\n%s", denial.Internal, cause, debug.Stack()))
		v.conn.visit = nil // the panic may have left it in any state
		return
	}
	v.forget()
}

// visit begins a visit.
func (s *Server) visit(ctx *fasthttp.RequestCtx) *visit {
	c := connOf(ctx)
	if c.visit == nil {
		c.visit = &visit{conn: c, path: make([]byte, 0, 256), host: make([]byte, 0, 64)}
	}
	v := c.visit
	s.ids.next(&v.id)
	v.began = socket.Now()
	v.now = s.clock.unix(v.began)
	c.SetWriteDue(0)
	return v
}
