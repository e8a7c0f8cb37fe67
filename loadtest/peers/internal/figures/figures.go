// Package figures holds what the comparison has measured, and reduces it: medians,
// quartiles, ratios, and the targets that the ratios have to reach.
package figures

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"time"
)

// Sample is one contender's part in one round.
type Sample struct {
	Requests int     `json:"requests"`
	Denied   int     `json:"denied"` // answers of 400 and more, as the workload expects them
	Seconds  float64 `json:"seconds"`
	// Processor time of the proxy for each request, microseconds.
	User   float64 `json:"user_us"`
	System float64 `json:"system_us"`
	// Latencies in microseconds.
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	// Peak is the most memory that was resident since the start, in MiB.
	Peak float64 `json:"peak_mib"`
	// Foreign is the part of the proxy's processor that others used meanwhile, 0 to 1.
	Foreign float64 `json:"foreign"`
	// Changes that a gateway applied meanwhile, each second.
	Changes float64 `json:"changes_per_s,omitempty"`
}

// Rate is the number of requests each second.
func Rate(s Sample) float64 { return float64(s.Requests) / s.Seconds }

// Busy is the part of its processor that the proxy used, 0 to 1.
func Busy(s Sample) float64 { return CPU(s) * Rate(s) / 1e6 }

// CPU is the processor time of the proxy for each request, microseconds.
func CPU(s Sample) float64 { return s.User + s.System }

// User and System are its two parts.
func User(s Sample) float64 { return s.User }

// System is the kernel's part.
func System(s Sample) float64 { return s.System }

// P50 is the median latency in microseconds.
func P50(s Sample) float64 { return s.P50 }

// P99 is the 99th percentile of latency in microseconds.
func P99(s Sample) float64 { return s.P99 }

// Foreign is the part of the proxy's processor that others used.
func Foreign(s Sample) float64 { return s.Foreign }

// Peak is the peak of resident memory in MiB.
func Peak(s Sample) float64 { return s.Peak }

// Series is one contender in one workload.
type Series struct {
	Contender string   `json:"contender"`
	Rounds    []Sample `json:"rounds"`
}

// Median is the median of a figure over the rounds.
func (s *Series) Median(of func(Sample) float64) float64 { return Spread(s.values(of)).Median }

// Spread are the quartiles of a figure over the rounds.
func (s *Series) Spread(of func(Sample) float64) Quartiles { return Spread(s.values(of)) }

func (s *Series) values(of func(Sample) float64) []float64 {
	values := make([]float64, len(s.Rounds))
	for i, r := range s.Rounds {
		values[i] = of(r)
	}
	return values
}

// Workload is what all contenders did in one workload.
type Workload struct {
	Name    string    `json:"name"`
	Title   string    `json:"title"`
	When    time.Time `json:"when"`
	Commit  string    `json:"commit"`
	Seconds int       `json:"seconds"`        // of each round
	Rate    float64   `json:"rate,omitempty"` // requests each second, where it was fixed
	Series  []*Series `json:"series"`
}

// Find returns a contender's series, or nil.
func (w *Workload) Find(contender string) *Series {
	if w != nil {
		for _, s := range w.Series {
			if s.Contender == contender {
				return s
			}
		}
	}
	return nil
}

// Ratio is a ratio of medians with the quartiles of the rounds' own ratios.
type Ratio struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Known is false of a ratio that could not be formed.
func (r Ratio) Known() bool { return r.Value > 0 && !math.IsInf(r.Value, 0) && !math.IsNaN(r.Value) }

// Compare forms the ratio of a figure of two series. It is not Known if one is missing.
func Compare(a, b *Series, of func(Sample) float64) Ratio {
	if a == nil || b == nil || len(a.Rounds) == 0 || len(b.Rounds) == 0 {
		return Ratio{}
	}
	n := min(len(a.Rounds), len(b.Rounds))
	each := make([]float64, n)
	for i := range n {
		each[i] = of(a.Rounds[i]) / of(b.Rounds[i])
	}
	q := Spread(each)
	return Ratio{Value: a.Median(of) / b.Median(of), Low: q.Low, High: q.High}
}

// Quartiles of some values.
type Quartiles struct{ Low, Median, High float64 }

// Spread returns the quartiles, interpolated between neighbours; zeros of no values.
func Spread(values []float64) Quartiles {
	sorted := slices.Sorted(slices.Values(values))
	return Quartiles{quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)}
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	below, part := math.Modf(q * float64(len(sorted)-1))
	i := int(below)
	return sorted[i]*(1-part) + sorted[min(i+1, len(sorted)-1)]*part
}

// Results is a whole run.
type Results struct {
	Date     time.Time         `json:"date"`
	Commit   string            `json:"commit"`
	Command  string            `json:"command"`
	Seed     uint64            `json:"seed"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	// Workloads in the order in which they ran.
	Workloads []*Workload `json:"workloads"`
	// Propagation of a change to five nodes.
	Propagation *Propagation `json:"propagation,omitempty"`
	// Scale are the figures of the million, as `go tool task scale` left them.
	Scale *Scale `json:"scale,omitempty"`
}

// Machine is where it was measured.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	MemoryMiB int    `json:"memory_mib"`
	Kernel    string `json:"kernel"`
	System    string `json:"system"`
	Virtual   string `json:"virtual"`
}

// Propagation is the time from a write's answer to the last node's changed answer, in milliseconds.
type Propagation struct {
	Nodes   int     `json:"nodes"`
	Toggles int     `json:"toggles"`
	P50     float64 `json:"p50_ms"`
	P90     float64 `json:"p90_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

// Scale is what a node with the million needs.
type Scale struct {
	Network         float64 `json:"network_s"`
	Disk            float64 `json:"disk_s"`
	ResidentNetwork float64 `json:"resident_network_mib"`
	ResidentDisk    float64 `json:"resident_disk_mib"`
}

// Find returns a workload, or nil.
func (r *Results) Find(workload string) *Workload {
	for _, w := range r.Workloads {
		if w.Name == workload {
			return w
		}
	}
	return nil
}

// Load reads results from a file.
func Load(file string) (*Results, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(Results)
	return r, json.Unmarshal(data, r)
}

// Save writes results to a file.
func (r *Results) Save(file string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".part", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}
