package front

// Totals are the requests answered and the requests refused since the start.
func (c *Core) Totals() (requests, denials uint64) {
	return c.metrics.total.Load(), c.metrics.denied.Load()
}
