// Package faults_test proves the product from outside: it builds the programs,
// runs them as processes of their own, talks HTTP to them, kills them, and looks
// at what is left.
//
// In the tests that CI runs the numbers are small. PORTCULLIS_FAULTS=full makes
// them those of the promises: 1,000 toggles, 20 kills. Single numbers are set by
// PORTCULLIS_FAULTS_TOGGLES, _AWAITED, _GATEWAYS (of the toggles) and _KILLS; _P99
// sets the bound of the toggles, such as 50ms, and _RESULT a file for their figures.
package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// root is the source tree, seen from this folder.
const root = "../.."

// programs is where build puts the programs.
var programs string

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "portcullis-faults-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(code)
}

// build compiles the four programs, once for all tests. They are not built with
// the race detector, whatever the tests are built with: their speed is measured.
var build = sync.OnceValue(func() error {
	cmd := exec.Command("go", "build", "-o", programs+string(filepath.Separator),
		"./gateway/cmd/gateway", "./keymanager-sync/cmd/keymanager-sync", "./deployments/nats", "./deployments/standalone")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
})

// program is the path of a program by its name.
func program(t *testing.T, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(programs, name)
}

// full tells whether the numbers are those of the promises.
func full() bool { return os.Getenv("PORTCULLIS_FAULTS") == "full" }

// count is how often something is done.
func count(t *testing.T, name string, small, whole int) int {
	t.Helper()
	name = "PORTCULLIS_FAULTS_" + name
	text, given := os.LookupEnv(name)
	switch {
	case given:
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is not a number above 0", name, text)
		}
		return n
	case full():
		return whole
	}
	return small
}

// eventually waits until try succeeds, and fails the test if it never does.
func eventually(t *testing.T, within time.Duration, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// contains is an error that names what is missing in a text.
func contains(text string, wanted ...string) error {
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			return fmt.Errorf("no %q in %q", w, text)
		}
	}
	return nil
}
