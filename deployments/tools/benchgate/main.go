// Command benchgate compares what benchmarks allocate with what was accepted.
//
//	go run ./deployments/tools/benchgate [--accept]
//
// It runs the benchmarks in bench_test.go of the gateway's and the shared packages
// a fixed number of times and holds their figures against baseline.txt next to this
// file, which is in Go's benchmark format, so that benchstat reads it, too. More
// than was accepted, a benchmark that is gone and one that is new are failures;
// less is reported. --accept writes what is found.
//
// What is compared are allocations, bytes, and figures that are as exact:
// memory for each subscription, writing system calls for each request. Time is
// not: it says more about the machine and its other work than about the code.
// (Instructions would say most, but many virtual machines do not count them.) One
// processor and no garbage collection make the counts the same in each run, since
// both decide what a pool still holds.
//
// A count that was zero must be zero. Another one may grow by a tenth and a little,
// because what grows by doubling or hangs on random hashes is not exact. What is
// too much is measured twice more, and counts if it is each time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const (
	baselineFile = "deployments/tools/benchgate/baseline.txt"
	// attempts is how often figures are taken before they count as too large, and
	// of how many runs the accepted figures are the medians.
	attempts = 3
)

func main() {
	accept := flag.Bool("accept", false, "write the figures to "+baselineFile+" instead of comparing them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *accept, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchgate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, accept bool, out io.Writer) error {
	accepted, err := readBaseline()
	if err != nil && !(accept && errors.Is(err, os.ErrNotExist)) {
		return err
	}
	dir, err := os.MkdirTemp("", "portcullis-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := build(ctx, dir)
	if err != nil {
		return err
	}
	if accept {
		return b.accept(ctx, accepted, out)
	}
	return b.check(ctx, accepted, out)
}

// check compares a run with what was accepted, and runs again what is too large.
func (b *bench) check(ctx context.Context, accepted figures, out io.Writer) error {
	found, err := b.measure(ctx, b.packages)
	if err != nil {
		return err
	}
	d := compare(accepted, found)
	for attempt := 1; attempt < attempts && len(d.grown) > 0; attempt++ {
		fmt.Fprintf(out, "%d figures are too large; their packages are measured again\n", len(d.grown))
		again, err := b.measure(ctx, d.grownPackages())
		if err != nil {
			return err
		}
		found.lower(again)
		d = compare(accepted, found)
	}
	d.print(out)
	if faults := d.faults(); faults > 0 {
		return fmt.Errorf("%d of %d figures are not as %s has them. If that is meant: go tool task bench:accept", faults, len(found), baselineFile)
	}
	fmt.Fprintf(out, "%d figures of %d benchmarks are as accepted\n", len(found), found.benchmarks())
	return nil
}

// accept writes the medians of several runs.
func (b *bench) accept(ctx context.Context, before figures, out io.Writer) error {
	var runs []figures
	for range attempts {
		found, err := b.measure(ctx, b.packages)
		if err != nil {
			return err
		}
		runs = append(runs, found)
	}
	accepted := medians(runs)
	compare(before, accepted).print(out)
	f, err := os.Create(baselineFile)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f, accepted), f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d figures of %d benchmarks are in %s now\n", len(accepted), accepted.benchmarks(), baselineFile)
	return nil
}

func readBaseline() (figures, error) {
	f, err := os.Open(baselineFile)
	if err != nil {
		return nil, fmt.Errorf("read what was accepted (run this in the module's folder): %w", err)
	}
	defer f.Close()
	return read(f, baselineFile)
}
