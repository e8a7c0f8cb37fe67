package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// figure names one figure of a benchmark. Its package has the module's name left away.
type figure struct{ pkg, benchmark, unit string }

func (f figure) String() string {
	return fmt.Sprintf("%s Benchmark%s: %s", f.pkg, f.benchmark, f.unit)
}

func (f figure) compare(g figure) int {
	return cmp.Or(cmp.Compare(f.pkg, g.pkg), cmp.Compare(f.benchmark, g.benchmark), cmp.Compare(f.unit, g.unit))
}

type figures map[figure]float64

// slack is what a figure that was not zero may grow by, on top of a tenth of it: hashes are
// seeded differently in every process, and what a table copies depends on them.
// Units that are not here are not compared.
func slack(unit string) (float64, bool) {
	switch unit {
	case "allocs/op", "gateway-allocs/op":
		return 0.5, true
	case "B/op":
		return 16, true
	case "gateway-B/op":
		return 256, true
	case "gateway-writes/op":
		return 0.1, true
	case "B/subscription", "B/entry", "B/change":
		return 0.5, true
	}
	return 0, false
}

// most is the largest figure that still is as accepted.
func most(unit string, accepted float64) float64 {
	if accepted == 0 {
		return 0
	}
	more, _ := slack(unit)
	return accepted*1.1 + more
}

// read reads what `go test` prints, or a baseline.
func read(r io.Reader, name string) (figures, error) {
	found := figures{}
	for records := benchfmt.NewReader(r, name); ; {
		if !records.Scan() {
			return found, records.Err()
		}
		switch record := records.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, record
		case *benchfmt.Result:
			found.add(record)
		}
	}
}

// add takes the figures of a benchmark that are compared. Where a benchmark reports
// what another process has allocated, its own allocations are only its client's.
func (f figures) add(r *benchfmt.Result) {
	pkg := strings.TrimPrefix(r.GetConfig("pkg"), module)
	_, remote := r.Value("gateway-allocs/op")
	for _, v := range r.Values {
		unit, value := v.Unit, v.Value
		if v.OrigUnit != "" {
			unit, value = v.OrigUnit, v.OrigValue
		}
		if remote && (unit == "allocs/op" || unit == "B/op") {
			continue
		}
		if _, compared := slack(unit); compared {
			f[figure{pkg, r.Name.String(), unit}] = value
		}
	}
}

const heading = "# What benchmarks allocate. Written by `go tool task bench:accept`; compared by `go tool task test:bench`."

// write writes a baseline: sorted, a line for each benchmark.
func write(w io.Writer, f figures) error {
	out := bufio.NewWriter(w)
	_, _ = out.WriteString(heading)
	var last figure
	for _, k := range slices.SortedFunc(maps.Keys(f), figure.compare) {
		if k.pkg != last.pkg {
			fmt.Fprintf(out, "\n\npkg: %s", k.pkg)
		}
		if k.pkg != last.pkg || k.benchmark != last.benchmark {
			fmt.Fprintf(out, "\nBenchmark%s 1", k.benchmark)
		}
		fmt.Fprintf(out, " %s %s", strconv.FormatFloat(round(f[k]), 'f', -1, 64), k.unit)
		last = k
	}
	_, _ = out.WriteString("\n")
	return out.Flush()
}

// round leaves three digits behind the point, which is more than any figure means.
func round(v float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', 3, 64), 64)
	if err != nil {
		return v
	}
	return rounded
}

func (f figures) benchmarks() int {
	names := map[figure]bool{}
	for k := range f {
		names[figure{pkg: k.pkg, benchmark: k.benchmark}] = true
	}
	return len(names)
}

// lower replaces figures by those of another run that are smaller.
func (f figures) lower(again figures) {
	for k, v := range again {
		if had, ok := f[k]; !ok || v < had {
			f[k] = v
		}
	}
}

// medians are the middle ones of several runs' figures.
func medians(runs []figures) figures {
	values := map[figure][]float64{}
	for _, run := range runs {
		for k, v := range run {
			values[k] = append(values[k], v)
		}
	}
	middle := figures{}
	for k, all := range values {
		slices.Sort(all)
		middle[k] = all[(len(all)-1)/2]
	}
	return middle
}

// change is a figure that is not as accepted.
type change struct {
	figure
	accepted, found float64
}

// differences are how figures differ from the accepted ones, each list in order.
type differences struct {
	grown, shrunk []change
	added, gone   []figure
}

func compare(accepted, found figures) differences {
	var d differences
	for _, k := range slices.SortedFunc(maps.Keys(found), figure.compare) {
		had, ok := accepted[k]
		switch c := (change{k, had, found[k]}); {
		case !ok:
			d.added = append(d.added, k)
		case c.found > most(k.unit, c.accepted):
			d.grown = append(d.grown, c)
		case c.accepted > most(k.unit, c.found):
			d.shrunk = append(d.shrunk, c)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(accepted), figure.compare) {
		if _, ok := found[k]; !ok {
			d.gone = append(d.gone, k)
		}
	}
	return d
}

func (d differences) faults() int { return len(d.grown) + len(d.added) + len(d.gone) }

// grownPackages are the import paths of the packages with a figure that is too large.
func (d differences) grownPackages() []string {
	var packages []string
	for _, c := range d.grown {
		packages = append(packages, module+c.pkg)
	}
	return slices.Compact(packages)
}

func (d differences) print(out io.Writer) {
	for _, c := range d.shrunk {
		fmt.Fprintf(out, "better  %s is %s, accepted are %s: go tool task bench:accept keeps it so\n", c.figure, number(c.found), number(c.accepted))
	}
	for _, k := range d.added {
		fmt.Fprintf(out, "NEW     %s was never accepted\n", k)
	}
	for _, k := range d.gone {
		fmt.Fprintf(out, "GONE    %s was accepted and is not measured any more\n", k)
	}
	for _, c := range d.grown {
		fmt.Fprintf(out, "WORSE   %s is %s, accepted are %s\n", c.figure, number(c.found), number(c.accepted))
	}
}

func number(v float64) string { return strconv.FormatFloat(round(v), 'f', -1, 64) }
