package figures

import "fmt"

// Target is a promise and what was measured.
type Target struct {
	Title string
	Most  float64 // what the figure may be
	Unit  string  // of the figure; empty: it is a ratio
	Got   Ratio   // not Known: not measured
}

// Met is false too of what was not measured.
func (t *Target) Met() bool { return t.Got.Known() && t.Got.Value <= t.Most }

// Mark is a check mark, a cross, or nothing for what was not measured.
func (t *Target) Mark() string {
	switch {
	case !t.Got.Known():
		return " "
	case t.Met():
		return "✓"
	}
	return "✗"
}

// Bound is what was promised, as text.
func (t *Target) Bound() string {
	if t.Unit == "" {
		return fmt.Sprintf("≤ %.2f", t.Most)
	}
	return fmt.Sprintf("≤ %g %s", t.Most, t.Unit)
}

// Figure is what was measured, as text.
func (t *Target) Figure() string {
	switch {
	case !t.Got.Known():
		return "not measured"
	case t.Unit != "":
		return fmt.Sprintf("%.3g %s", t.Got.Value, t.Unit)
	}
	return fmt.Sprintf("%.3f (%.3f–%.3f)", t.Got.Value, t.Got.Low, t.Got.High)
}

// Missed is true if a target was measured and not met.
func Missed(r *Results) bool {
	for _, t := range Targets(r) {
		if t.Got.Known() && !t.Met() {
			return true
		}
	}
	return false
}

// Targets are all promises, in the order in which they were made; of a run that
// measured none of them there are none.
func Targets(r *Results) []Target {
	cpu := func(workload, a, b string) Ratio {
		w := r.Find(workload)
		return Compare(w.Find(a), w.Find(b), CPU)
	}
	p99 := func(workload, a, b string) Ratio {
		w := r.Find(workload)
		return Compare(w.Find(a), w.Find(b), P99)
	}
	targets := []Target{
		{Title: "one token repeated, RS256, against the bare proxy", Most: 1.08, Got: cpu("repeated", "gateway", "bare")},
		{Title: "… against HAProxy without checks", Most: 1, Got: cpu("repeated", "gateway", "haproxy")},
		{Title: "… against nginx without checks", Most: 1, Got: cpu("repeated", "gateway", "nginx")},
		{Title: "… against HAProxy jwt_verify RS256", Most: 0.40, Got: cpu("repeated", "gateway", "haproxy-rs256")},
		{Title: "one token repeated, ES256, against HAProxy jwt_verify ES256", Most: 0.25, Got: cpu("repeated-es256", "gateway", "haproxy-es256")},
		{Title: "every token new, RS256, against HAProxy jwt_verify", Most: 1, Got: cpu("new-rs256", "gateway", "haproxy-rs256")},
		{Title: "every token new, ES256, against HAProxy jwt_verify", Most: 1, Got: cpu("new-es256", "gateway", "haproxy-es256")},
		{Title: "p99 at half of saturation, against the bare proxy", Most: 1.15, Got: p99("half", "gateway", "bare")},
		{Title: "p99 while 20,000 changes/s are applied, against quiet", Most: 1.2, Got: p99("churn", "gateway-churn", "gateway")},
	}
	targets = append(targets, scaleTargets(r)...)
	return append(targets,
		Target{Title: "cost per request, 10,000 Apis against 1", Most: 1.10, Got: cpu("growth", "gateway-10k-apis", "gateway-1-api")},
		Target{Title: "cost per request, 10⁶ subscriptions against 10³", Most: 1.10, Got: cpu("growth", "gateway", "gateway-1k-subs")},
	)
}

func scaleTargets(r *Results) []Target {
	just := func(value float64) Ratio { return Ratio{Value: value, Low: value, High: value} }
	var resident, disk, network, propagation Ratio
	if s := r.Scale; s != nil {
		resident, disk, network = just(max(s.ResidentNetwork, s.ResidentDisk)*1.048576), just(s.Disk), just(s.Network)
	}
	if p := r.Propagation; p != nil {
		propagation = just(p.P99)
	}
	return []Target{
		{Title: "1,000,000 subscriptions, 100,000 applications: resident memory", Most: 250, Unit: "MB", Got: resident},
		{Title: "… ready from disk", Most: 2, Unit: "s", Got: disk},
		{Title: "… ready from the network", Most: 4, Unit: "s", Got: network},
		{Title: "change acknowledged → enforced on five nodes, p99", Most: 10, Unit: "ms", Got: propagation},
	}
}
