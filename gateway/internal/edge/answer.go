package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/socket"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// answer ends a request: with what the upstream said, or with a denial. It is
// the one place where errors become answers.
func (s *Server) answer(ctx *fasthttp.RequestCtx, v *visit, err error) {
	var refused *denial.Denial
	if err != nil {
		var ok bool
		if refused, ok = errors.AsType[*denial.Denial](err); !ok {
			refused = denial.Internal
		}
		writeDenial(ctx, &v.decision, refused)
		s.metrics.denied(refused)
	}
	ctx.Response.Header.SetCanonical(requestID, v.id[:])
	if s.draining.Load() {
		ctx.SetConnectionClose()
	}
	now := v.inbound.Ended
	if now == 0 {
		now = socket.Now()
	}
	if ctx.Response.IsBodyStream() {
		v.conn.rest(0)
	} else {
		v.conn.rest(now)
	}
	s.metrics.answered(v.decision.Api, ctx.Response.StatusCode(), time.Duration(now-v.began))
	if refused != nil || s.config.LogAll || ctx.Response.StatusCode() >= fasthttp.StatusInternalServerError {
		s.log(ctx, v, refused, err)
	}
}

// writeDenial makes the prebuilt answer of d the response. It does not allocate,
// but for refusals by a limit.
func writeDenial(ctx *fasthttp.RequestCtx, decision *pipeline.Decision, d *denial.Denial) {
	a := d.Answer(decision.Format())
	resp := &ctx.Response
	closing := resp.ConnectionClose()
	resp.Reset()
	if closing {
		resp.SetConnectionClose()
	}
	resp.SetStatusCode(a.Status)
	h := &resp.Header
	body, contentType := a.Body, a.ContentType
	if a.Text != nil && !acceptsJSON(ctx.Request.Header.Peek(fasthttp.HeaderAccept)) {
		body, contentType = a.Text, denial.TextContentType
	}
	h.SetContentType(contentType)
	h.Set(fasthttp.HeaderCacheControl, "no-store")
	if challenge := a.Challenge; challenge != "" {
		if a.Status == fasthttp.StatusUnauthorized && decision.Api != nil && decision.Api.ResourceMetadata != "" {
			challenge = withMetadata(challenge, decision.Api.ResourceMetadata)
		}
		// In this spelling, which people search for.
		h.SetCanonical([]byte(fasthttp.HeaderWWWAuthenticate), []byte(challenge))
	}
	switch {
	case decision.Refusal.Limited():
		h.Set(fasthttp.HeaderRetryAfter, strconv.FormatInt(decision.Refusal.RetryAfter(), 10))
		h.SetCanonical([]byte("RateLimit"), decision.Refusal.AppendRateLimit(nil))
		h.SetCanonical([]byte("RateLimit-Policy"), []byte(decision.Refusal.RateLimitPolicy()))
	case a.RetryAfter != "":
		h.Set(fasthttp.HeaderRetryAfter, a.RetryAfter)
	}
	if a.Status == fasthttp.StatusMethodNotAllowed {
		// RFC 9110 section 15.5.6 asks for the field, even if it is empty.
		h.Set(fasthttp.HeaderAllow, strings.Join(decision.Allow, ", "))
	}
	resp.SetBodyRaw(body)
}

// withMetadata adds where an Api's metadata is to each part of a challenge (RFC
// 9728 section 5.1): behind the realm, since a scheme's parameters stand together.
func withMetadata(challenge, url string) string {
	const realm = `realm="` + denial.Realm + `"`
	return strings.ReplaceAll(challenge, realm, realm+`, resource_metadata="`+url+`"`)
}

// writePage answers with what is the same for everybody. Scripts of other origins
// may read it: it is public.
func writePage(ctx *fasthttp.RequestCtx, page *pipeline.Page) {
	resp := &ctx.Response
	resp.Header.SetContentType(page.ContentType)
	resp.Header.Set(fasthttp.HeaderCacheControl, "public, max-age=300")
	resp.Header.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	resp.SetBodyRaw(page.Body)
}

// acceptsJSON says what Gravitee's gateway would: any mention counts.
func acceptsJSON(accept []byte) bool {
	return bytes.Contains(accept, []byte("application/json")) || bytes.Contains(accept, []byte("*/*"))
}

// fail answers what fasthttp could not read. The connection closes after it.
func (s *Server) fail(ctx *fasthttp.RequestCtx, err error) {
	if state := ctx.TLSConnectionState(); state != nil && !state.HandshakeComplete {
		s.config.Logger.LogAttrs(context.Background(), slog.LevelDebug, "TLS handshake", slog.Any("error", err))
		return // no request ever came
	}
	d := denial.BadRequest
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		d = denial.HeaderTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		d = denial.RequestTimeout
	}
	v := s.visit(ctx)
	defer s.leave(ctx, v, nil)
	writeDenial(ctx, &v.decision, d)
	ctx.Response.Header.SetCanonical(requestID, v.id[:])
	s.metrics.denied(d)
	s.metrics.answered(nil, ctx.Response.StatusCode(), 0)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		s.log(ctx, v, d, err)
	}
}

// log writes the one line of a request. What a client sent is not in it but for
// method, host and path; credentials never are.
func (s *Server) log(ctx *fasthttp.RequestCtx, v *visit, refused *denial.Denial, err error) {
	level := slog.LevelInfo
	status := ctx.Response.StatusCode()
	if status >= fasthttp.StatusInternalServerError {
		level = slog.LevelWarn
	}
	logger := s.config.Logger
	if !logger.Enabled(context.Background(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 9)
	attrs = append(attrs, slog.String("request_id", string(v.id[:])), slog.Int("status", status))
	if refused != nil {
		attrs = append(attrs, slog.String("reason", refused.Reason()))
	}
	if r := &v.request; r.Path != nil {
		attrs = append(attrs, slog.String("method", string(r.Method)), slog.String("host", string(r.Host)), slog.String("path", string(r.Path)))
	}
	if d := &v.decision; d.Api != nil {
		attrs = append(attrs, slog.String("api", d.Api.ID))
		if d.Application != "" {
			attrs = append(attrs, slog.String("application", d.Application))
		}
	}
	if err != nil && err != error(refused) { //nolint:errorlint // a bare denial has no cause to tell
		attrs = append(attrs, slog.String("cause", err.Error()))
	}
	logger.LogAttrs(context.Background(), level, "request", attrs...)
}
