package ledger

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	appends *prometheus.CounterVec
	unknown prometheus.Counter
	group   prometheus.Histogram
	seconds prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) metrics {
	register := promauto.With(registry)
	return metrics{
		appends: register.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_log_appends_total",
			Help: "Attempts to append an entry: landed, conflict (another replica was faster; decided again), failed.",
		}, []string{"result"}),
		unknown: register.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_log_append_unknown_total",
			Help: "Appends whose answer was lost, so that the outcome had to be found out.",
		}),
		group: register.NewHistogram(prometheus.HistogramOpts{
			Name: "portcullis_log_entry_transactions", Help: "Transactions in an appended entry.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		seconds: register.NewHistogram(prometheus.HistogramOpts{
			Name: "portcullis_log_append_seconds", Help: "From the decision of a group to its answer, durable on this replica.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
	}
}
