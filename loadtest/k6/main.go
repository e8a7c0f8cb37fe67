// Command k6 runs the suites of load tests in this folder with k6.
//
//	go tool task load:SUITE [-- NAME=VALUE…]
//	go run ./loadtest/k6 SUITE [NAME=VALUE…]
//
// A NAME=VALUE is put into the environment, where a suite finds its variables; see
// README.md, and the head of each script. With GATEWAY or GATEWAYS among them the
// suite runs against what is there. Without, the command builds and starts a
// standalone on free ports, for the suite `fleet` with two further gateways, and
// stops them afterwards. It is itself the upstream, unless UPSTREAM names another.
//
// The summary is printed, and written with charts to .task/k6/SUITE.html. The exit
// code is k6's: 0, or 99 when a threshold was missed; 2 when the suite or a variable
// is not known, or a value makes no sense: then nothing was started.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

const (
	endWithin = 30 * time.Second // for k6 to end in an orderly way once it got a signal
	mostLines = 20               // of k6's log: it has one for every request that fails
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "k6:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run does what a command line asks for, and returns k6's exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) (code int, err error) {
	root, err := cluster.SourceTree(ctx)
	if err != nil {
		return 0, err
	}
	if code, done, err := answer(root, args, stdout, stderr); done {
		return code, err
	}
	name, variables, err := parse(root, args)
	if err != nil {
		return cli.Usage, err
	}
	known, err := declared(root, name)
	if err != nil {
		return 0, err
	}
	if err := checkVariables(known, variables, slices.Concat(environ, variables)); err != nil {
		return cli.Usage, err
	}
	server, err := serve(ctx, http.HandlerFunc(upstream))
	if err != nil {
		return 0, err
	}
	defer server.Close()
	environ = slices.Concat([]string{"UPSTREAM=" + server.Addr}, environ, variables)
	if lookup(environ, "GATEWAY") == "" && lookup(environ, "GATEWAYS") == "" {
		nodes := 1
		if name == "fleet" {
			nodes = 3
		}
		f, err := start(ctx, root, nodes)
		if err != nil {
			return 0, err
		}
		defer func() {
			stopped := f.Stop(context.WithoutCancel(ctx)) // so that the logs are whole
			if code != 0 {
				f.lastWords(stderr)
			}
			err = errors.Join(err, stopped, f.end())
		}()
		environ = slices.Concat(environ, f.variables())
	}
	printTarget(stdout, name, known, environ)
	page := filepath.Join(root, ".task", "k6", name+".html")
	return runK6(ctx, root, name, page, environ, stdout, stderr)
}

// parse reads SUITE [NAME=VALUE…].
func parse(root string, args []string) (suite string, variables []string, err error) {
	known := suites(root)
	if len(args) == 0 {
		return "", nil, fmt.Errorf("which suite? (hint: one of %s)", strings.Join(known, ", "))
	}
	if suite = args[0]; !slices.Contains(known, suite) {
		return "", nil, fmt.Errorf("no suite %q (hint: %s)", suite, fault.Suggest(suite, known))
	}
	return suite, args[1:], nil
}

// answer prints what needs no suite; done: that was asked for.
func answer(root string, args []string, stdout, stderr io.Writer) (code int, done bool, err error) {
	if len(args) == 0 {
		return 0, false, nil
	}
	switch args[0] {
	case "help", "-h", "--help":
		return cli.Done, true, help(root, stdout)
	case "version", "--version":
		return cli.App{Name: "k6 runner"}.Run(context.Background(), cli.Process{
			Args: append([]string{"version"}, args[1:]...), Stdout: stdout, Stderr: stderr,
		}), true, nil
	}
	return 0, false, nil
}

// help prints the suites with their variables.
func help(root string, w io.Writer) error {
	fmt.Fprint(w, "Runs a suite of load tests with k6, against what is there or against a fleet that it starts.\n\n"+
		"Usage:\n  go run ./loadtest/k6 SUITE [NAME=VALUE…]\n  go run ./loadtest/k6 help|version\n\nSuites, with their own variables and defaults:\n")
	var common []variable
	for _, suite := range suites(root) {
		known, err := declared(root, suite)
		if err != nil {
			return err
		}
		own := len(known)
		if i := slices.IndexFunc(known, func(v variable) bool { return v.name == "GATEWAYS" }); i >= 0 {
			own, common = i, known[i:]
		}
		fmt.Fprintf(w, "  %-10s %s\n", suite, list(known[:own]))
	}
	_, err := fmt.Fprintf(w, "\nVariables of all suites:\n  %s\n\nk6's own variables (K6_…) are passed on. See loadtest/k6/README.md.\n", list(common))
	return err
}

