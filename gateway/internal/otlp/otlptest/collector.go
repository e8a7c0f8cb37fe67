// Package otlptest is a collector for tests: it takes OTLP over HTTP as it comes over
// the wire (https://opentelemetry.io/docs/specs/otlp/).
package otlptest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	metrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector keeps what it was sent.
type Collector struct {
	// URL is the endpoint.
	URL *url.URL

	mu      sync.Mutex
	spans   []Span
	metrics map[string]float64 // sums, by name
	header  http.Header
}

// Span is one span, with its resource's attributes beside its own.
type Span struct {
	Name, TraceID, ID, ParentID, State string
	Server                             bool
	Failed                             bool
	Took                               time.Duration
	Attributes                         map[string]any
	Resource                           map[string]any
}

// New starts a collector, which ends with the test.
func New(t *testing.T) *Collector {
	t.Helper()
	c := &Collector{metrics: map[string]float64{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		var sent traces.ExportTraceServiceRequest
		if c.read(t, w, r, &sent) {
			c.takeSpans(&sent)
		}
	})
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, r *http.Request) {
		var sent metrics.ExportMetricsServiceRequest
		if c.read(t, w, r, &sent) {
			c.takeMetrics(&sent)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	var err error
	if c.URL, err = url.Parse(server.URL); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Collector) read(t *testing.T, w http.ResponseWriter, r *http.Request, into proto.Message) bool {
	t.Helper()
	c.mu.Lock()
	c.header = r.Header.Clone()
	c.mu.Unlock()
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Errorf("gzip: %v", err)
			return false
		}
		body = unzipped
	}
	text, err := io.ReadAll(body)
	if err == nil {
		err = proto.Unmarshal(text, into)
	}
	if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("%s: %v, content type %q", r.URL, err, r.Header.Get("Content-Type"))
		return false
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK)
	return true
}

func (c *Collector) takeSpans(sent *traces.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range sent.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, Span{
					Name: s.GetName(), TraceID: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
					ParentID: hex.EncodeToString(s.GetParentSpanId()), State: s.GetTraceState(), Server: s.GetKind() == trace.Span_SPAN_KIND_SERVER,
					Failed: s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR, Took: time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()),
					Attributes: attributes(s.GetAttributes()), Resource: attributes(of.GetResource().GetAttributes()),
				})
			}
		}
	}
}

func attributes(list []*common.KeyValue) map[string]any {
	all := map[string]any{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.GetKey()] = int(v.IntValue)
		}
	}
	return all
}

func (c *Collector) takeMetrics(sent *metrics.ExportMetricsServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range sent.GetResourceMetrics() {
		for _, scope := range of.GetScopeMetrics() {
			for _, m := range scope.GetMetrics() {
				sum := 0.0
				for _, point := range m.GetSum().GetDataPoints() {
					sum += point.GetAsDouble() + float64(point.GetAsInt())
				}
				c.metrics[m.GetName()] = sum
			}
		}
	}
}

// Spans returns the spans that came so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Metric returns the newest sum of a counter.
func (c *Collector) Metric(name string) (sum float64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum, ok = c.metrics[name]
	return sum, ok
}

// Header returns that of the newest request.
func (c *Collector) Header() http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.header
}

// Of waits for the spans of a request with this id, for up to 10 s: the server's and,
// if there is one, the client's.
func (c *Collector) Of(t *testing.T, id string) (server, client Span) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-again.C {
		all := c.Spans()
		for _, s := range all {
			if s.Attributes["portcullis.request_id"] != id {
				continue
			}
			for _, below := range all {
				if below.ParentID == s.ID {
					client = below
				}
			}
			return s, client
		}
	}
	t.Fatalf("no span of the request %s", id)
	return server, client
}
