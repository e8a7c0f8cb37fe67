package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
)

// introspection shows what asking authorization servers about tokens comes to,
// and the memory of DPoP proofs, which authn counts itself.
type introspection struct {
	tokens                                  *authn.Authenticator
	answers, hits, negative, misses, evicts *prometheus.Desc
	entries, bytes, open, openings          *prometheus.Desc
	proofs, proofsRefused                   *prometheus.Desc
}

func registerIntrospection(r prometheus.Registerer, tokens *authn.Authenticator) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("portcullis_"+name, help, labels, nil)
	}
	r.MustRegister(&introspection{
		tokens:        tokens,
		answers:       desc("introspections_total", "Questions to introspection servers, by how they ended.", "result"),
		hits:          desc("introspection_cache_hits_total", "Tokens that were found introspected."),
		negative:      desc("introspection_cache_negative_hits_total", "Tokens that were found inactive."),
		misses:        desc("introspection_cache_misses_total", "Tokens that had to be asked about."),
		evicts:        desc("introspection_cache_evictions_total", "Introspected tokens that made room for others."),
		entries:       desc("introspection_cache_entries", "Introspected tokens that are remembered."),
		bytes:         desc("introspection_cache_bytes", "Memory for introspected tokens."),
		open:          desc("introspection_circuits_open", "Introspection servers that are not asked at present because they fail."),
		openings:      desc("introspection_circuit_openings_total", "How often an introspection server was given up for a while."),
		proofs:        desc("dpop_proofs", "DPoP proofs that are remembered as used."),
		proofsRefused: desc("dpop_proofs_refused_total", "DPoP proofs that were refused because the memory of used ones, or the client's share of it, was full."),
	})
}

// Describe implements prometheus.Collector.
func (i *introspection) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(i, out) }

// Collect implements prometheus.Collector.
func (i *introspection) Collect(out chan<- prometheus.Metric) {
	stats := i.tokens.Stats()
	in := stats.Introspected
	total := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	now := func(d *prometheus.Desc, n int) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	for outcome, n := range in.Outcomes {
		total(i.answers, n, string(outcome))
	}
	total(i.hits, in.Hits)
	total(i.negative, in.NegativeHits)
	total(i.misses, in.Misses)
	total(i.evicts, in.Evictions)
	total(i.openings, in.Openings)
	total(i.proofsRefused, stats.ProofsRefused)
	now(i.entries, in.Entries)
	now(i.bytes, in.Bytes)
	now(i.open, in.OpenCircuits)
	now(i.proofs, stats.Proofs)
}
