// Package process starts programs on one processor, and reads what the kernel
// accounts to them: processor time and peak memory. It works on Linux only.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stopPatience = 5 * time.Second
	pollEvery    = 20 * time.Millisecond
	logTail      = 4 << 10
)

// Spec is how a program is started.
type Spec struct {
	Name    string
	Program string
	Args    []string
	Dir     string   // working directory; empty: ours
	Env     []string // nil: ours
	Log     string   // file that takes both outputs
	CPU     int      // the processor it may use, with all its threads and children
	// Ready is asked until it returns nil; nil: ready at once.
	Ready   func(context.Context) error
	Timeout time.Duration // for getting ready; 0: 10 s
}

// Process is a started program. Its children belong to it: it leads a process group.
type Process struct {
	Spec  Spec
	cmd   *exec.Cmd
	ended chan struct{} // closed when the program itself has ended
}

// Start starts a program and waits until it is ready. It must be stopped.
func Start(ctx context.Context, s Spec) (*Process, error) {
	log, err := os.Create(s.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// Not bound to ctx: a process is ended in order, by Stop.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), s.Program, s.Args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.Dir, s.Env, log, log
	if err := StartOn(s.CPU, cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	p := &Process{Spec: s, cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(p.ended)
	}()
	if err := p.await(ctx); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// StartOn starts a command on one processor. The thread that forks is moved
// there for the moment, so that the program has never run anywhere else. The
// command leads a process group, and dies with us.
func StartOn(cpu int, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read the allowed processors: %w", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("use processor %d only: %w", cpu, err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// await waits until the process is ready.
func (p *Process) await(ctx context.Context) error {
	if p.Spec.Ready == nil {
		return nil
	}
	timeout := p.Spec.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := p.Spec.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended before it was ready; it said:\n%s", p.Spec.Name, p.Tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready within %s: %w; it said:\n%s", p.Spec.Name, timeout, err, p.Tail())
		case <-time.After(pollEvery):
		}
	}
}

// PID is the program's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Running is false once the program has ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Tail is the end of what the program printed.
func (p *Process) Tail() string {
	data, err := os.ReadFile(p.Spec.Log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-logTail):]))
}

// Stop ends the program and its children: politely at first.
func (p *Process) Stop() {
	if p.Running() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended just now
		select {
		case <-p.ended:
		case <-time.After(stopPatience):
		}
	}
	p.Kill()
}

// Kill ends the program and its children at once.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // nobody may be left
	<-p.ended
}
