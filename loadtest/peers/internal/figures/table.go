package figures

import (
	"fmt"
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
