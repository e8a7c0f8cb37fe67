package streamtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/stream/inprocess"
)

// ProcessVariable is the environment variable by which a test binary learns that
// it is to be a server. A package that uses Processes begins its TestMain with
//
//	if spec := os.Getenv(streamtest.ProcessVariable); spec != "" {
//		streamtest.ServeProcess(spec)
//	}
const ProcessVariable = "PORTCULLIS_STREAMTEST_SERVER"

// Process is a server in a separate process, the test's binary run again, that
// can be killed with no chance to write anything or tell anybody.
type Process struct {
	spec    spec
	command *exec.Cmd
}

type spec struct {
	Dir, Name, Listen string
	Cluster           *inprocess.Cluster
}

// Processes starts one server, or a cluster of several, each in a process of its
// own. They end with the test.
func Processes(tb testing.TB, n int) []*Process {
	tb.Helper()
	var cluster inprocess.Cluster
	for range n {
		cluster.Routes = append(cluster.Routes, FreeAddress(tb))
	}
	processes := make([]*Process, n)
	for i := range processes {
		p := &Process{spec: spec{Dir: tb.TempDir(), Name: fmt.Sprintf("p%d", i+1), Listen: FreeAddress(tb)}}
		if n > 1 {
			p.spec.Cluster = &inprocess.Cluster{Name: "test", Listen: cluster.Routes[i], Routes: cluster.Routes}
		}
		tb.Cleanup(p.Kill)
		p.Start(tb)
		processes[i] = p
	}
	return processes
}

// URLs returns where clients connect, as a comma-separated list.
func URLs(processes ...*Process) string {
	urls := make([]string, len(processes))
	for i, p := range processes {
		urls[i] = "nats://" + p.spec.Listen
	}
	return strings.Join(urls, ",")
}

// Name returns the server's name.
func (p *Process) Name() string { return p.spec.Name }

// Start starts the process again after Kill, and waits until clients can connect.
func (p *Process) Start(tb testing.TB) {
	tb.Helper()
	binary, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	text, err := json.Marshal(p.spec)
	if err != nil {
		tb.Fatal(err)
	}
	p.command = exec.CommandContext(context.Background(), binary)
	p.command.Env = append(os.Environ(), ProcessVariable+"="+string(text))
	p.command.Stderr = os.Stderr
	// The process ends when its standard input does, so that it never survives us.
	if _, err = p.command.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		tb.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		tb.Fatalf("server process said %q: %v", line, err)
	}
}

// Kill kills the process with SIGKILL, if it runs, and waits until it is gone.
func (p *Process) Kill() {
	if p.command != nil {
		_ = p.command.Process.Kill()
		_ = p.command.Wait()
		p.command = nil
	}
}

// ServeProcess is the other side of Processes: it serves until standard input
// ends, and then ends the process.
func ServeProcess(text string) {
	var s spec
	err := json.Unmarshal([]byte(text), &s)
	var server *inprocess.Server
	if err == nil {
		server, err = inprocess.Start(context.Background(), inprocess.Config{
			Dir: s.Dir, Name: s.Name, Listen: s.Listen, Cluster: s.Cluster, Logger: slog.New(slog.DiscardHandler),
		})
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stdout, err) // for Start to show
		os.Exit(1)                          //nolint:forbidigo // it stands in for a main function
	}
	_, _ = fmt.Fprintln(os.Stdout, "ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Stop()
	os.Exit(0) //nolint:forbidigo // it stands in for a main function
}
