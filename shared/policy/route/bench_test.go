package route_test

import (
	"strconv"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/policy/route"
)

func BenchmarkMatch(b *testing.B) {
	path := []byte("/team-10000/orders/v1/items/7")
	for _, n := range []int{1, 100, 10_000} {
		entries := make([]entry, 0, n+1)
		for i := range n {
			entries = append(entries, at("", "/team-"+strconv.Itoa(10_000+i)+"/orders"))
		}
		match(b, "apis="+strconv.Itoa(n), table(b, entries...), "api.acme.test", path, true)
		if n == 10_000 {
			match(b, "apis=10000/not found", table(b, entries...), "api.acme.test", []byte("/team-x/orders"), false)
			entries = append(entries, at("*.acme.test", "/team-10000"))
			match(b, "apis=10000/wildcard host", table(b, entries...), "api.acme.test", path, true)
		}
	}
}

func match(b *testing.B, name string, tab *route.Table[string], host string, path []byte, want bool) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		host := []byte(host)
		b.ReportAllocs()
		for b.Loop() {
			if _, _, ok := tab.Match(host, path); ok != want {
				b.Fatal(ok)
			}
		}
	})
}
