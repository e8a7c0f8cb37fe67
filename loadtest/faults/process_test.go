package faults_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	adminToken = "the-admin-token-of-these-tests"
	nodeToken  = "the-node-token-of-these-tests"

	startWithin = time.Minute // on a machine that does much else
	lastWords   = 6 << 10     // of a log, shown when a test fails
)

// process is a program that can be started, killed and started again.
type process struct {
	name    string
	program string
	args    []string
	dir     string // working directory; logs are there, too
	ready   func() error

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// newProcess prepares a process; it is gone when the test ends.
func newProcess(t *testing.T, dir, name, executable string, ready func() error, args ...string) *process {
	t.Helper()
	p := &process{name: name, program: program(t, executable), args: args, dir: dir, ready: ready}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the end of what %s logged:\n%s", name, tail(p.stderr()))
		}
	})
	return p
}

func (p *process) stdout() string { return filepath.Join(p.dir, p.name+".out") }
func (p *process) stderr() string { return filepath.Join(p.dir, p.name+".log") }

// launch starts the process and does not wait for anything.
func (p *process) launch(t *testing.T) {
	t.Helper()
	out, err := os.Create(p.stdout())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	log, err := os.OpenFile(p.stderr(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// Not bound to the test's context: who ends when is what the tests are about.
	p.cmd = exec.Command(p.program, p.args...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.dir, environment(), out, log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	ended, cmd := make(chan struct{}), p.cmd
	p.ended = ended
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
}

// start starts the process and waits until it is ready.
func (p *process) start(t *testing.T) {
	t.Helper()
	p.launch(t)
	p.awaitReady(t)
}

func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	eventually(t, startWithin, p.name+" is ready", func() error {
		if !p.running() {
			t.Fatalf("%s ended before it was ready: %s", p.name, tail(p.stderr()))
		}
		return p.ready()
	})
}

func (p *process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	if p.running() {
		_ = p.cmd.Process.Kill() // it may have ended just now
		<-p.ended
	}
}

// environment is ours without the settings of Portcullis, and with tokens.
func environment() []string {
	env := []string{"PORTCULLIS_ADMIN_TOKEN=" + adminToken, "PORTCULLIS_NODE_TOKEN=" + nodeToken}
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "PORTCULLIS_") {
			env = append(env, entry)
		}
	}
	return env
}

func tail(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-lastWords):])
}

// nextPort is where freeAddresses looks on. The ports are below those that
// systems give to outgoing connections: a process that was killed finds its port
// free when it is started again.
var nextPort = func() *atomic.Int32 {
	n := new(atomic.Int32)
	n.Store(rand.Int32N(20_000))
	return n
}()

// freeAddresses returns loopback addresses on which nobody listens, and that no
// other test of this package is given.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var all []string
	for range 20_000 {
		if len(all) == n {
			return all
		}
		address := fmt.Sprintf("127.0.0.1:%d", 11_000+nextPort.Add(1)%20_000)
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			all = append(all, address)
		}
	}
	t.Fatal("no free ports")
	return nil
}

// answers200 makes a check of readiness.
func answers200(url string) func() error {
	return func() error {
		a, err := get(url)
		if err != nil {
			return err
		}
		if a.status != 200 {
			return fmt.Errorf("%s: %d %s", url, a.status, a.body)
		}
		return nil
	}
}

// printed makes a check for a whole line on a process's standard output.
func printed(file, line string) func() error {
	return func() error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for got := range strings.Lines(string(data)) {
			if strings.TrimSpace(got) == line {
				return nil
			}
		}
		return errors.New("no line " + line)
	}
}
