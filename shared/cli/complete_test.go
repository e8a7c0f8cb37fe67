package cli_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestComplete asks what may come next, as the shells' scripts do. "|" stands
// between words, so that the last one can be empty.
func TestComplete(t *testing.T) {
	for _, c := range []struct{ byDefault, words, want string }{
		{"", "", "serve get version help completion"},
		{"", "ge", "get"},
		{"", "g|x", ""},
		{"", "get|", "plans keys"},
		{"", "get|pl", "plans"},
		{"", "get|plans|", ""},
		{"", "get|--wait|", "plans keys"},
		{"", "get|-o|", "table json"},
		{"", "get|-o|j", "json"},
		{"", "get|-o|json|", "plans keys"},
		{"", "get|--output=j", "--output=json"},
		{"", "get|--output|=|j", "json"}, // as bash splits it
		{"", "get|--output|=", "table json"},
		{"", "get|--output|=|json|p", "plans"},
		{"", "get|--wa", "--wait"},
		{"", "get|--wait=", "--wait=true --wait=false"},
		{"", "get|--nonsense=", ""},
		{"", "get|-f|", ":files"},
		{"", "get|--dir|", ":dirs"},
		{"", "get|--control|", ""},
		{"", "get|-", "--output --control --file --dir --wait --version --help"},
		{"", "serve|", ":files"},
		{"", "serve|--config|", ":files"},
		{"", "help|g", "get"},
		{"", "completion|", "bash zsh fish"},
		{"", "-", ""},
		{"serve", "", "get version help completion :files"},
		{"serve", "--li", "--listen"},
		{"serve", "get|k", "keys"},
		{"serve", "--listen|:1|", ":files"},
	} {
		status, out, errs := run(app(c.byDefault), append([]string{"__complete"}, strings.Split(c.words, "|")...)...)
		var got []string
		for line := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, word)
		}
		if status != 0 || errs != "" || !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: got %q, want %q; status %d, %s", c.words, got, c.want, status, errs)
		}
	}
}

// script writes the completion of a shell to a file, and next to it a program that
// bash finds as porter and that answers like app.
func script(t *testing.T, shell string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	status, out, errs := run(app(""), "completion", shell)
	if status != 0 {
		t.Fatal(errs)
	}
	file = filepath.Join(dir, "completion."+shell)
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := "#!/bin/sh\nPORTER=1 exec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "porter"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// TestMain is the program porter if it is started as such.
func TestMain(m *testing.M) {
	if os.Getenv("PORTER") == "" {
		os.Exit(m.Run())
	}
	status, out, errs := run(app(""), os.Args[1:]...)
	_, _ = os.Stdout.WriteString(out)
	_, _ = os.Stderr.WriteString(errs)
	os.Exit(status)
}

// TestBash loads the script into a real bash and completes words there.
func TestBash(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash")
	}
	dir, file := script(t, "bash")
	for _, name := range []string{"one.yaml", "two words.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ words, want string }{
		{"porter|", "serve|get|version|help|completion"},
		{"porter|g", "get"},
		{"porter|get|p", "plans"},
		{"porter|get|--output|=|j", "json"},
		{"porter|get|--output|=", "table|json"},
		{"porter|get|-o|t", "table"},
		{"porter|get|-f|two", "two words.yaml"},
		{"porter|get|-f|o", "one.yaml"},
		{"porter|get|--dir|f", "folder"},
		{"porter|get|--wa", "--wait"},
		{"porter|get|nothing|x", ""},
	} {
		words := strings.Split(c.words, "|")
		text := `source "$0" || exit 1
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_porter_complete
for word in "${COMPREPLY[@]}"; do printf '%s\n' "$word"; done
complete -p porter >/dev/null || exit 1`
		cmd := exec.CommandContext(t.Context(), "bash", append([]string{"--norc", "-c", text, file}, words...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if got := strings.Join(strings.Split(strings.TrimSpace(string(out)), "\n"), "|"); err != nil || got != c.want {
			t.Errorf("%s: got %q, want %q; %v", c.words, got, c.want, err)
		}
	}
}

// TestOtherShells checks the scripts with the shells themselves, as far as they are
// here. Where the test may install programs it does; never in CI.
func TestOtherShells(t *testing.T) {
	for _, shell := range []string{"zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			install(t, shell)
			dir, file := script(t, shell)
			if out, err := exec.CommandContext(t.Context(), shell, "-n", file).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			ask := map[string][]string{
				"fish": {"-c", "source " + file + "; complete -C 'porter get -o '"},
				// A completion of zsh runs in its line editor only; the words are shown instead.
				"zsh": {"-f", "-c", "_describe() { print -l -- \"${candidates[@]}\" }; _files() { print files }\n" +
					"source " + file + "\nwords=(porter get -o ''); CURRENT=4\n_porter_complete"},
			}[shell]
			cmd := exec.CommandContext(t.Context(), shell, ask...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "HOME="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "json") || !strings.Contains(string(out), "table") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func install(t *testing.T, shell string) {
	t.Helper()
	if _, err := exec.LookPath(shell); err == nil {
		return
	}
	_, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 || os.Getenv("CI") != "" || testing.Short() {
		t.Skipf("there is no %s (hint: as root: apt-get install %s)", shell, shell)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "apt-get", "install", "-y", "--no-install-recommends", shell)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("apt-get install %s: %v\n%s(hint: apt-get update)", shell, err, out)
	}
}
