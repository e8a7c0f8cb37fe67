// Package tour_test checks the standalone from outside, as somebody who has just
// read the README: what it prints is true, and the README's tour works word by word.
package tour_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// root is the source tree, seen from this folder.
const root = "../../.."

// The default addresses, by the flag that moves each elsewhere.
var addresses = []struct{ flag, value string }{
	{"--gateway-listen", "127.0.0.1:8080"},
	{"--gateway-admin-listen", "127.0.0.1:9090"},
	{"--control-listen", "127.0.0.1:8081"},
	{"--nats-listen", "127.0.0.1:4222"},
	{"--demo-issuer-listen", "127.0.0.1:8090"},
	{"--demo-upstream-listen", "127.0.0.1:8091"},
}

// standalone is a started standalone, on ports of its own.
type standalone struct {
	dataDir string
	moved   map[string]string // default address → the one in use
	printed []string          // up to and with `ready`
}

// build returns the path of the program, built once for all tests.
var build = sync.OnceValues(func() (string, error) {
	program := filepath.Join(programs, "standalone")
	cmd := exec.Command("go", "build", "-o", program, "./deployments/standalone")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./deployments/standalone: %w\n%s", err, out)
	}
	return program, nil
})

// programs is where build puts it.
var programs string

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "portcullis-tour-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(code)
}

// start starts a standalone with an empty data directory and waits until it is
// ready. It is stopped when the test ends.
func start(t *testing.T) *standalone {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a standalone")
	}
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	s := &standalone{dataDir: filepath.Join(t.TempDir(), "data"), moved: make(map[string]string)}
	args := []string{"--data-dir", s.dataDir}
	for i, port := range freePorts(t, len(addresses)) {
		a := addresses[i]
		s.moved[a.value] = fmt.Sprintf("127.0.0.1:%d", port)
		args = append(args, a.flag, s.moved[a.value])
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "PORTCULLIS_") })
	var log strings.Builder
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines, done := bufio.NewScanner(stdout), false; lines.Scan(); {
			if !done {
				s.printed = append(s.printed, lines.Text())
			}
			if !done && strings.TrimSpace(lines.Text()) == "ready" {
				done = true
				close(ready)
			}
		}
	}()
	t.Cleanup(func() {
		if err := stop(cmd, ended); err != nil {
			t.Errorf("stop the standalone: %v", err)
		}
		if t.Failed() {
			t.Logf("the standalone printed:\n%s\nand logged:\n%s", strings.Join(s.printed, "\n"), log.String())
		}
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("the standalone ended before it was ready")
	case <-time.After(time.Minute):
		t.Fatal("the standalone is not ready after a minute")
	}
	return s
}

// stop asks the process to end, as Ctrl-C does, and kills it after 20 s. Only
// after `ended`, the end of its output, may Wait be called.
func stop(cmd *exec.Cmd, ended <-chan struct{}) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		<-ended
		return cmd.Wait()
	}
	select {
	case <-ended:
		return cmd.Wait()
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
		return fmt.Errorf("still running 20 s after SIGTERM")
	}
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		ports[i] = int(netip.MustParseAddrPort(streamtest.FreeAddress(t)).Port())
	}
	return ports
}

// dataPath finds ./data/… and data/… where a word begins.
var dataPath = regexp.MustCompile(`(^|[\s"'(=])(?:\./)?data/`)

// here rewrites text that speaks of the default addresses and of ./data, so that
// it speaks of this standalone.
func (s *standalone) here(text string) string {
	var pairs []string
	for from, to := range s.moved {
		pairs = append(pairs, from, to, strings.Replace(from, "127.0.0.1", "localhost", 1), to)
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	return dataPath.ReplaceAllString(text, "${1}"+strings.ReplaceAll(s.dataDir, "$", "$$")+"/")
}
