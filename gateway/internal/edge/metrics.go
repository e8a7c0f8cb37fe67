package edge

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// metrics counts answers. Everything that a request needs is resolved before.
type metrics struct {
	requests [6]prometheus.Counter // by the first digit of the status
	duration prometheus.Histogram

	denials *prometheus.CounterVec
	reasons sync.Map // reason → prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "portcullis_requests_total",
		Help: "Requests that were answered, by class of status.",
	}, []string{"status"})
	m := &metrics{
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "portcullis_request_duration_seconds",
			Help:    "Time from a request's header section to the begin of its answer.",
			Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		denials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_denials_total",
			Help: "Requests that the gateway refused, by reason.",
		}, []string{"reason"}),
	}
	for class := range m.requests {
		if class > 0 {
			m.requests[class] = requests.WithLabelValues(strconv.Itoa(class) + "xx")
		}
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{requests, m.duration, m.denials} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of requests: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) answered(status int, took time.Duration) {
	if class := status / 100; 1 <= class && class < len(m.requests) {
		m.requests[class].Inc()
	}
	m.duration.Observe(took.Seconds())
}

func (m *metrics) denied(d *denial.Denial) {
	c, ok := m.reasons.Load(d.Reason())
	if !ok {
		c, _ = m.reasons.LoadOrStore(d.Reason(), m.denials.WithLabelValues(d.Reason()))
	}
	if counter, ok := c.(prometheus.Counter); ok {
		counter.Inc()
	}
}
