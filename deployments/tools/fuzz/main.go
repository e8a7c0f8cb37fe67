// Command fuzz finds every fuzz target of the module and runs each for a moment.
//
//	go run ./deployments/tools/fuzz [--each 5s] [--total 60s] [packages]
//
// `go test -fuzz` takes one target of one package at a time and links the test
// binary again each time. Here a package is built once, with the same
// instrumentation, and its targets are run from that binary. An input that fails
// is kept in the package's testdata, where plain `go test` runs it from then on.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	each := flag.Duration("each", 5*time.Second, "how long one target is fuzzed")
	total := flag.Duration("total", time.Minute, "what all targets may take together, without building; shortens --each")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, flag.Args(), *each, *total)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// run fuzzes all targets of the packages that the patterns match. It goes on
// after a failure, so that one run shows them all.
func run(ctx context.Context, patterns []string, each, total time.Duration) error {
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	packages, err := list(ctx, patterns)
	if err != nil {
		return err
	}
	count := 0
	for _, p := range packages {
		count += len(p.targets)
	}
	if count == 0 {
		fmt.Println("no fuzz targets")
		return nil
	}
	each = min(each, total/time.Duration(count))
	dir, err := os.MkdirTemp("", "portcullis-fuzz-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	var faults []error
	for i, p := range packages {
		binary := filepath.Join(dir, fmt.Sprintf("%d.test", i))
		if err := p.fuzz(ctx, binary, each); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// pkg is a package with at least one fuzz target.
type pkg struct {
	Dir          string
	ImportPath   string
	TestGoFiles  []string
	XTestGoFiles []string

	targets []string
}

// list returns the packages with fuzz targets, in the order of `go list`.
func list(ctx context.Context, patterns []string) ([]pkg, error) {
	args := append([]string{"list", "-json=Dir,ImportPath,TestGoFiles,XTestGoFiles", "--"}, patterns...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			targets, err := fuzzTargets(filepath.Join(p.Dir, file))
			if err != nil {
				return nil, err
			}
			p.targets = append(p.targets, targets...)
		}
		if len(p.targets) > 0 {
			packages = append(packages, p)
		}
	}
}

// fuzzTargets returns the names of the functions FuzzXxx(*testing.F) of a test file.
func fuzzTargets(file string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") && len(fn.Type.Params.List) == 1 {
			names = append(names, fn.Name.Name)
		}
	}
	return names, nil
}

// fuzz builds the package's test binary and fuzzes its targets one after the other.
func (p pkg) fuzz(ctx context.Context, binary string, each time.Duration) error {
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-fuzz=.", "-o", binary, p.ImportPath).CombinedOutput(); err != nil {
		return fmt.Errorf("build the tests of %s: %w\n%s", p.ImportPath, err, out)
	}
	defer os.Remove(binary)
	var faults []error
	for _, name := range p.targets {
		if err := p.fuzzTarget(ctx, binary, name, each); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// patience is how long after the end of fuzzing a binary may still run. The fuzzer
// interrupts a worker after one second and kills it after two, and calls that a
// pass, even if the worker was stuck in an input that never returns.
const patience = 1900 * time.Millisecond

// fuzzTarget fuzzes one target. It fails if an input fails, or if twice in a row a
// call has not returned when the fuzzer lost its patience.
func (p pkg) fuzzTarget(ctx context.Context, binary, name string, each time.Duration) error {
	took, out, err := p.fuzzOnce(ctx, binary, name, each)
	if err == nil && took > each+patience {
		took, out, err = p.fuzzOnce(ctx, binary, name, each)
		if err == nil && took > each+patience {
			err = errors.New("a call does not return")
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", p.ImportPath, name, err, out)
	}
	fmt.Printf("ok  %-72s %-24s %5.1fs %s\n", p.ImportPath, name, took.Seconds(), lastProgress(out))
	return nil
}

func (p pkg) fuzzOnce(ctx context.Context, binary, name string, each time.Duration) (time.Duration, []byte, error) {
	corpus := filepath.Join(filepath.Dir(binary), "corpus", filepath.FromSlash(p.ImportPath))
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.fuzz=^"+name+"$", "-test.fuzztime="+each.String(), "-test.fuzzcachedir="+corpus)
	cmd.Dir = p.Dir
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil && onlyLate(out) {
		err = nil
	}
	return time.Since(start), out, err
}

// onlyLate reports whether a run failed for no other reason than that a worker
// was in the middle of an input when the time was up (go.dev/issue/75804): no
// input is named as failing then.
func onlyLate(out []byte) bool {
	return bytes.Contains(out, []byte("context deadline exceeded")) &&
		!bytes.Contains(out, []byte("Failing input written")) &&
		!bytes.Contains(out, []byte("panic")) &&
		!bytes.Contains(out, []byte("fuzzing process"))
}

// lastProgress returns what the fuzzer counted: "execs: 12345".
func lastProgress(out []byte) string {
	i := bytes.LastIndex(out, []byte("execs: "))
	if i < 0 {
		return ""
	}
	line, _, _ := bytes.Cut(out[i:], []byte(" ("))
	return string(bytes.TrimSpace(line))
}
