package otlp_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/otlp"
	"github.com/portcullis-gateway/portcullis/gateway/internal/otlp/otlptest"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

func exporter(t *testing.T, to *url.URL, change func(*otlp.Config)) (e *otlp.Exporter, registry *prometheus.Registry, end func()) {
	t.Helper()
	registry = prometheus.NewRegistry()
	config := otlp.Config{
		Endpoint: to, Attributes: map[string]string{"service.name": "edge"}, Headers: map[string]string{"X-Key": "k"},
		Registry: registry, Gatherer: registry, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	e, err := otlp.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { e.Run(ctx); close(done) }()
	return e, registry, func() {
		t.Helper()
		cancel()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("Run does not return")
		}
	}
}

func record(id string, refused *denial.Denial) *front.Record {
	began := time.Now().Add(-time.Second)
	r := &front.Record{
		ID: id, Began: began, Took: 30 * time.Millisecond, Method: "GET", Host: "api.test", Path: "/orders/1", Protocol: "HTTP/1.1",
		Client: netip.MustParseAddr("192.0.2.7"), Status: 200, AnswerBytes: 5, API: "orders", Plan: "gold", Application: "web",
		Target: "10.0.0.7:8080", Asked: began.Add(10 * time.Millisecond), Waited: 15 * time.Millisecond,
		Spans: &front.Spans{Trace: [16]byte{1}, Server: [8]byte{2}, Client: [8]byte{3}, Parent: [8]byte{4}, State: "a=1"},
	}
	if refused != nil {
		r.Refused, r.Status, r.Target = refused, refused.Status(), ""
	}
	return r
}

func TestSpans(t *testing.T) {
	c := otlptest.New(t)
	e, registry, end := exporter(t, c.URL, nil)
	e.Record(record("passed", nil))
	e.Record(record("refused", denial.InvalidToken.Because(cause.Audience)))
	// What is there when the node ends is sent, too.
	end()

	server, client := c.Of(t, "passed")
	if server.TraceID != "01000000000000000000000000000000" || server.ID != "0200000000000000" || server.ParentID != "0400000000000000" ||
		server.State != "a=1" || !server.Server || server.Failed || server.Took != 30*time.Millisecond || server.Name != "GET orders" {
		t.Errorf("server span %+v", server)
	}
	for name, want := range map[string]any{
		"http.request.method": "GET", "url.path": "/orders/1", "url.scheme": "http", "http.response.status_code": 200, "http.route": "orders",
		"server.address": "api.test", "client.address": "192.0.2.7", "network.protocol.version": "1.1", "portcullis.plan": "gold",
		"portcullis.application": "web", "http.response.body.size": 5, "error.type": nil,
	} {
		if got := server.Attributes[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if client.ID != "0300000000000000" || client.ParentID != server.ID || client.TraceID != server.TraceID || client.Server ||
		client.Took != 15*time.Millisecond || client.Attributes["server.address"] != "10.0.0.7" || client.Attributes["server.port"] != 8080 ||
		client.Attributes["http.response.status_code"] != 200 {
		t.Errorf("client span %+v", client)
	}
	refused, none := c.Of(t, "refused")
	if refused.Attributes["error.type"] != "audience" || refused.Attributes["portcullis.reason"] != "invalid_token" || refused.Failed || none.Attributes["server.port"] != 8080 {
		t.Errorf("refused: %+v, beneath it %+v", refused, none)
	}
	if server.Resource["service.name"] != "edge" || c.Header().Get("X-Key") != "k" {
		t.Errorf("resource %v, header %v", server.Resource, c.Header())
	}
	if sent := outcome(t, registry, "sent"); sent != 2 {
		t.Errorf("%v sent", sent)
	}
}

func outcome(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "portcullis_otlp_requests_total" && m.GetLabel()[0].GetValue() == name {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no outcome %s", name)
	return 0
}

// TestCollectorIsAway: one that is not there, and one that takes nothing, hold nobody up.
func TestCollectorIsAway(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for name, address := range map[string]string{"nobody there": "127.0.0.1:1", "nobody answers": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const asked = 20_000
			e, registry, end := exporter(t, &url.URL{Scheme: "http", Host: address}, nil)
			began := time.Now()
			for range asked {
				e.Record(record("x", nil))
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("%d requests had to wait %s", asked, took)
			}
			if full := outcome(t, registry, "queue_full"); full < asked-3*4096 || full > asked {
				t.Errorf("%v of %d dropped", full, asked)
			}
			began = time.Now()
			end()
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the end took %s", took)
			}
			if outcome(t, registry, "failed") == 0 || outcome(t, registry, "sent") != 0 {
				t.Errorf("%v failed, %v sent", outcome(t, registry, "failed"), outcome(t, registry, "sent"))
			}
		})
	}
}

// TestMetrics: what Prometheus would read is sent as it is.
func TestMetrics(t *testing.T) {
	c := otlptest.New(t)
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "portcullis_test_total", Help: "Of a test."})
	counter.Add(7)
	_, _, end := exporter(t, c.URL, func(c *otlp.Config) {
		c.MetricsEvery = 20 * time.Millisecond
		c.Gatherer.(*prometheus.Registry).MustRegister(counter)
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if sum, ok := c.Metric("portcullis_test_total"); ok && sum == testutil.ToFloat64(counter) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the counter does not come")
		}
	}
	counter.Inc()
	end()
	if sum, _ := c.Metric("portcullis_test_total"); sum != 8 {
		t.Errorf("the last value that came is %v", sum)
	}
}
