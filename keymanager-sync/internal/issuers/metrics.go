package issuers

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	fetches   *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	written   prometheus.Counter
	swept     prometheus.Counter
	closed    prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_jwks_fetches_total", Help: "Fetches of issuers' key sets by how they ended.",
		}, []string{"result"}),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_jwks_refresh_requests_total",
			Help: "Requests of nodes that met an unknown kid; refused: the issuer is unknown, or a fetch is to come already.",
		}, []string{"result"}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_key_sets_written_total", Help: "Key sets written to the log, renewals included.",
		}),
		swept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_revocations_swept_total", Help: "Revocations removed after their end.",
		}),
		closed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_subscriptions_swept_total", Help: "Open subscriptions of closed plans that were closed afterwards.",
		}),
	}
	if registry != nil {
		registry.MustRegister(m.fetches, m.refreshes, m.written, m.swept, m.closed)
	}
	return m
}
