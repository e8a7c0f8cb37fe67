package tour_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// shell runs commands as a reader's terminal does, one statement at a time. It
// needs no shell on the machine, and no curl: where there is none, the few options
// that the README uses are understood here.
type shell struct {
	runner *interp.Runner
	output screen // of the current statement
}

// screen gets both outputs of a command, which write at the same time.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// take returns what was written, and clears the screen.
func (s *screen) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.text.Reset()
	return s.text.String()
}

// newShell returns a shell that stands in the source tree, with variables besides
// those of the environment.
func newShell(t *testing.T, variables ...string) *shell {
	t.Helper()
	sh := &shell{}
	runner, err := interp.New(
		interp.Dir(root),
		interp.Env(expand.ListEnviron(append(os.Environ(), variables...)...)),
		interp.StdIO(nil, &sh.output, &sh.output),
		interp.ExecHandlers(orCurl),
	)
	if err != nil {
		t.Fatal(err)
	}
	sh.runner = runner
	return sh
}

// statement is one command of a block, with what its comment promises.
type statement struct {
	*syntax.Stmt
	text   string
	status string // of HTTP; empty: nothing is promised
}

// promise finds the status in a comment: `# 200`, `# → 401 token_revoked`.
var promise = regexp.MustCompile(`^\s*(?:→|->|=>)?\s*([1-5]\d\d)\b`)

// parse splits a block into statements.
func parse(t *testing.T, block string) []statement {
	t.Helper()
	file, err := syntax.NewParser(syntax.KeepComments(true)).Parse(strings.NewReader(block), "README.md")
	if err != nil {
		t.Fatalf("%v in:\n%s", err, block)
	}
	var all []statement
	for _, stmt := range file.Stmts {
		s := statement{Stmt: stmt, text: block[stmt.Pos().Offset():stmt.End().Offset()]}
		for _, c := range stmt.Comments {
			if m := promise.FindStringSubmatch(c.Text); m != nil && c.Pos().After(stmt.Pos()) {
				s.status = m[1]
			}
		}
		all = append(all, s)
	}
	return all
}

// run runs a statement and returns what it printed.
func (sh *shell) run(ctx context.Context, s statement) (string, error) {
	// Long enough for a `go run` that has to compile.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	err := sh.runner.Run(ctx, s.Stmt)
	return sh.output.take(), err
}

var (
	statusLine = regexp.MustCompile(`(?m)^HTTP/[\d.]+ (\d{3})\b`) // curl -i
	statusLast = regexp.MustCompile(`(?:^|\D)(\d{3})\s*$`)        // curl -w '%{http_code}'
)

// status returns the last HTTP status that a statement's output shows.
func status(output string) string {
	if all := statusLine.FindAllStringSubmatch(output, -1); len(all) > 0 {
		return all[len(all)-1][1]
	}
	if m := statusLast.FindStringSubmatch(output); m != nil {
		return m[1]
	}
	return ""
}

// orCurl stands in for curl on machines that have none.
func orCurl(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, args []string) error {
		if args[0] != "curl" {
			return next(ctx, args)
		}
		if _, err := exec.LookPath("curl"); err == nil {
			return next(ctx, args)
		}
		hc := interp.HandlerCtx(ctx)
		if err := curl(ctx, args[1:], hc.Stdout); err != nil {
			fmt.Fprintln(hc.Stderr, "curl:", err)
			return interp.ExitStatus(7)
		}
		return nil
	}
}

// curl knows -s -S -f -i -o -w -X -H -d --data-binary --json, each spelt as its own argument.
func curl(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("curl", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var include bool
	header := http.Header{}
	for _, name := range []string{"s", "silent", "S", "f", "sS", "fsS"} {
		flags.Bool(name, false, "")
	}
	for _, name := range []string{"i", "si", "is", "include"} {
		flags.BoolFunc(name, "", func(string) error { include = true; return nil })
	}
	var body, output, format, method string
	for _, name := range []string{"d", "data", "data-binary", "json"} {
		flags.StringVar(&body, name, "", "")
	}
	flags.StringVar(&output, "o", "", "")
	flags.StringVar(&output, "so", "", "")
	flags.StringVar(&format, "w", "", "")
	flags.StringVar(&method, "X", "", "")
	flags.Func("H", "", func(h string) error {
		name, value, _ := strings.Cut(h, ":")
		header.Set(name, strings.TrimSpace(value))
		return nil
	})
	var target string
	for len(args) > 0 { // options may follow the URL
		if err := flags.Parse(args); err != nil {
			return err
		}
		if args = flags.Args(); len(args) > 0 {
			target, args = args[0], args[1:]
		}
	}
	if file, ok := strings.CutPrefix(body, "@"); ok {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		body = string(data)
	}
	if method == "" && body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if include {
		fmt.Fprintf(stdout, "%s %s\r\n", resp.Proto, resp.Status)
		_ = resp.Header.Write(stdout)
		fmt.Fprint(stdout, "\r\n")
	}
	if output == "" {
		_, _ = stdout.Write(answer)
	}
	format = strings.ReplaceAll(format, "%{http_code}", fmt.Sprint(resp.StatusCode))
	fmt.Fprint(stdout, strings.ReplaceAll(format, `\n`, "\n"))
	return errors.Join(err)
}
