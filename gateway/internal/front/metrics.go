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
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

const (
	// maxCountedRefusals bounds the counters of refusals, of which there is one for each
	// Api, reason and cause that occur together; those that come later are counted
	// under otherApis, and there are as many of those as reasons and causes go together.
	maxCountedRefusals = 10_000
	// maxCountedApis bounds the Apis that have counters of their own; those that
	// come later share the ones of otherApis.
	maxCountedApis = 10_000
	// maxTimedApis bounds those that have a histogram of their own, which is 18 series.
	maxTimedApis = 1_000
	otherApis    = "_other"
)

// metrics counts answers. Labels are looked up at an Api's first request, so that later
// ones only increment.
type metrics struct {
	requests  *prometheus.CounterVec
	total     atomic.Uint64
	outside   *classes // of requests that no Api was found for
	durations *prometheus.HistogramVec
	refused   prometheus.Counter // connections

	mu   sync.Mutex
	apis map[string]*classes // by id

	denials  *prometheus.CounterVec
	denied   atomic.Uint64
	guard    sync.RWMutex
	refusals map[refusalKind]prometheus.Counter
}

// refusalKind is what has a counter of its own.
type refusalKind struct {
	api, reason string
	cause       cause.Cause
}

// classes are what is counted of one Api.
type classes struct {
	answers  [6]prometheus.Counter // by the first digit of the status
	duration prometheus.Observer
}

func newMetrics(registry prometheus.Registerer) *metrics {
	register := promauto.With(registry)
	m := &metrics{
		requests: register.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_requests_total",
			Help: "Requests that were answered, by Api (empty: none was found) and class of status.",
		}, []string{"api", "status"}),
		durations: register.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "portcullis_request_duration_seconds",
			Help:    "Time from a request's header section to the begin of its answer, by Api (empty: none was found).",
			Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"api"}),
		denials: register.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_denials_total",
			Help: "Requests that the gateway refused, by Api (empty: none was found), reason and cause.",
		}, []string{"api", "reason", "cause"}),
		refused: register.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_connections_refused_total",
			Help: "Connections that were closed at once because their client had too many.",
		}),
		apis:     map[string]*classes{},
		refusals: map[refusalKind]prometheus.Counter{},
	}
	m.outside = m.classes("")
	return m
}

func (m *metrics) answered(api *pipeline.Api, status int, took time.Duration) {
	m.total.Add(1)
	c := m.of(api)
	if class := status / 100; 1 <= class && class < len(c.answers) {
		c.answers[class].Inc()
	}
	c.duration.Observe(took.Seconds())
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
		for class := 1; class < len(c.answers); class++ {
			c.answers[class] = m.requests.WithLabelValues(id, strconv.Itoa(class)+"xx")
		}
		timed := id
		if len(m.apis) >= maxTimedApis {
			timed = otherApis
		}
		c.duration = m.durations.WithLabelValues(timed)
		m.apis[id] = c
	}
	return c
}

// refuse counts a refusal. Once its kind was seen, it does not allocate.
func (m *metrics) refuse(api *pipeline.Api, d *denial.Denial) {
	m.denied.Add(1)
	kind := refusalKind{reason: d.Reason(), cause: d.Cause()}
	if api != nil {
		kind.api = api.ID
	}
	m.guard.RLock()
	c, ok := m.refusals[kind]
	m.guard.RUnlock()
	if !ok {
		c = m.refusal(kind)
	}
	c.Inc()
}

// refusal finds or makes the counter of a kind.
func (m *metrics) refusal(kind refusalKind) prometheus.Counter {
	m.guard.Lock()
	defer m.guard.Unlock()
	if _, known := m.refusals[kind]; !known && len(m.refusals) >= maxCountedRefusals {
		kind.api = otherApis
	}
	c, ok := m.refusals[kind]
	if !ok {
		c = m.denials.WithLabelValues(kind.api, kind.reason, kind.cause.String())
		m.refusals[kind] = c
	}
	return c
}
