package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDraw(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "charts.json")
	const charts = `[{"file": "a.svg", "title": "The title", "axis": "µs", "format": "%.1f", "mark": 1, "mark_text": "target", "limit": 10,
		"legend": [{"text": "blue one", "color": "#0969da"}],
		"rows": [{"label": "first row", "bars": [{"parts": [{"value": 2, "color": "#0969da"}, {"value": 1.5, "color": "#86bdf7"}], "low": 3, "high": 4}]},
			{"label": "second row", "bars": [{"parts": [{"value": 70, "color": "#cf222e"}]}]}]}]`
	if err := os.WriteFile(file, []byte(charts), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{file, dir}); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "a.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg ", ">The title<", ">µs<", ">first row<", ">second row<", ">3.5<", ">→ 70.0<", ">target<", ">blue one<", "sans-serif"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("no %q in the picture", want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []Chart{
		{},
		{Rows: []Row{{Bars: []Bar{{Parts: []Part{{-1, "#000000"}}}}}}},
		{Rows: []Row{{Bars: []Bar{{Parts: []Part{{1, "red"}}}}}}},
	} {
		if _, err := c.Draw(); err == nil {
			t.Errorf("%+v was drawn", c)
		}
	}
}

func TestRound(t *testing.T) {
	for end, want := range map[float64]string{
		36: "0 5 10 15 20 25 30 35", 14.5: "0 2 4 6 8 10 12 14", 1.2: "0 0.2 0.4 0.6 0.8 1 1.2", 2.8: "0 0.5 1 1.5 2 2.5", 3200: "0 500 1000 1500 2000 2500 3000", 10: "0 2 4 6 8 10",
	} {
		var got []string
		for _, tick := range round(end) {
			got = append(got, tick.Label)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: got %q, want %s", end, got, want)
		}
	}
}
