package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
)

// Exporter sends what Record is given, and metrics. It is safe for concurrent use.
type Exporter struct {
	config Config
	queue  chan *front.Record

	traces  *otlptrace.Exporter
	tracer  trace.Tracer
	batch   batch
	metrics *otlpmetrichttp.Exporter // nil: none are sent
	reader  *metric.ManualReader

	sent, full, failed prometheus.Counter
	complained         time.Time
	mu                 sync.Mutex // of complained
}

// New makes an Exporter. It opens no connection before Run.
func New(ctx context.Context, config Config) (*Exporter, error) {
	outcomes := promauto.With(config.Registry).NewCounterVec(prometheus.CounterOpts{
		Name: "portcullis_otlp_requests_total",
		Help: "Traced requests: sent to the OpenTelemetry collector, dropped because the queue was full, or because the collector did not take them.",
	}, []string{"outcome"})
	e := &Exporter{
		config: config, queue: make(chan *front.Record, queueLength),
		sent: outcomes.WithLabelValues("sent"), full: outcomes.WithLabelValues("queue_full"), failed: outcomes.WithLabelValues("failed"),
	}
	about := describe(config.Attributes)
	var err error
	if e.traces, err = otlptracehttp.New(ctx, e.traceOptions()...); err != nil {
		return nil, fmt.Errorf("prepare the sending of traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(about), sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithIDGenerator(given{}), sdktrace.WithSpanProcessor(&e.batch),
	)
	e.tracer = provider.Tracer("github.com/portcullis-gateway/portcullis/gateway")
	if config.MetricsEvery > 0 {
		if e.metrics, err = otlpmetrichttp.New(ctx, e.metricOptions()...); err != nil {
			return nil, fmt.Errorf("prepare the sending of metrics: %w", err)
		}
		e.reader = metric.NewManualReader(metric.WithProducer(bridge.NewMetricProducer(bridge.WithGatherer(config.Gatherer))))
		_ = metric.NewMeterProvider(metric.WithReader(e.reader), metric.WithResource(about)) // which the reader keeps
	}
	return e, nil
}

// describe makes the node's attributes a resource.
func describe(attributes map[string]string) *resource.Resource {
	var about []attribute.KeyValue
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		about = append(about, attribute.String(name, attributes[name]))
	}
	return resource.NewSchemaless(about...)
}

func (e *Exporter) traceOptions() []otlptracehttp.Option {
	to := e.config.Endpoint
	options := []otlptracehttp.Option{
		otlptracehttp.WithEndpoint(to.Host), otlptracehttp.WithURLPath(below(to, "v1/traces")), otlptracehttp.WithHeaders(e.config.Headers),
		otlptracehttp.WithTimeout(sendTimeout), otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: retryTime}),
	}
	if to.Scheme == "http" {
		options = append(options, otlptracehttp.WithInsecure())
	}
	return options
}

func (e *Exporter) metricOptions() []otlpmetrichttp.Option {
	to := e.config.Endpoint
	options := []otlpmetrichttp.Option{
		otlpmetrichttp.WithEndpoint(to.Host), otlpmetrichttp.WithURLPath(below(to, "v1/metrics")), otlpmetrichttp.WithHeaders(e.config.Headers),
		otlpmetrichttp.WithTimeout(sendTimeout), otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression),
		otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: retryTime}),
	}
	if to.Scheme == "http" {
		options = append(options, otlpmetrichttp.WithInsecure())
	}
	return options
}

func below(base *url.URL, path string) string { return strings.TrimSuffix(base.Path, "/") + "/" + path }

// Record takes a request that was answered and has Spans. It never blocks.
func (e *Exporter) Record(r *front.Record) {
	select {
	case e.queue <- r:
	default:
		e.full.Inc()
	}
}

// Run sends until ctx ends, then what is there once more, for endTimeout at most. When
// it returns, nothing of it is left.
func (e *Exporter) Run(ctx context.Context) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(endTimeout, cancel) })
	defer stop()
	var senders sync.WaitGroup
	defer senders.Wait()
	senders.Go(func() { e.sendTraces(ctx, sending) })
	if e.metrics != nil {
		senders.Go(func() { e.sendMetrics(ctx, sending) })
	}
}

// sendTraces sends requests in batches, each at the latest a second after its first,
// until ctx ends.
func (e *Exporter) sendTraces(ctx, sending context.Context) {
	delay := time.NewTimer(batchDelay)
	defer delay.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case first := <-e.queue:
			delay.Reset(batchDelay)
			e.send(sending, e.more(ctx, []*front.Record{first}, delay.C))
		}
	}
	for len(e.queue) > 0 && sending.Err() == nil {
		e.send(sending, e.more(ctx, nil, nil)) // what is there: ctx has ended
	}
	e.complain("end the sending of traces", e.traces.Shutdown(sending))
}

// more adds to records what comes, until there are enough, or due comes, or ctx ends,
// and what is there in any case.
func (e *Exporter) more(ctx context.Context, records []*front.Record, due <-chan time.Time) []*front.Record {
	for len(records) < batchLength {
		select {
		case r := <-e.queue:
			records = append(records, r)
			continue
		default:
		}
		select {
		case r := <-e.queue:
			records = append(records, r)
		case <-due:
			return records
		case <-ctx.Done():
			return records
		}
	}
	return records
}

// send makes spans of requests and sends them.
func (e *Exporter) send(ctx context.Context, records []*front.Record) {
	for _, r := range records {
		e.addSpans(r)
	}
	err := e.traces.ExportSpans(ctx, e.batch.take())
	e.complain("send traces to the collector", err)
	if err != nil {
		e.failed.Add(float64(len(records)))
		return
	}
	e.sent.Add(float64(len(records)))
}

// sendMetrics sends them in intervals, and once more when ctx has ended.
func (e *Exporter) sendMetrics(ctx, sending context.Context) {
	due := time.NewTicker(e.config.MetricsEvery)
	defer due.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-due.C:
			e.complain("send metrics to the collector", e.sendMetricsOnce(sending))
		}
	}
	e.complain("send metrics to the collector", e.sendMetricsOnce(sending))
	e.complain("end the sending of metrics", e.metrics.Shutdown(sending))
}

func (e *Exporter) sendMetricsOnce(ctx context.Context) error {
	var all metricdata.ResourceMetrics
	if err := e.reader.Collect(ctx, &all); err != nil {
		return err
	}
	return e.metrics.Export(ctx, &all)
}

// complain logs an error, but not too often: a collector may be away for long.
func (e *Exporter) complain(doing string, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); now.Sub(e.complained) >= complainEvery {
		e.complained = now
		e.config.Logger.LogAttrs(context.Background(), slog.LevelWarn, "OpenTelemetry", slog.String("doing", doing), slog.Any("error", err))
	}
}
