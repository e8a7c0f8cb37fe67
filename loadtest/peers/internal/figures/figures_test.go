package figures

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

// series makes one whose rounds have these processor times.
func series(name string, cpu ...float64) *Series {
	s := &Series{Contender: name}
	for _, v := range cpu {
		s.Rounds = append(s.Rounds, Sample{Requests: 100, Seconds: 2, User: v / 4, System: v * 3 / 4, P99: v * 10})
	}
	return s
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Quartiles
	}{
		{nil, Quartiles{}},
		{[]float64{7}, Quartiles{7, 7, 7}},
		{[]float64{4, 1, 3, 2}, Quartiles{1.75, 2.5, 3.25}},
		{[]float64{5, 1, 9, 3, 7}, Quartiles{3, 5, 7}},
	} {
		if got := Spread(c.values); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.values, got, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	// One bad round moves neither median.
	got := Compare(series("a", 10, 11, 12, 90, 11), series("b", 10, 10, 10, 10, 10), CPU)
	if want := (Ratio{1.1, 1.1, 1.2}); math.Abs(got.Value-want.Value)+math.Abs(got.Low-want.Low)+math.Abs(got.High-want.High) > 1e-9 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, r := range []Ratio{Compare(nil, series("b", 1), CPU), Compare(series("a", 1), series("b"), CPU), Compare(series("a", 1), series("b", 0), CPU)} {
		if r.Known() {
			t.Errorf("%+v is known", r)
		}
	}
}

func results() *Results {
	return &Results{Workloads: []*Workload{
		{Name: "repeated", Title: "one token repeated", Series: []*Series{
			series("bare", 10, 10, 10), series("haproxy", 12, 12, 12), series("nginx", 9, 9, 9), series("haproxy-rs256", 30, 30, 30), series("gateway", 10.5, 10.6, 10.4),
		}},
		{Name: "half", Series: []*Series{series("bare", 10), series("gateway", 12)}},
	}, Propagation: &Propagation{Nodes: 5, P99: 12}, Scale: &Scale{Network: 3.9, Disk: 1.9, ResidentNetwork: 230, ResidentDisk: 200}}
}

func TestTargets(t *testing.T) {
	marks := map[string]string{}
	for _, target := range Targets(results()) {
		marks[target.Title] = target.Mark()
	}
	for title, want := range map[string]string{
		"one token repeated, RS256, against the bare proxy":              "✓",
		"… against HAProxy without checks":                               "✓",
		"… against nginx without checks":                                 "✗", // 1.17
		"… against HAProxy jwt_verify RS256":                             "✓",
		"every token new, RS256, against HAProxy jwt_verify":             " ", // did not run
		"p99 at half of saturation, against the bare proxy":              "✗", // 1.2
		"1,000,000 subscriptions, 100,000 applications: resident memory": "✓", // 241 MB
		"… ready from disk":                                              "✓",
		"change acknowledged → enforced on five nodes, p99":              "✗",
	} {
		if got, known := marks[title]; got != want || !known {
			t.Errorf("%s: %q, want %q", title, got, want)
		}
	}
	if !Missed(results()) {
		t.Error("a missed target is not noticed")
	}
	if Missed(&Results{}) {
		t.Error("what was not measured counts as missed")
	}
}

func TestTable(t *testing.T) {
	got := Table(results())
	for _, want := range []string{"repeated: one token repeated", "10.50", "1.050 (1.045–1.055)", "✗", "not measured"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestSave(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	if err := results().Save(file); err != nil {
		t.Fatal(err)
	}
	r, err := Load(file)
	if err != nil || r.Find("repeated").Find("gateway").Median(CPU) != 10.5 || r.Find("growth") != nil || r.Find("growth").Find("x") != nil {
		t.Errorf("%+v, %v", r, err)
	}
}
