package feed

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are what a Feed counts.
type Metrics struct {
	sequence, onDisk, rejects, saved        prometheus.Gauge
	notInForce                              prometheus.Gauge
	applied, resyncs, divergences, oldHeads prometheus.Counter
	compileFaults, diskFaults, badFiles     prometheus.Counter
	journalFaults                           prometheus.Counter
	journalWrites                           prometheus.Histogram
	fetches                                 *prometheus.CounterVec
}

// NewMetrics registers the metrics; nil keeps them to themselves.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	register := promauto.With(registry)
	gauge := func(name, help string) prometheus.Gauge {
		return register.NewGauge(prometheus.GaugeOpts{Name: "portcullis_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return register.NewCounter(prometheus.CounterOpts{Name: "portcullis_" + name, Help: help})
	}
	return &Metrics{
		sequence:      gauge("sync_sequence", "Sequence of the log that is in force."),
		onDisk:        gauge("sync_disk_sequence", "Sequence of the log that the node could start from without the control plane; heartbeats name it."),
		rejects:       gauge("sync_rejects", "Resources whose last change could not be understood."),
		notInForce:    gauge("not_in_force", "Resources that this node could not put in force: it answers 503 for the Apis concerned."),
		saved:         gauge("snapshot_saved_timestamp_seconds", "When the state was last saved to disk, in seconds since 1970."),
		applied:       counter("sync_entries_total", "Entries of the log that were applied."),
		resyncs:       counter("sync_resyncs_total", "Snapshots taken because the state did not fit the log."),
		divergences:   counter("sync_divergences_total", "Set hashes that differed from the control plane's."),
		oldHeads:      counter("sync_old_heads_total", "Heads of an earlier epoch that were ignored."),
		compileFaults: counter("compile_faults_total", "Resources that turned out not to be in force: a definition that this node cannot compile."),
		diskFaults:    counter("snapshot_disk_faults_total", "Snapshots that could not be read from or written to disk."),
		journalFaults: counter("journal_faults_total", "Times that applied entries could not be written to or read from the journal."),
		journalWrites: register.NewHistogram(prometheus.HistogramOpts{
			Name: "portcullis_journal_write_seconds", Help: "Time until entries were written to the journal and on disk.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 3, 10),
		}),
		badFiles: counter("resource_file_faults_total", "Edits of resource files that were refused."),
		fetches: register.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_jwks_fetches_total", Help: "Fetches of key sets, by result.",
		}, []string{"result"}),
	}
}

// Register adds the metrics that are computed at each scrape, because they change
// also while nothing happens.
func (f *Feed) Register(registry prometheus.Registerer) {
	register := promauto.With(registry)
	age := func(name, help string) {
		register.NewGaugeFunc(prometheus.GaugeOpts{Name: "portcullis_" + name, Help: help},
			func() float64 { return f.Status().Age.Seconds() })
	}
	age("snapshot_age_seconds", "Age of the state in force: time since the node last knew it was current; 0 while it is.")
	age("sync_lag_seconds", "Time since the node last knew itself at the head of the log; 0 while it is.")
	if f.cfg.Disk != nil {
		register.NewGaugeFunc(prometheus.GaugeOpts{Name: "portcullis_journal_bytes", Help: "Size of the journals on disk."},
			func() float64 {
				size, err := f.cfg.Disk.JournalBytes()
				if err != nil {
					return math.NaN()
				}
				return float64(size)
			})
	}
}
