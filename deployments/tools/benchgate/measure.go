package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

const module = "github.com/portcullis-gateway/portcullis/"

// series is a run of benchmarks with the same number of iterations. bench and skip
// are those of `go test`.
type series struct {
	bench, skip string
	times       string
}

const (
	// bulk are benchmarks of which one iteration handles thousands of things.
	bulk = "^Benchmark(Builder|Fill|Read|Write|Compile|ParseJWKS)$"
	// parallel ones count the goroutines that they start.
	parallel = "Parallel$"
	// huge is what needs seconds to be set up, and again what is parallel.
	huge = "/.*parallel|/(subscriptions|changes|entries)=[0-9]{6,}|//subscriptions=[0-9]{6,}"
	// traced requests share what a batch of them allocates, of whatever size it happens to be.
	traced = "^BenchmarkForward$/^traced$"
	// memory is the exception, for the sake of B/subscription and B/entry.
	memory = "^Benchmark(Grant|Get)$/=1000000$"
)

// plan is all that is run of a package. Of alternatives in skip the shallow ones
// come first: package testing stops at one that could still match further down.
func plan() []series {
	return []series{
		{bench: ".", skip: bulk + "|" + parallel + "|" + huge + "|" + traced, times: "1000x"},
		{bench: bulk, skip: huge, times: "10x"},
		{bench: memory, times: "1000x"},
	}
}

// folders have the benchmarks. Those of shared/stream run a NATS server next to
// them, whose allocations are its own business and never the same.
func folders() (with []string, without string) {
	return []string{"./gateway/internal/...", "./shared/..."}, module + "shared/stream"
}

// bench holds the benchmarks, built once.
type bench struct {
	dir      string   // of the binaries
	packages []string // their import paths
}

// build builds the test binaries of all packages with a bench_test.go into dir.
func build(ctx context.Context, dir string) (*bench, error) {
	with, without := folders()
	const names = `{{$p := .ImportPath}}{{range .TestGoFiles}}{{$p}} {{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$p}} {{.}}{{"\n"}}{{end}}`
	out, err := output(exec.CommandContext(ctx, "go", append([]string{"list", "-f", names}, with...)...))
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir}
	for line := range strings.Lines(out) {
		if p, ok := strings.CutSuffix(strings.TrimSpace(line), " bench_test.go"); ok && p != without {
			b.packages = append(b.packages, p)
		}
	}
	slices.Sort(b.packages)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, p := range b.packages {
		g.Go(func() error {
			_, err := output(exec.CommandContext(ctx, "go", "test", "-c", "-vet", "off", "-o", b.binary(p), p))
			return err
		})
	}
	return b, g.Wait()
}

// binary is the test binary of a package. Packages may have the same last name.
func (b *bench) binary(pkg string) string {
	return filepath.Join(b.dir, strings.ReplaceAll(strings.TrimPrefix(pkg, module), "/", "-")+".test")
}

// measure runs the benchmarks of packages and returns the figures. As many run at
// a time as there are processors: time is not what is measured.
func (b *bench) measure(ctx context.Context, packages []string) (figures, error) {
	var mu sync.Mutex
	all := figures{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, p := range packages {
		for _, s := range plan() {
			g.Go(func() error {
				found, err := b.run(ctx, p, s)
				mu.Lock()
				defer mu.Unlock()
				maps.Copy(all, found)
				return err
			})
		}
	}
	return all, g.Wait()
}

func (b *bench) run(ctx context.Context, pkg string, s series) (figures, error) {
	args := []string{"-test.run", "^$", "-test.cpu", "1", "-test.benchmem", "-test.benchtime", s.times, "-test.bench", s.bench}
	if s.skip != "" {
		args = append(args, "-test.skip", s.skip)
	}
	cmd := exec.CommandContext(ctx, b.binary(pkg), args...)
	cmd.Dir = filepath.FromSlash(strings.TrimPrefix(pkg, module))
	// The limit is for the collector to come back before a machine has no memory left.
	cmd.Env = append(os.Environ(), "GOGC=off", "GOMEMLIMIT=600MiB")
	out, err := output(cmd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pkg, err)
	}
	return read(strings.NewReader(out), pkg)
}

// output runs a command. Its error has everything that was said.
func output(cmd *exec.Cmd) (string, error) {
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args[:2], " "), err, out.String(), faults.String())
	}
	return out.String(), nil
}
