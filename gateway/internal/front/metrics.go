package front

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

const (
	// maxCountedApis bounds the Apis that have counters of their own; those that
	// come later share the ones of otherApis.
	maxCountedApis = 10_000
	otherApis      = "_other"
)

// metrics counts answers. Labels are looked up at an Api's first request, so that later
// ones only increment.
type metrics struct {
	requests *prometheus.CounterVec
	total    atomic.Uint64
	outside  *classes // of requests that no Api was found for
	duration prometheus.Histogram
	refused  prometheus.Counter // connections

	mu   sync.Mutex
	apis map[string]*classes // by id

	denials *prometheus.CounterVec
	reasons sync.Map // reason → prometheus.Counter
}

// classes are the counters of one Api, by the first digit of the status.
type classes [6]prometheus.Counter

func newMetrics(registry prometheus.Registerer) *metrics {
	register := promauto.With(registry)
	m := &metrics{
		requests: register.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_requests_total",
			Help: "Requests that were answered, by Api (empty: none was found) and class of status.",
		}, []string{"api", "status"}),
		duration: register.NewHistogram(prometheus.HistogramOpts{
			Name:    "portcullis_request_duration_seconds",
			Help:    "Time from a request's header section to the begin of its answer.",
			Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		denials: register.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_denials_total",
			Help: "Requests that the gateway refused, by reason.",
		}, []string{"reason"}),
		refused: register.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_connections_refused_total",
			Help: "Connections that were closed at once because their client had too many.",
		}),
		apis: map[string]*classes{},
	}
	m.outside = m.classes("")
	return m
}

func (m *metrics) answered(api *pipeline.Api, status int, took time.Duration) {
	m.total.Add(1)
	if class := status / 100; 1 <= class && class < len(classes{}) {
		m.of(api)[class].Inc()
	}
	m.duration.Observe(took.Seconds())
}

// of returns the counters of an Api. From the first request on they are attached to it.
func (m *metrics) of(api *pipeline.Api) *classes {
	if api == nil {
		return m.outside
	}
	if c, ok := api.Attached.Load().(*classes); ok {
		return c
	}
	c := m.classes(api.ID)
	api.Attached.Store(c)
	return c
}

// classes finds or makes the counters under an id. An Api that is compiled again keeps
// its counters.
func (m *metrics) classes(id string) *classes {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.apis[id]; !known && len(m.apis) >= maxCountedApis {
		id = otherApis
	}
	c, ok := m.apis[id]
	if !ok {
		c = new(classes)
		for class := 1; class < len(c); class++ {
			c[class] = m.requests.WithLabelValues(id, strconv.Itoa(class)+"xx")
		}
		m.apis[id] = c
	}
	return c
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
