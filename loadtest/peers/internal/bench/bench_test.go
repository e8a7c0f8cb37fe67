//go:build linux

package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/account"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/contend"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/load"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name              string
		w                 Workload
		checks            bool
		requests, refused int
		ok                bool
	}{
		{"all allowed", Workload{Connections: 64}, true, 1000, 0, true},
		{"one refused", Workload{Connections: 64}, true, 1000, 1, false},
		{"a tenth refused", Workload{Connections: 64, Mixed: true}, true, 10_000, 1010, true},
		{"too few refused", Workload{Connections: 64, Mixed: true}, true, 10_000, 900, false},
		{"too many refused", Workload{Connections: 64, Mixed: true}, true, 10_000, 1100, false},
		{"refused by one that checks nothing", Workload{Connections: 64, Mixed: true}, false, 10_000, 1000, false},
	} {
		err := c.w.judge(&entrant{denied: c.checks}, &load.Result{Requests: c.requests, Status: c.refused})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSample(t *testing.T) {
	from := clock{account.Account{User: time.Second, System: time.Second}, account.Processor{Busy: 10 * time.Second, Idle: time.Second}}
	to := clock{
		account.Account{User: 1300 * time.Millisecond, System: 1900 * time.Millisecond, PeakBytes: 64 << 20},
		account.Processor{Busy: 11400 * time.Millisecond, Idle: 1600 * time.Millisecond},
	}
	got := from.sample(to, &load.Result{Requests: 100_000, Microseconds: 2_000_000, P50: 500, P99: 900, Status: 3})
	want := figures.Sample{Requests: 100_000, Denied: 3, Seconds: 2, User: 3, System: 9, P50: 500, P99: 900, Peak: 64, Foreign: 0.1}
	if *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	if got := figures.CPU(*got); got != 12 {
		t.Errorf("%v µs for each request", got)
	}
}

func TestAdapt(t *testing.T) {
	w := Workload{Contenders: []string{Bare, Nginx, Gateway}, Rounds: 7, Seconds: 5}
	for _, c := range []struct {
		name string
		b    Bench
		want []string
	}{
		{"all", Bench{Gateways: []string{Gateway}}, []string{Bare, Nginx, Gateway}},
		{"two builds", Bench{Gateways: []string{"old", "new"}}, []string{Bare, Nginx, "old", "new"}},
		{"only the builds", Bench{Gateways: []string{"old", "new"}, Only: []string{Gateway}}, []string{"old", "new"}},
		{"one build and one other", Bench{Gateways: []string{"old", "new"}, Only: []string{"new", Bare}}, []string{Bare, "new"}},
		{"somebody else", Bench{Gateways: []string{Gateway}, Only: []string{HAProxyES256}}, []string{}},
	} {
		if got := c.b.adapt(w).Contenders; !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if got := (&Bench{Rounds: 2, Seconds: 1}).adapt(w); got.Rounds != 2 || got.Seconds != 1 {
		t.Errorf("got %d rounds of %d s", got.Rounds, got.Seconds)
	}
}

// TestWorkloads: each has what it needs, its contenders exist, and what is called new is.
func TestWorkloads(t *testing.T) {
	known := []string{Bare, Nginx, HAProxy, HAProxyRS256, HAProxyES256, Gateway, Gateway1, Gateway10k, GatewaySmall}
	seen := map[string]bool{}
	for _, w := range Workloads() {
		if seen[w.Name] || w.Name == "" || w.Title == "" || w.Rounds < 7 || w.Seconds < 1 || w.Connections < 1 {
			t.Errorf("%+v", w)
		}
		seen[w.Name] = true
		for _, name := range w.Contenders {
			if !slices.Contains(known, name) {
				t.Errorf("%s: no contender %s", w.Name, name)
			}
		}
		if w.Algorithm == "" && w.Path == "" {
			t.Errorf("%s has neither tokens nor a path", w.Name)
		}
		const remembered = 100_000 // of the gateway, by default
		if w.New && w.Tokens < remembered*5/4 {
			t.Errorf("%s: %d tokens come round again while they are remembered", w.Name, w.Tokens)
		}
	}
}

// TestCaches: a gateway that remembers too much or too little fails the workload.
func TestCaches(t *testing.T) {
	e := &entrant{Contender: &contend.Contender{Kind: contend.Gateway}}
	for _, c := range []struct {
		name         string
		w            Workload
		hits, misses float64
		ok           bool
	}{
		{"remembered", Workload{Algorithm: "RS256"}, 1000, 0, true},
		{"forgotten", Workload{Algorithm: "RS256"}, 900, 100, false},
		{"new", Workload{Algorithm: "RS256", New: true}, 0, 1000, true},
		{"not new", Workload{Algorithm: "RS256", New: true}, 100, 900, false},
		{"not looked at", Workload{Algorithm: "RS256"}, 100, 0, false},
		{"no tokens", Workload{}, 0, 0, true},
	} {
		err := (observed{}).verify(observed{c.hits, c.misses}, c.w, e, &load.Result{Requests: 1000})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
