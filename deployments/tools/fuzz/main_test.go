package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const targets = `package x
import "testing"
func FuzzBad(f *testing.F) { f.Add("a"); f.Fuzz(func(t *testing.T, s string) { if len(s) > 3 { t.Fatal("too long") } }) }
func FuzzStuck(f *testing.F) { f.Add("a"); f.Fuzz(func(t *testing.T, s string) { if len(s) > 3 { select {} } }) }
func FuzzGood(f *testing.F) { f.Add("a"); f.Fuzz(func(t *testing.T, s string) {}) }
func fuzzHelper(f *testing.F) {}
func TestNothing(t *testing.T) {}
`

// TestFaultsAreFound: a fuzzer that finds nothing looks like good code.
func TestFaultsAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("fuzzes for some seconds")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module x\n\ngo 1.26\n", "x_test.go": targets} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	err := run(t.Context(), []string{"./..."}, 500*time.Millisecond, time.Minute)
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, want := range []string{"x FuzzBad: exit status 1", "too long", "x FuzzStuck: a call does not return"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "FuzzGood") {
		t.Errorf("a good target fails: %v", err)
	}
}

func TestFuzzTargets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x_test.go")
	if err := os.WriteFile(file, []byte(targets), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := fuzzTargets(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"FuzzBad", "FuzzStuck", "FuzzGood"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOnlyLate(t *testing.T) {
	for out, want := range map[string]bool{
		"--- FAIL: FuzzX (5.01s)\n    context deadline exceeded\n":                          true,
		"--- FAIL: FuzzX\n    context deadline exceeded\nFailing input written to testdata": false,
		"panic: context deadline exceeded":                                                  false,
		"--- FAIL: FuzzX\n    fuzzing process hung or terminated unexpectedly":              false,
	} {
		if got := onlyLate([]byte(out)); got != want {
			t.Errorf("onlyLate(%q) = %v", out, got)
		}
	}
}
