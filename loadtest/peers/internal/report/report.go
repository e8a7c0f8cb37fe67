// Package report writes docs/performance.md from results: tables, and what charts
// are to be drawn.
package report

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
)

//go:embed page.md notes.md
var texts embed.FS

// Page returns docs/performance.md.
func Page(r *figures.Results) (string, error) {
	t, err := template.New("page.md").Funcs(template.FuncMap{
		"label": func(contender string) string { return looks(contender).label },
		"table": table, "targets": targetTable, "versions": versions, "calls": callTable,
		"scale": func() *figures.Scale { return r.Scale },
	}).ParseFS(texts, "page.md", "notes.md")
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := t.Execute(&out, r); err != nil {
		return "", err
	}
	return out.String(), nil
}

// table shows one workload.
func table(w *figures.Workload) string {
	var out strings.Builder
	out.WriteString("| contender | requests/s | busy | µs CPU per request (quartiles) | user | system | p50 µs | p99 µs | peak MiB | against the first |\n")
	out.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, s := range w.Series {
		q, ratio := s.Spread(figures.CPU), figures.Compare(s, w.Series[0], figures.CPU)
		fmt.Fprintf(&out, "| %s | %.0f | %.0f %% | **%.2f** (%.2f–%.2f) | %.2f | %.2f | %.0f | %.0f | %.0f | %.2f |\n", looks(s.Contender).label,
			s.Median(figures.Rate), 100*s.Median(figures.Busy), q.Median, q.Low, q.High, s.Median(figures.User), s.Median(figures.System),
			s.Median(figures.P50), s.Median(figures.P99), s.Median(figures.Peak), ratio.Value)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// targetTable shows what was promised.
func targetTable(r *figures.Results) string {
	var out strings.Builder
	out.WriteString("| | target | measured (quartiles) | |\n|---|--:|--:|:-:|\n")
	for _, t := range figures.Targets(r) {
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", t.Title, t.Bound(), t.Figure(), t.Mark())
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// callTable shows the system calls of the main workload.
func callTable(w *figures.Workload) string {
	var out strings.Builder
	for _, s := range w.Series {
		if len(s.Calls) > 0 {
			fmt.Fprintf(&out, "| %s | %s |\n", looks(s.Contender).label, strings.Replace(s.CallList(), ": ", " | ", 1))
		}
	}
	if out.Len() == 0 {
		return ""
	}
	return "| contender | system calls per request | which |\n|---|--:|---|\n" + strings.TrimSuffix(out.String(), "\n")
}

func versions(r *figures.Results) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		all = append(all, name+" "+r.Versions[name])
	}
	return strings.Join(all, ", ")
}
