//go:build linux

package load

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	r, err := parse([]byte("Running 5s test @ http://127.0.0.1:1\n  1 threads and 64 connections\n" +
		`{"microseconds":5000000,"requests":40,"bytes":9,"connect":0,"read":1,"write":0,"timeout":2,"status":4,"p50":600,"p99":1800,"max":9000}` + "\n"))
	if err != nil || r.Requests != 40 || r.Status != 4 || r.P99 != 1800 || r.Microseconds != 5e6 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.Faults(); err == nil || !strings.Contains(err.Error(), "1 reads") || !strings.Contains(err.Error(), "2 timeouts") {
		t.Errorf("faults: %v", err)
	}
	if err := (&Result{Requests: 1}).Faults(); err != nil {
		t.Errorf("faults of a good run: %v", err)
	}
	if err := (&Result{}).Faults(); err == nil {
		t.Error("a run without requests is good")
	}
	for _, bad := range []string{"", "unable to connect\n", "{broken\n"} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
}

func TestCommand(t *testing.T) {
	w := &Wrk{Dir: t.TempDir(), Processor: 1}
	got, err := w.Command(Requests{Target: "http://a:1", Path: "/x", Headers: []string{"K", "v"}, Connections: 64}, 3*time.Second)
	if want := []string{"taskset", "-c", "1", "wrk", "-t1", "-c64", "-d3s", "--timeout", "10s", "-s", w.Dir + "/fixed.lua", "http://a:1/x", "--", "GET", "-", "K", "v"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	got, err = w.Command(Requests{Target: "http://a:1", Path: "/x", Lines: "tokens", First: 7, Connections: 1000}, time.Second)
	if err != nil || !slices.Contains(got, w.Dir+"/rotate.lua") || !slices.Equal(got[len(got)-2:], []string{"tokens", "7"}) {
		t.Errorf("got %q, %v", got, err)
	}
}
