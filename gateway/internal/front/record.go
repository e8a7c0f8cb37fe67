package front

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// Record is what is told of one request, in the log and elsewhere. Of what a client
// sent it has method, host and path only, and nothing of a credential or a claim. It
// outlives the request.
type Record struct {
	// ID is the X-Request-Id of the answer.
	ID    string
	Began time.Time
	// Took is the time until the answer was handed to the HTTP stack, or its streamed
	// body was sent.
	Took time.Duration
	// Method, Host and Path are canonical, and empty if the request could not be read so far.
	Method, Host, Path string
	Protocol           string
	// Client is the client's address; the zero Addr: it has none.
	Client netip.Addr
	Secure bool
	Status int
	// RequestBytes and AnswerBytes are those of the bodies, as far as they were read and sent.
	RequestBytes, AnswerBytes int64
	// API, Plan and Application are ids; empty: not known.
	API, Plan, Application string
	// Target is the host and port of the upstream that was asked; empty: none was.
	Target string
	// Asked is when, and Waited how long the answer took, or the head of a streamed one.
	Asked  time.Time
	Waited time.Duration
	// Refused is the denial that the client got; nil: none.
	Refused *denial.Denial
	// Fault is what an upstream or the gateway itself has done wrong; empty: nothing.
	Fault string
	// TraceID is that of the trace that the request is a part of, in hexadecimal; empty: of none.
	TraceID string
	// Spans are the ids of its spans; nil: the request is not recorded in a trace.
	Spans *Spans
}

func newRecord(call *Call, status int, length int64, refused *denial.Denial, err error, now time.Time) *Record {
	x := &call.Exchange
	api, plan := call.parties(refused)
	r := &Record{
		ID: string(call.id), Began: call.began, Took: now.Sub(call.began),
		Method: string(x.Request.Method), Host: string(x.Request.Host), Path: string(x.Request.Path), Protocol: protocol(x.Protocol),
		Client: x.Request.Address, Secure: x.Request.Secure, Status: status, AnswerBytes: max(length, 0), RequestBytes: max(x.Length, 0),
		API: api, Plan: plan, Application: string([]byte(call.Decision.Application)), Refused: refused,
		Target: x.Asked.Target, Asked: x.Asked.At, TraceID: call.traceID(), Spans: call.spans(),
	}
	if x.Asked.Target != "" {
		r.Waited = now.Sub(x.Asked.At)
	}
	if body, ok := x.Body.(*Body); ok && body != nil {
		r.RequestBytes = body.total
	}
	if r.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		r.AnswerBytes = 0
	}
	if err != nil && err != error(refused) { //nolint:errorlint // a bare denial has nothing more to tell
		r.Fault = err.Error()
	}
	return r
}

func protocol(p exchange.Protocol) string {
	switch p {
	case exchange.HTTP10:
		return "HTTP/1.0"
	case exchange.HTTP11:
		return "HTTP/1.1"
	}
	return ""
}

func levelOf(status int) slog.Level {
	if status >= http.StatusInternalServerError {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// log writes the one line of a request.
func (c *Core) log(r *Record) {
	attrs := make([]slog.Attr, 0, maxAttrs)
	attrs = append(attrs, slog.String("request_id", r.ID), slog.Int("status", r.Status))
	text := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	if r.Refused != nil {
		text("reason", r.Refused.Reason())
		text("cause", r.Refused.Cause().String())
	}
	text("method", r.Method)
	text("host", r.Host)
	text("path", r.Path)
	text("protocol", r.Protocol)
	if r.Client.IsValid() {
		text("client", r.Client.String())
	}
	text("api", r.API)
	text("plan", r.Plan)
	text("application", r.Application)
	attrs = append(attrs, milliseconds("duration_ms", r.Took), slog.Int64("request_bytes", r.RequestBytes), slog.Int64("response_bytes", r.AnswerBytes))
	if r.Target != "" {
		text("target", r.Target)
		attrs = append(attrs, milliseconds("upstream_ms", r.Waited))
	}
	text("trace_id", r.TraceID)
	text("error", r.Fault)
	c.Config.Logger.LogAttrs(context.Background(), levelOf(r.Status), "request", attrs...)
}

// maxAttrs is the most that a line says.
const maxAttrs = 20

// milliseconds is a duration with microseconds as fractions.
func milliseconds(name string, d time.Duration) slog.Attr {
	return slog.Float64(name, float64(d.Microseconds())/1000)
}
