package report

import (
	"fmt"
	"strings"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
)

// Chart is what loadtest/peers/chart draws: bars in rows.
type Chart struct {
	File     string  `json:"file"`
	Title    string  `json:"title"`
	Axis     string  `json:"axis"`
	Rows     []Row   `json:"rows"`
	Legend   []Entry `json:"legend"`
	Mark     float64 `json:"mark"`
	MarkText string  `json:"mark_text"`
	Limit    float64 `json:"limit"`
	Format   string  `json:"format"`
}

// Row is bars under one label.
type Row struct {
	Label string `json:"label"`
	Bars  []Bar  `json:"bars"`
}

// Bar is one bar.
type Bar struct {
	Parts []Part  `json:"parts"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Part of a bar.
type Part struct {
	Value float64 `json:"value"`
	Color string  `json:"color"`
}

// Entry of a legend.
type Entry struct {
	Text  string `json:"text"`
	Color string `json:"color"`
}

// look is how a contender is shown: its colours are for user and system time.
type look struct{ label, color, light string }

func looks(contender string) look {
	switch {
	case contender == "bare":
		return look{"bare fasthttp proxy", "#6e7781", "#afb8c1"}
	case contender == "nginx":
		return look{"nginx", "#1a7f37", "#7fcf95"}
	case contender == "haproxy":
		return look{"HAProxy", "#bf8700", "#e8c468"}
	case contender == "haproxy-rs256":
		return look{"HAProxy, jwt_verify RS256", "#bc4c00", "#f0a678"}
	case contender == "haproxy-es256":
		return look{"HAProxy, jwt_verify ES256", "#bc4c00", "#f0a678"}
	case contender == "gateway-1-api":
		return look{"Portcullis, 1 Api", "#0969da", "#86bdf7"}
	case contender == "gateway-10k-apis":
		return look{"Portcullis, 10,000 Apis", "#0969da", "#86bdf7"}
	case contender == "gateway-1k-subs":
		return look{"Portcullis, 1,000 subscriptions", "#0969da", "#86bdf7"}
	case strings.HasSuffix(contender, "-churn"):
		return look{"Portcullis, changes arriving", "#8250df", "#c8a9f5"}
	case contender == "gateway":
		return look{"Portcullis", "#0969da", "#86bdf7"}
	}
	return look{contender, "#0969da", "#86bdf7"}
}

// Charts are the pictures of a page; those without figures are left out.
func Charts(r *figures.Results) []Chart {
	all := []Chart{
		repeated(r), side(r), cold(r), half(r), targets(r),
	}
	kept := all[:0]
	for _, c := range all {
		if len(c.Rows) > 0 {
			kept = append(kept, c)
		}
	}
	return kept
}

// repeated is the main workload: what a request costs each contender.
func repeated(r *figures.Results) Chart {
	c := Chart{
		File: "repeated.svg", Title: "One token repeated, RS256: what a request costs the proxy", Format: "%.1f",
		Axis: "processor time for each request, µs: dark is user, light is system; line: quartiles",
	}
	w := r.Find("repeated")
	if w == nil {
		return c
	}
	for _, s := range w.Series {
		q := s.Spread(figures.CPU)
		c.Rows = append(c.Rows, Row{looks(s.Contender).label, []Bar{{
			Parts: split(s), Low: q.Low, High: q.High,
		}}})
	}
	return c
}

// split divides the median of processor time as its parts' medians are.
func split(s *figures.Series) []Part {
	l, all := looks(s.Contender), s.Median(figures.CPU)
	user, system := s.Median(figures.User), s.Median(figures.System)
	if user+system == 0 {
		return nil
	}
	user *= all / (user + system)
	return []Part{{user, l.color}, {all - user, l.light}}
}

// side are the workloads in which the same four proxies take part.
func side(r *figures.Results) Chart {
	c := Chart{
		File: "workloads.svg", Title: "The same proxies under other workloads", Format: "%.1f",
		Axis: "processor time of the proxy for each request, µs",
	}
	names := []string{"bare", "nginx", "haproxy", "gateway"}
	for _, name := range names {
		c.Legend = append(c.Legend, Entry{looks(name).label, looks(name).color})
	}
	for _, workload := range []string{"keyless", "apikey", "repeated", "rotation", "tls", "body-1k", "body-10k", "body-100k", "post-10k", "conns-1000"} {
		w := r.Find(workload)
		if w == nil {
			continue
		}
		row := Row{Label: w.Title}
		for _, name := range names {
			if s := w.Find(name); s != nil {
				row.Bars = append(row.Bars, Bar{Parts: []Part{{s.Median(figures.CPU), looks(name).color}}})
			}
		}
		c.Rows = append(c.Rows, row)
	}
	return c
}

// cold are tokens that have to be verified.
func cold(r *figures.Results) Chart {
	c := Chart{
		File: "new-tokens.svg", Title: "Every token new: the signature is verified for each request", Format: "%.1f",
		Axis:   "processor time of the proxy for each request, µs",
		Legend: []Entry{{"HAProxy, jwt_verify (OpenSSL)", looks("haproxy-rs256").color}, {"Portcullis (Go)", looks("gateway").color}, {"bare proxy, verifies nothing", looks("bare").color}},
	}
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		w := r.Find("new-" + strings.ToLower(alg))
		if w == nil {
			continue
		}
		row := Row{Label: alg}
		for _, name := range []string{"haproxy-" + strings.ToLower(alg), "gateway", "bare"} {
			if s := w.Find(name); s != nil {
				row.Bars = append(row.Bars, Bar{Parts: []Part{{s.Median(figures.CPU), looks(name).color}}})
			}
		}
		c.Rows = append(c.Rows, row)
	}
	return c
}

// half are latencies at a fixed rate.
func half(r *figures.Results) Chart {
	c := Chart{File: "latency.svg", Axis: "latency since the request was due, µs: dark ends at the median, light at the 99th percentile", Format: "%.0f"}
	w := r.Find("half")
	if w == nil {
		return c
	}
	c.Title = fmt.Sprintf("Latency at %.0f requests/s, at which the bare proxy is half busy", w.Rate)
	for _, s := range append(w.Series, r.Find("churn").Find("gateway-churn")) {
		if s == nil {
			continue
		}
		l, q := looks(s.Contender), s.Spread(figures.P99)
		p50 := s.Median(figures.P50)
		c.Rows = append(c.Rows, Row{l.label, []Bar{{Parts: []Part{{p50, l.color}, {max(0, q.Median-p50), l.light}}, Low: q.Low, High: q.High}}})
	}
	return c
}

// targets shows each promise as the part of it that was used up.
func targets(r *figures.Results) Chart {
	c := Chart{
		File: "targets.svg", Title: "What was promised, and what was measured", Format: "%.2f", Mark: 1, MarkText: "target",
		Axis: "measured, divided by the target; line: quartiles", Limit: 2.5,
		Legend: []Entry{{"met", "#1a7f37"}, {"missed", "#cf222e"}},
	}
	for _, t := range figures.Targets(r) {
		if !t.Got.Known() {
			continue
		}
		color := "#1a7f37"
		if !t.Met() {
			color = "#cf222e"
		}
		bar := Bar{Parts: []Part{{t.Got.Value / t.Most, color}}}
		if t.Got.Low != t.Got.High {
			bar.Low, bar.High = t.Got.Low/t.Most, t.Got.High/t.Most
		}
		c.Rows = append(c.Rows, Row{t.Short, []Bar{bar}})
	}
	return c
}
