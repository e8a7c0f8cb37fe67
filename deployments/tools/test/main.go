// Command test runs `go test` and counts.
//
//	go run ./deployments/tools/test [flags of go test] [packages]
//
// It prints one line for each package with the number of its tests, everything
// that a failed test printed, the tests that were skipped, and the sum. What
// passed is not shown; for that there is `go test -v`.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	// Tests stop what they have started when they are interrupted, not when they are killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := report{out: stdout, printed: make(map[string]*strings.Builder), tests: make(map[string]int)}
	readErr := r.read(events)
	waitErr := cmd.Wait()
	r.summary()
	return errors.Join(readErr, waitErr)
}

// event is a line of `go test -json`, see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a package that is being built
	Test       string // empty: the package itself
	Output     string
	Elapsed    float64
}

// report sums up events.
type report struct {
	out     io.Writer
	printed map[string]*strings.Builder // by package and test, until its fate is known
	tests   map[string]int              // by package

	passed, failed int
	skipped        []string
}

func (r *report) read(events io.Reader) error {
	for dec := json.NewDecoder(events); ; {
		var e event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			_, _ = io.Copy(io.Discard, events) // or go test would wait for a reader
			return fmt.Errorf("go test -json: %w", err)
		}
		r.take(e)
	}
}

func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		if r.printed[key] == nil {
			r.printed[key] = &strings.Builder{}
		}
		r.printed[key].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			r.testEnded(e, key)
		} else {
			r.packageEnded(e, key)
		}
		delete(r.printed, key)
	}
}

func (r *report) testEnded(e event, key string) {
	r.tests[e.Package]++
	switch e.Action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped = append(r.skipped, key)
	case "fail":
		r.failed++
		fmt.Fprint(r.out, r.printed[key])
	}
}

func (r *report) packageEnded(e event, key string) {
	switch {
	case e.Action == "fail":
		// A panic, a data race, or a time-out is in the package's own output, and in
		// that of tests that never came to an end.
		r.flush(e.Package)
		fmt.Fprintf(r.out, "FAIL %-72s %5d tests %6.1fs\n", e.Package, r.tests[e.Package], e.Elapsed)
	case r.tests[e.Package] > 0:
		fmt.Fprintf(r.out, "ok   %-72s %5d tests %6.1fs%s\n", e.Package, r.tests[e.Package], e.Elapsed, shuffled(r.printed[key]))
	}
}

// flush prints what is left of a package's output.
func (r *report) flush(pkg string) {
	var keys []string
	for key := range r.printed {
		if strings.HasPrefix(key, pkg+" ") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	slices.Reverse(keys) // the package's own comes last
	for _, key := range keys {
		fmt.Fprint(r.out, r.printed[key])
		delete(r.printed, key)
	}
}

// shuffled finds the number with which the same order can be had again.
func shuffled(printed *strings.Builder) string {
	if printed == nil {
		return ""
	}
	if _, after, ok := strings.Cut(printed.String(), "-test.shuffle "); ok {
		number, _, _ := strings.Cut(after, "\n")
		return "  -shuffle=" + number
	}
	return ""
}

func (r *report) summary() {
	for _, key := range r.skipped {
		fmt.Fprintln(r.out, "skipped", key)
	}
	fmt.Fprintf(r.out, "%d tests passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
}
