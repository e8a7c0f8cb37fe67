package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// taskfile has the tasks of these tests. Task interprets the commands itself, so
// they are the same on every system, but for the last, which is for Unix.
const taskfile = `
version: "3"
silent: true
tasks:
  fails: exit 7
  copies: cat
  arguments: echo {{.CLI_ARGS}}
  waits:
    cmds:
      - defer: echo ended
      - sh -c 'echo ready; exec cat'
`

func TestRuns(t *testing.T) {
	file := writeTaskfile(t)
	for _, c := range []struct {
		name, dir, stdin string
		args             []string
		want             string
		code             int
	}{
		{name: "arguments", args: []string{"arguments", "--", "a b", "c"}, want: "a b c\n"},
		{name: "standard input", args: []string{"copies"}, stdin: "given", want: "given"},
		{name: "exit code", args: []string{"-x", "fails"}, code: 7},
		{name: "exit code of Task", args: []string{"fails"}, code: 201},
		{name: "a subfolder", dir: "../../../shared/catalog", args: []string{"arguments", "--", "x"}, want: "x\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := goTool(t, append([]string{"--taskfile", file}, c.args...)...)
			cmd.Dir, cmd.Stdin = c.dir, strings.NewReader(c.stdin)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			code := 0
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != c.code || string(out) != c.want {
				t.Errorf("exit %d, printed %q; want %d, %q\n%s", code, out, c.code, c.want, stderr.String())
			}
		})
	}
}

// TestFindsTheTaskfile: without --taskfile, Task finds the repository's from a subfolder.
func TestFindsTheTaskfile(t *testing.T) {
	cmd := goTool(t, "--list")
	cmd.Dir = "../../../shared/catalog"
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "* standalone:") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFindUp(t *testing.T) {
	root := t.TempDir()
	below := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := findUp(below, "x/y.mod"); err == nil || !strings.Contains(err.Error(), "hint: run it inside a checkout") {
		t.Errorf("no file: %v", err)
	}
	want := filepath.Join(root, "x", "y.mod")
	if err := errors.Join(os.Mkdir(filepath.Dir(want), 0o755), os.WriteFile(want, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if got, err := findUp(below, "x/y.mod"); got != want || err != nil {
		t.Errorf("findUp = %s, %v; want %s", got, err, want)
	}
}

func goTool(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "task"}, args...)...)
	cmd.WaitDelay = time.Second
	return cmd
}

func writeTaskfile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Taskfile.yml")
	if err := os.WriteFile(file, []byte(taskfile), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
