package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const printed = `goos: linux
pkg: github.com/portcullis-gateway/portcullis/gateway/internal/authn
cpu: some
BenchmarkToken/repeated         	    1000	        78.01 ns/op	 100.00 MB/s	       0 B/op	       0 allocs/op
BenchmarkToken/new/HS256        	    1000	      3710 ns/op	    3669 B/op	      22 allocs/op
PASS
pkg: github.com/portcullis-gateway/portcullis/shared/catalog
BenchmarkGrant/subscriptions=1000000 	 1000	 982.3 ns/op	 189.7 B/subscription	 0 B/op	 0 allocs/op
BenchmarkForward 	 1000	 18446 ns/op	 43.84 gateway-B/op	 0.243 gateway-allocs/op	 9586 gateway-cpu-ns/op	 3.879 gateway-reads/op	 2.001 gateway-writes/op	 99 B/op	 7 allocs/op
PASS
`

func parsed(t *testing.T, text string) figures {
	t.Helper()
	found, err := read(strings.NewReader(text), "test")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestRead(t *testing.T) {
	const authn, catalog = "gateway/internal/authn", "shared/catalog"
	want := figures{
		{authn, "Token/repeated", "B/op"}: 0, {authn, "Token/repeated", "allocs/op"}: 0,
		{authn, "Token/new/HS256", "B/op"}: 3669, {authn, "Token/new/HS256", "allocs/op"}: 22,
		{catalog, "Grant/subscriptions=1000000", "B/subscription"}: 189.7,
		{catalog, "Grant/subscriptions=1000000", "B/op"}:           0, {catalog, "Grant/subscriptions=1000000", "allocs/op"}: 0,
		{catalog, "Forward", "gateway-B/op"}: 43.84, {catalog, "Forward", "gateway-allocs/op"}: 0.243, {catalog, "Forward", "gateway-writes/op"}: 2.001,
	}
	found := parsed(t, printed)
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	var baseline strings.Builder
	if err := write(&baseline, found); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(found, parsed(t, baseline.String())); diff != "" {
		t.Errorf("a baseline is not read as it was written:\n%s\n%s", diff, baseline.String())
	}
	if n := found.benchmarks(); n != 4 {
		t.Errorf("%d benchmarks", n)
	}
	if _, err := read(strings.NewReader("BenchmarkX 1000 many B/op\n"), "test"); err == nil {
		t.Error("a line that cannot be understood is no error")
	}
}

func TestCompare(t *testing.T) {
	allocs := figure{"p", "X", "allocs/op"}
	held := figure{"p", "X", "B/subscription"}
	bytes := figure{"p", "X", "B/op"}
	for name, c := range map[string]struct {
		figure
		accepted, found float64
		want            string
	}{
		"nothing to nothing":   {allocs, 0, 0, ""},
		"nothing to one":       {allocs, 0, 1, "WORSE   p BenchmarkX: allocs/op is 1, accepted are 0\n"},
		"no bytes to one byte": {bytes, 0, 1, "WORSE   p BenchmarkX: B/op is 1, accepted are 0\n"},
		"one to two":           {allocs, 1, 2, "WORSE   p BenchmarkX: allocs/op is 2, accepted are 1\n"},
		"within a tenth":       {allocs, 100, 110, ""},
		"beyond it":            {allocs, 100, 111, "WORSE   p BenchmarkX: allocs/op is 111, accepted are 100\n"},
		"a little of bytes":    {bytes, 100, 126, ""},
		"more than that":       {bytes, 100, 127, "WORSE   p BenchmarkX: B/op is 127, accepted are 100\n"},
		"memory":               {held, 200, 221, "WORSE   p BenchmarkX: B/subscription is 221, accepted are 200\n"},
		"less":                 {allocs, 2, 1, "better  p BenchmarkX: allocs/op is 1, accepted are 2: go tool task bench:accept keeps it so\n"},
		"less, to nothing":     {allocs, 1, 0, "better  p BenchmarkX: allocs/op is 0, accepted are 1: go tool task bench:accept keeps it so\n"},
		"less, within a tenth": {allocs, 110, 100, ""},
	} {
		d := compare(figures{c.figure: c.accepted}, figures{c.figure: c.found})
		var out strings.Builder
		d.print(&out)
		if out.String() != c.want {
			t.Errorf("%s: got %q, want %q", name, out.String(), c.want)
		}
		if fails := d.faults() > 0; fails != strings.HasPrefix(c.want, "WORSE") {
			t.Errorf("%s: fails: %v", name, fails)
		}
	}
}

func TestNewAndGone(t *testing.T) {
	x, y := figure{"p", "X", "B/op"}, figure{"p", "Y", "B/op"}
	d := compare(figures{x: 1}, figures{y: 1})
	var out strings.Builder
	d.print(&out)
	const want = "NEW     p BenchmarkY: B/op was never accepted\nGONE    p BenchmarkX: B/op was accepted and is not measured any more\n"
	if out.String() != want || d.faults() != 2 {
		t.Errorf("%d faults: %s", d.faults(), out.String())
	}
}

// What is too large once is measured again, and the least counts.
func TestLower(t *testing.T) {
	x, y := figure{"p", "X", "B/op"}, figure{"q", "Y", "B/op"}
	accepted, found := figures{x: 100, y: 100}, figures{x: 300, y: 300}
	if got := compare(accepted, found).grownPackages(); !slices.Equal(got, []string{module + "p", module + "q"}) {
		t.Error(got)
	}
	found.lower(figures{x: 100, y: 400})
	d := compare(accepted, found)
	if len(d.grown) != 1 || d.grown[0].figure != y || d.grown[0].found != 300 {
		t.Errorf("%+v", d.grown)
	}
}

func TestMedians(t *testing.T) {
	x := figure{"p", "X", "B/op"}
	if got := medians([]figures{{x: 3}, {x: 1}, {x: 2}}); !maps.Equal(got, figures{x: 2}) {
		t.Error(got)
	}
}

// The baseline that is committed can be read, and has the benchmarks that matter most.
func TestBaseline(t *testing.T) {
	t.Chdir("../../..")
	accepted, err := readBaseline()
	if err != nil {
		t.Fatal(err)
	}
	for _, must := range []struct {
		figure
		most float64
	}{
		{figure{"gateway/internal/pipeline", "Decide/token/repeated", "allocs/op"}, 0},
		{figure{"gateway/internal/authn", "Token/repeated", "allocs/op"}, 0},
		{figure{"gateway/internal/front/fast", "Forward/token", "gateway-allocs/op"}, 0.5},
		{figure{"shared/catalog", "Grant/subscriptions=1000000", "B/subscription"}, 250},
	} {
		if got, ok := accepted[must.figure]; !ok || got > must.most {
			t.Errorf("%s: %v (%v), want at most %v", must.figure, got, ok, must.most)
		}
	}
}
