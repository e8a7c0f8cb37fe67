package issuers

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	fetches   *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	written   prometheus.Counter
	swept     prometheus.Counter
	closed    prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) metrics {
	register := promauto.With(registry)
	return metrics{
		fetches: register.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_jwks_fetches_total", Help: "Fetches of issuers' key sets by how they ended.",
		}, []string{"result"}),
		refreshes: register.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_jwks_refresh_requests_total",
			Help: "Requests of nodes that met an unknown kid; refused: the issuer is unknown, or a fetch is to come already.",
		}, []string{"result"}),
		written: register.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_key_sets_written_total", Help: "Key sets written to the log, renewals included.",
		}),
		swept: register.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_revocations_swept_total", Help: "Revocations removed after their end.",
		}),
		closed: register.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_subscriptions_swept_total", Help: "Open subscriptions of closed plans that were closed afterwards.",
		}),
	}
}
