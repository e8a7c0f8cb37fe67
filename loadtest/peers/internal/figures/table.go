package figures

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Table shows all workloads, and how the targets were met.
func Table(r *Results) string {
	var out strings.Builder
	for _, w := range r.Workloads {
		fmt.Fprintf(&out, "\n%s: %s\n", w.Name, w.Title)
		t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "contender\trequests/s\tbusy\tµs CPU\tquartiles\tuser\tsystem\tp50 µs\tp99 µs\tMiB\tto first\t")
		for _, s := range w.Series {
			cpu := s.Spread(CPU)
			to := Compare(s, w.Series[0], CPU)
			fmt.Fprintf(t, "%s\t%.0f\t%.0f %%\t%.2f\t%.2f–%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%.0f\t%.3f (%.3f–%.3f)\t\n", s.Contender, s.Median(Rate), 100*s.Median(Busy),
				cpu.Median, cpu.Low, cpu.High, s.Median(User), s.Median(System), s.Median(P50), s.Median(P99), s.Median(Peak), to.Value, to.Low, to.High)
		}
		_ = t.Flush() // into memory
		for _, s := range w.Series {
			if len(s.Calls) > 0 {
				fmt.Fprintf(&out, "system calls for each request, %s: %s\n", s.Contender, s.CallList())
			}
		}
	}
	targets := Targets(r)
	if len(targets) == 0 {
		return out.String()
	}
	fmt.Fprintln(&out, "\ntargets")
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, target := range targets {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", target.Mark(), target.Title, target.Bound(), target.Figure())
	}
	_ = t.Flush() // into memory
	return out.String()
}

// CallList is the number of system calls for each request, and which, the most frequent first.
func (s *Series) CallList() string {
	names := slices.SortedFunc(maps.Keys(s.Calls), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Calls[b].Made, s.Calls[a].Made), cmp.Compare(a, b))
	})
	total := 0.0
	for i, name := range names {
		c := s.Calls[name]
		total += c.Made
		names[i] = fmt.Sprintf("%s %.2f", name, c.Made)
		if c.Failed >= 0.005 {
			names[i] += fmt.Sprintf(" (failed %.2f)", c.Failed)
		}
	}
	return fmt.Sprintf("%.2f: %s", total, strings.Join(names, ", "))
}
