package front

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Totals are the requests answered and the requests refused since the start.
func (c *Core) Totals() (requests, denials uint64) {
	c.metrics.reasons.Range(func(_, counted any) bool {
		if counter, ok := counted.(prometheus.Counter); ok {
			denials += value(counter)
		}
		return true
	})
	return c.metrics.total.Load(), denials
}

func value(c prometheus.Counter) uint64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}