func list(variables []variable) string {
	texts := make([]string, len(variables))
	for i, v := range variables {
		texts[i] = v.name
		if len(v.values) > 0 {
			texts[i] += "=" + v.values[0]
		}
	}
	return strings.Join(texts, " ")
}

// runK6 runs a suite, and writes its page unless k6 broke off before there was a summary.
func runK6(ctx context.Context, root, name, page string, environ []string, stdout, stderr io.Writer) (int, error) {
	program, err := tool(ctx, root)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "portcullis-k6-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	//nolint:gosec // the page is named for a script that is here
	if err := os.Remove(page); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err // or a page of an earlier run could be taken for this one's
	}
	summary, charts := filepath.Join(dir, "summary.html"), filepath.Join(dir, "charts.html")
	period := "1s"
	if name == "soak" {
		period = "10s" // or its charts have thousands of points
	}
	cmd := exec.CommandContext(ctx, program, "run", "--no-usage-report", "--no-color", "--quiet", "--address", "",
		filepath.Join("loadtest", "k6", name+".js"))
	log := &firstLines{w: stderr, left: mostLines}
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, stdout, log
	cmd.Env = slices.Concat([]string{"K6_WEB_DASHBOARD_PERIOD=" + period}, environ, []string{
		"HTML=" + summary,
		"K6_AUTO_EXTENSION_RESOLUTION=false",                // it would fetch programs
		"K6_WEB_DASHBOARD=true", "K6_WEB_DASHBOARD_PORT=-1", // charts, but no server
		"K6_WEB_DASHBOARD_EXPORT=" + charts,
	})
	// Ctrl-C reaches every process of the terminal's group, k6 too; it must get one only.
	cmd.SysProcAttr = cluster.OwnGroup()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endWithin
	err = cmd.Run()
	log.end()
	if err != nil && cmd.ProcessState == nil {
		return 0, fmt.Errorf("k6: %w", err)
	}
	code := cmd.ProcessState.ExitCode()
	if code < 0 {
		return 1, fmt.Errorf("k6: %s", cmd.ProcessState)
	}
	if _, err := os.Stat(summary); code != 0 && errors.Is(err, os.ErrNotExist) {
		return code, nil // it has said why
	}
	if err := join(page, summary, charts); err != nil {
		return code, err
	}
	fmt.Fprintln(stdout, page)
	return code, nil
}

// join puts the charts into the page of the summary. A very short run has none.
func join(page, summary, charts string) error {
	text, err := os.ReadFile(summary)
	if err != nil {
		return fmt.Errorf("k6's summary: %w", err)
	}
	drawn := "<p>The run was too short for charts.</p>"
	if data, err := os.ReadFile(charts); err == nil {
		drawn = `<h2>Charts</h2><iframe title="charts" srcdoc="` + strings.NewReplacer("&", "&amp;", `"`, "&quot;").Replace(string(data)) + `"></iframe>`
	}
	if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil { //nolint:gosec // people read it
		return err
	}
	return os.WriteFile(page, []byte(strings.Replace(string(text), "<!-- charts -->", drawn, 1)), 0o644) //nolint:gosec // people read it
}

// tool returns the path of k6, which Go builds if need be.
func tool(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "-n", "-modfile=deployments/tools/k6.mod", "k6")
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build k6: %w\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// suites are the scripts of this folder.
func suites(root string) []string {
	files, _ := filepath.Glob(filepath.Join(root, "loadtest", "k6", "*.js")) // the pattern is well-formed
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".js")
	}
	return files
}

// lookup finds a variable; the last one of a name counts.
func lookup(environ []string, name string) string {
	value := ""
	for _, entry := range environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// firstLines passes on the first lines, and counts the others.
type firstLines struct {
	w       io.Writer
	left    int
	skipped int
}

func (f *firstLines) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if f.left == 0 {
			f.skipped++
			continue
		}
		f.left--
		if _, err := f.w.Write(line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (f *firstLines) end() {
	if f.skipped > 0 {
		fmt.Fprintf(f.w, "and %d more lines\n", f.skipped)
	}
}
