package fleet

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

func (f *Fleet) observe() {
	register := promauto.With(f.cfg.Registry)
	f.diverged = register.NewCounter(prometheus.CounterOpts{
		Name: "portcullis_state_divergence_total",
		Help: "Times another replica showed another set hash at the same sequence. Must always be 0.",
	})
	gauge := func(name, help string, read func() float64) {
		register.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
	}
	gauge("portcullis_fleet_nodes", "Live nodes.", func() float64 { return float64(f.count(func(Node) bool { return true })) })
	gauge("portcullis_fleet_nodes_silent", "Nodes that belong to the fleet and are not heard.", func() float64 { return float64(f.silent()) })
	gauge("portcullis_fleet_nodes_behind", "Live nodes that are behind this replica, or in another epoch.",
		func() float64 { return float64(f.count(func(n Node) bool { return n.Lag > 0 || n.OtherEpoch })) })
	gauge("portcullis_fleet_rejects", "Resources that live nodes could not put in force, over all nodes.", func() float64 { return float64(f.rejects()) })
	gauge("portcullis_fleet_nodes_not_in_force", "Live nodes with at least one resource that they could not put in force.",
		func() float64 { return float64(f.count(func(n Node) bool { return n.Rejects() > 0 })) })
	gauge("portcullis_fleet_leader", "1 if this replica fetches key sets and sweeps.", func() float64 {
		if f.Leader() {
			return 1
		}
		return 0
	})
}

func (f *Fleet) count(which func(Node) bool) (total int) {
	for _, n := range f.Report().Nodes {
		if n.Live && which(n) {
			total++
		}
	}
	return total
}

func (f *Fleet) silent() (total int) {
	for _, n := range f.Report().Nodes {
		if n.Member && !n.Live {
			total++
		}
	}
	return total
}

func (f *Fleet) rejects() (total int) {
	for _, n := range f.Report().Nodes {
		if n.Live {
			total += n.Rejects()
		}
	}
	return total
}
