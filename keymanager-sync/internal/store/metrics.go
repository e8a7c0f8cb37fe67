package store

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

type metrics struct {
	interruptions  prometheus.Counter
	rejects        prometheus.Counter
	undecodable    prometheus.Counter
	folded         prometheus.Counter
	foldSeconds    prometheus.Histogram
	snapshotBuilds prometheus.Counter
	downloads      *prometheus.CounterVec
	misconfigured  prometheus.Gauge
}

// observe makes the store's metrics and shows them in a registry, if there is one.
func (st *Store) observe(registry prometheus.Registerer) {
	register := promauto.With(registry)
	counter := func(name, help string) prometheus.Counter {
		return register.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	st.metrics = metrics{
		interruptions: counter("portcullis_log_interruptions_total", "Times following the log ended with trouble."),
		rejects:       counter("portcullis_sync_rejects_total", "Changes that this version could not understand."),
		undecodable:   counter("portcullis_log_undecodable_total", "Log entries that could not be understood and were passed over."),
		folded:        counter("portcullis_log_entries_folded_total", "Log entries folded and made durable."),
		foldSeconds: register.NewHistogram(prometheus.HistogramOpts{
			Name: "portcullis_log_fold_seconds", Help: "Time to fold a batch of entries and make it durable.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		snapshotBuilds: counter("portcullis_snapshot_builds_total", "Snapshots that were built."),
		downloads: register.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_snapshot_downloads_total", Help: "Snapshot downloads by whether they were admitted.",
		}, []string{"result"}),
		misconfigured: register.NewGauge(prometheus.GaugeOpts{
			Name: "portcullis_log_misconfigured", Help: "1 if the log's stream is not configured as it was created; the log says how.",
		}),
	}
	st.observeState(register)
}

// observeState shows where the store stands, read when it is asked for.
func (st *Store) observeState(register promauto.Factory) {
	gauge := func(name, help string, labels prometheus.Labels, read func() float64) {
		register.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, read)
	}
	gauge("portcullis_sync_sequence", "The log sequence at which the store stands.", nil,
		func() float64 { return float64(st.State().Position().Sequence) })
	gauge("portcullis_sync_epoch", "The epoch of the log that the store follows.", nil,
		func() float64 { return float64(st.State().Position().Epoch) })
	gauge("portcullis_sync_lag_seconds", "How long the store has been behind the log; 0: it is not.", nil,
		func() float64 { return st.Status().Lag.Seconds() })
	gauge("portcullis_sync_rejected_resources", "Resources that this version cannot understand, now.", nil,
		func() float64 { return float64(len(st.State().Rejects())) })
	gauge("portcullis_view_bytes", "Size of the store's file.", nil, st.disk.size)
	for _, phase := range []Phase{Opening, Loading, Live, Away, Hold} {
		gauge("portcullis_log_state", "1 for the phase the store is in. Alarm on HOLD.", prometheus.Labels{"state": string(phase)},
			func() float64 { return one(st.Status().Phase == phase) })
	}
	for _, kind := range catalog.Kinds() {
		gauge("portcullis_resources", "Resources by kind.", prometheus.Labels{"kind": catalog.KindName(kind)},
			func() float64 { return float64(st.State().Len(kind)) })
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
