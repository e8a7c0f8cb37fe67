// Package report writes docs/performance.md from results: tables, and charts in the
// language of Mermaid, which code hosts draw.
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
		"table": table, "targets": targetTable, "versions": versions, "chart": chart,
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
		fmt.Fprintf(&out, "| %s | %.0f | %.0f %% | **%.2f** (%.2f–%.2f) | %.2f | %.2f | %.0f | %.0f | %.0f | %.2f |\n", label(s.Contender),
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

// chart draws what a request costs each contender.
func chart(w *figures.Workload) string {
	var labels, values []string
	for _, s := range w.Series {
		labels = append(labels, fmt.Sprintf("%q", label(s.Contender)))
		values = append(values, fmt.Sprintf("%.1f", s.Median(figures.CPU)))
	}
	return fmt.Sprintf("```mermaid\nxychart-beta horizontal\n  title \"%s: µs of processor time per request\"\n  x-axis [%s]\n  y-axis \"µs\"\n  bar [%s]\n```",
		w.Title, strings.Join(labels, ", "), strings.Join(values, ", "))
}

// label is how a contender is called on the page.
func label(contender string) string {
	names := map[string]string{
		"bare": "bare fasthttp proxy", "nginx": "nginx", "haproxy": "HAProxy", "gateway": "Portcullis",
		"haproxy-rs256": "HAProxy, jwt_verify RS256", "haproxy-es256": "HAProxy, jwt_verify ES256",
		"gateway-1-api": "Portcullis, 1 Api", "gateway-10k-apis": "Portcullis, 10,000 Apis",
		"gateway-1k-subs": "Portcullis, 1,000 subscriptions", "gateway-churn": "Portcullis, changes arriving",
	}
	if name, known := names[contender]; known {
		return name
	}
	return contender
}

func versions(r *figures.Results) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		all = append(all, name+" "+r.Versions[name])
	}
	return strings.Join(all, ", ")
}
