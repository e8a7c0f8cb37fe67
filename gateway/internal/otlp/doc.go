// Package otlp sends traces of requests, and the node's metrics, to an
// OpenTelemetry collector, by OTLP over HTTP.
//
// Requests never wait for it: what is told of one goes into a queue of bounded
// length, and is counted as dropped when that is full, or when the collector did not
// take it. The ids of spans, and which requests have some, are the front's matter.
package otlp

import (
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what an Exporter needs. Endpoint is needed.
type Config struct {
	// Endpoint is the collector's base URL, such as http://127.0.0.1:4318. Traces go to
	// /v1/traces below it, metrics to /v1/metrics.
	Endpoint *url.URL
	// Headers go with every request to it. Their values are secret.
	Headers map[string]string
	// Attributes describe the node in all that it sends; service.name is one of them.
	Attributes map[string]string
	// MetricsEvery is the time between two sendings of metrics; 0: none are sent.
	MetricsEvery time.Duration
	// Registry takes the metrics of this package, Gatherer has those that are sent.
	Registry prometheus.Registerer
	Gatherer prometheus.Gatherer
	Logger   *slog.Logger
}

// Bounds of what waits for the collector.
const (
	queueLength = 4096 // requests
	batchLength = 512  // requests
	batchDelay  = time.Second
	// sendTimeout is for one attempt to send something.
	sendTimeout = 10 * time.Second
	// retryTime is how long a sending is tried again, if the collector asks for that.
	retryTime = 20 * time.Second
	// endTimeout is what the last sending may take when the node ends.
	endTimeout = 3 * time.Second
	// complainEvery is the time between two lines about a collector that takes nothing.
	complainEvery = time.Minute
)
