package rest

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of the REST API.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	imported prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) metrics {
	register := promauto.With(registry)
	return metrics{
		requests: register.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_control_requests_total",
			Help: "Requests to the control API, by method and status.",
		}, []string{"method", "status"}),
		duration: register.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "portcullis_control_request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer, waiting for the fleet included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}, []string{"method"}),
		imported: register.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_control_imported_resources_total",
			Help: "Resources that imports have applied.",
		}),
	}
}

func (m metrics) observe(r *http.Request, status int, started time.Time) {
	method := r.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete:
	default:
		method = "other" // the client's word must not make series
	}
	m.requests.WithLabelValues(method, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(method).Observe(time.Since(started).Seconds())
}
