package otlp

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
)

// Attributes that the semantic conventions do not have.
const (
	attrRequestID   = attribute.Key("portcullis.request_id")
	attrPlan        = attribute.Key("portcullis.plan")
	attrApplication = attribute.Key("portcullis.application")
	attrReason      = attribute.Key("portcullis.reason")
)

// addSpans makes a request's spans: the server's, and within it the client's if an
// upstream was asked.
func (e *Exporter) addSpans(r *front.Record) {
	ctx := context.Background()
	if r.Spans.Parent != [8]byte{} {
		state, _ := trace.ParseTraceState(r.Spans.State) // what it does not know is not ours
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: r.Spans.Trace, SpanID: r.Spans.Parent, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
		}))
	}
	ids := &spanIDs{trace: r.Spans.Trace, span: r.Spans.Server}
	ctx, server := e.tracer.Start(context.WithValue(ctx, idsKey{}, ids), name(r), trace.WithTimestamp(r.Began),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(serverAttributes(r)...))
	if r.Target != "" {
		ids.span = r.Spans.Client
		_, client := e.tracer.Start(ctx, r.Method, trace.WithTimestamp(r.Asked),
			trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(clientAttributes(r)...))
		fail(client, r)
		client.End(trace.WithTimestamp(r.Asked.Add(r.Waited)))
	}
	fail(server, r)
	server.End(trace.WithTimestamp(r.Began.Add(r.Took)))
}

// name is the method and the Api, of which there are few.
func name(r *front.Record) string {
	if r.API == "" {
		return r.Method
	}
	return r.Method + " " + r.API
}

// fail marks the span of a request that went wrong: for a server that is 5xx only, and
// an upstream whose answer was passed on has only then failed, too.
func fail(span trace.Span, r *front.Record) {
	if r.Status >= 500 {
		span.SetStatus(codes.Error, "")
	}
}

func serverAttributes(r *front.Record) []attribute.KeyValue {
	scheme := "http"
	if r.Secure {
		scheme = "https"
	}
	all := append(common(r),
		semconv.URLPath(r.Path), semconv.URLScheme(scheme), semconv.ServerAddress(r.Host),
		semconv.HTTPRequestBodySize(int(r.RequestBytes)), semconv.HTTPResponseBodySize(int(r.AnswerBytes)),
		semconv.HTTPResponseStatusCode(r.Status), attrRequestID.String(r.ID))
	if _, version, ok := strings.Cut(r.Protocol, "/"); ok {
		all = append(all, semconv.NetworkProtocolVersion(version))
	}
	if r.Client.IsValid() {
		all = append(all, semconv.ClientAddress(r.Client.String()))
	}
	for key, value := range map[attribute.Key]string{semconv.HTTPRouteKey: r.API, attrPlan: r.Plan, attrApplication: r.Application} {
		if value != "" {
			all = append(all, key.String(value))
		}
	}
	if r.Refused != nil {
		all = append(all, attrReason.String(r.Refused.Reason()))
	}
	return all
}

func clientAttributes(r *front.Record) []attribute.KeyValue {
	all := common(r)
	if host, port, err := net.SplitHostPort(r.Target); err == nil {
		all = append(all, semconv.ServerAddress(host))
		if n, err := strconv.Atoi(port); err == nil {
			all = append(all, semconv.ServerPort(n))
		}
	}
	if r.Refused == nil {
		all = append(all, semconv.HTTPResponseStatusCode(r.Status))
	}
	return all
}

// common is what both spans have: the method, and what kind of error it was.
func common(r *front.Record) []attribute.KeyValue {
	var all []attribute.KeyValue
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch,
		http.MethodConnect, http.MethodTrace:
		all = append(all, semconv.HTTPRequestMethodKey.String(r.Method))
	default:
		all = append(all, semconv.HTTPRequestMethodOther, semconv.HTTPRequestMethodOriginal(r.Method))
	}
	switch {
	case r.Refused != nil:
		all = append(all, semconv.ErrorTypeKey.String(r.Refused.Cause().String()))
	case r.Status >= 500:
		all = append(all, semconv.ErrorTypeKey.String(strconv.Itoa(r.Status)))
	}
	return all
}

// given is an sdktrace.IDGenerator of the ids that the front has given.
type given struct{}

type idsKey struct{}

type spanIDs struct {
	trace trace.TraceID
	span  trace.SpanID
}

// NewIDs implements sdktrace.IDGenerator.
func (given) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	ids, ok := ctx.Value(idsKey{}).(*spanIDs)
	if !ok {
		panic("BUG: a span without ids")
	}
	return ids.trace, ids.span
}

// NewSpanID implements sdktrace.IDGenerator.
func (g given) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	_, span := g.NewIDs(ctx)
	return span
}

// batch is an sdktrace.SpanProcessor that keeps what has ended.
type batch struct {
	mu    sync.Mutex
	spans []sdktrace.ReadOnlySpan
}

// OnStart implements sdktrace.SpanProcessor.
func (b *batch) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor.
func (b *batch) OnEnd(s sdktrace.ReadOnlySpan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spans = append(b.spans, s)
}

// Shutdown implements sdktrace.SpanProcessor.
func (b *batch) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (b *batch) ForceFlush(context.Context) error { return nil }

func (b *batch) take() []sdktrace.ReadOnlySpan {
	b.mu.Lock()
	defer b.mu.Unlock()
	spans := b.spans
	b.spans = nil
	return spans
}
