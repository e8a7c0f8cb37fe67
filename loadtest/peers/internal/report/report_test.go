package report

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
)

func results() *figures.Results {
	series := func(name string, cpu float64) *figures.Series {
		return &figures.Series{Contender: name, Rounds: []figures.Sample{{Requests: 1000, Seconds: 1, User: cpu / 2, System: cpu / 2, P50: 50, P99: 90, Peak: 12}}}
	}
	half := &figures.Workload{Name: "half", Rate: 40_000, Series: []*figures.Series{series("bare", 12), series("gateway", 13)}}
	main := &figures.Workload{Name: "repeated", Title: "one token repeated", Series: []*figures.Series{series("bare", 10), series("haproxy", 11), series("gateway", 10.5)}}
	return &figures.Results{
		Date: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Commit: "abc1234", Command: "go run ./loadtest/peers", Seed: 7,
		Machine: figures.Machine{Processor: "Some CPU", Cores: 2, MemoryMiB: 1000, Kernel: "6.1", System: "Debian"}, Versions: map[string]string{"wrk": "4.1", "Go": "1.26"},
		Workloads: []*figures.Workload{main, half}, Propagation: &figures.Propagation{Nodes: 5, Toggles: 1000, P99: 4.2},
	}
}

func TestPage(t *testing.T) {
	page, err := Page(results())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2 January 2026", "`abc1234`", "2 cores of Some CPU", "Go 1.26, wrk 4.1",
		"| one token repeated, RS256, against the bare proxy | ≤ 1.08 | 1.050 (1.050–1.050) | ✓ |",
		"| Portcullis | 1000 | 1 % | **10.50** (10.50–10.50) | 5.25 | 5.25 | 50 | 90 | 12 | 1.05 |",
		"x-axis [\"bare fasthttp proxy\", \"HAProxy\", \"Portcullis\"]\n", "bar [10.0, 11.0, 10.5]\n```\n\n", "40000/s", "p99 4.20 ms", "seed 7",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if strings.Contains(page, "<no value>") || strings.Contains(page, "%!") {
		t.Errorf("the page has holes:\n%s", page)
	}
	// Tables need an empty line before and after, and there is none too many.
	if m := regexp.MustCompile(`(?m)^[^|\n].*\n\|`).FindString(page); m != "" {
		t.Errorf("a table follows a paragraph at once: %q", m)
	}
	if at := strings.Index(page, "\n\n\n"); at >= 0 {
		t.Errorf("two empty lines after %q", page[max(0, at-80):at])
	}
}
