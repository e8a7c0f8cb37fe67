//go:build !race

package route_test

import "testing"

func TestMatchAllocatesNothing(t *testing.T) {
	tab := table(t, at("", "/orders"), at("*.acme.test", "/wild"), at("api.acme.test", "/exact"))
	host, path := []byte("api.acme.test"), []byte("/orders/v1/7")
	if n := testing.AllocsPerRun(100, func() { tab.Match(host, path) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
