package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyWithin = time.Minute
	stopWithin  = 20 * time.Second
	pollEvery   = 20 * time.Millisecond
	mostBytes   = 4 << 10 // of a log that is shown
)

// Process is a program that can be started, stopped and started again. Its fields
// may be changed while it does not run; its methods are safe for concurrent use.
type Process struct {
	Name    string   // of messages and of its log
	Program string   // path, or a name to look up
	Args    []string // without the program's name
	Dir     string   // working directory; empty: that of this process
	Env     []string // nil: that of this process
	// Log is the file to which standard error is appended. Out is the file that takes
	// standard output and is emptied at each start; empty: the log takes that, too.
	Log, Out string
	// Ready is asked until it returns nil; nil: the process is ready at once.
	Ready func(context.Context) error
	// ReadyWithin is how long AwaitReady waits, StopWithin how long Stop waits before
	// it kills; 0: a minute, and 20 s.
	ReadyWithin, StopWithin time.Duration
	// Address is where a process of a Cluster serves its clients: the gateway's API
	// consumers, the control plane's REST API, NATS. Admin is the gateway's health and
	// metrics, and NATS's monitoring.
	Address, Admin string

	mu  sync.Mutex
	run *run // the latest; nil: there was none
}

// run is one life of a process.
type run struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process and its children are gone
	err   error         // how it ended; valid once ended is closed
	asked bool          // to end; guarded by Process.mu
}

// Launch starts the process and waits for nothing. The process and its children are
// a process group of their own, so that Ctrl-C in a terminal does not reach them;
// on Linux they also end when this process does.
func (p *Process) Launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil && p.run.running() {
		return fmt.Errorf("start %s: it runs already", p.Name)
	}
	// Not bound to a context, whose end is where an orderly stop begins.
	cmd := exec.Command(p.Program, p.Args...) //nolint:noctx // see above
	cmd.Dir, cmd.Env, cmd.SysProcAttr = p.Dir, p.Env, OwnGroup()
	output, err := open(p.Log, os.O_APPEND)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer output.Close() // the process has its own
	cmd.Stdout, cmd.Stderr = output, output
	if p.Out != "" {
		out, err := open(p.Out, os.O_TRUNC)
		if err != nil {
			return fmt.Errorf("start %s: %w", p.Name, err)
		}
		defer out.Close()
		cmd.Stdout = out
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	r := &run{cmd: cmd, ended: make(chan struct{})}
	p.run = r
	go func() {
		r.err = cmd.Wait()
		killGroup(cmd.Process) // children that it has left
		close(r.ended)
	}()
	return nil
}

func open(file string, how int) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_CREATE|os.O_WRONLY|how, 0o600)
}

// Start starts the process and waits until it is ready. A process that does not get
// ready goes on running.
func (p *Process) Start(ctx context.Context) error {
	if err := p.Launch(); err != nil {
		return err
	}
	return p.AwaitReady(ctx)
}

// AwaitReady waits until the process is ready. The error of one that ends before,
// or takes too long, has the end of its log.
func (p *Process) AwaitReady(ctx context.Context) error {
	r := p.latest()
	if r == nil {
		return fmt.Errorf("%s was never started", p.Name)
	}
	within := orDefault(p.ReadyWithin, readyWithin)
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if !r.running() { // before it is asked: another program may answer on its port
			return p.endedBy(r)
		}
		if p.Ready == nil {
			return nil
		}
		err := p.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-r.ended:
		case <-ticker.C:
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return ctx.Err()
			}
			return fmt.Errorf("%s is not ready within %s: %w; the end of %s:\n%s", p.Name, within, err, p.Log, p.Tail())
		}
	}
}

// Stop asks the process to end (SIGTERM), waits, and kills it if it takes too long
// or ctx ends, which is an error. A process that does not run is left alone.
func (p *Process) Stop(ctx context.Context) error {
	r := p.asked()
	if r == nil {
		return nil
	}
	within := orDefault(p.StopWithin, stopWithin)
	timer := time.NewTimer(within)
	defer timer.Stop()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err == nil {
		_ = resume(r.cmd.Process) // one that stands still would not notice
		select {
		case <-r.ended:
			return nil
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	ended := !r.running()
	r.kill()
	if ended || !canAsk { // where a process cannot be asked, killing is how it is stopped
		return nil
	}
	return fmt.Errorf("%s was killed: it had not ended within %s; the end of %s:\n%s", p.Name, within, p.Log, p.Tail())
}

// Kill ends the process and its children at once, as kill -9 does.
func (p *Process) Kill() {
	if r := p.asked(); r != nil {
		r.kill()
	}
}

// Restart stops the process and starts it again.
func (p *Process) Restart(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	return p.Start(ctx)
}

// Pause lets the process and its children stand still (SIGSTOP) until Resume.
// errors.ErrUnsupported is the answer of systems that cannot do that.
func (p *Process) Pause() error { return p.signal(pause) }

// Resume lets a process go on after Pause (SIGCONT).
func (p *Process) Resume() error { return p.signal(resume) }

func (p *Process) signal(send func(*os.Process) error) error {
	r := p.latest()
	if r == nil || !r.running() {
		return fmt.Errorf("%s does not run", p.Name)
	}
	return send(r.cmd.Process)
}

// Running reports whether the process runs.
func (p *Process) Running() bool {
	r := p.latest()
	return r != nil && r.running()
}

// PID is the latest process's number; 0: it was never started.
func (p *Process) PID() int {
	if r := p.latest(); r != nil {
		return r.cmd.Process.Pid
	}
	return 0
}

// Watch waits until ctx ends, which is no error, or the process has ended although
// nobody called Stop or Kill. The error has the end of the log.
func (p *Process) Watch(ctx context.Context) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		r := p.latest()
		if r == nil {
			return fmt.Errorf("%s was never started", p.Name)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.ended:
		}
		p.mu.Lock()
		asked := r.asked
		p.mu.Unlock()
		if !asked {
			return p.endedBy(r)
		}
		select { // it may be started again
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Tail is the end of the log; of a process that broke down, the beginning of why.
func (p *Process) Tail() string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	if at := breakdown.FindIndex(data); at != nil {
		return strings.TrimSpace(string(data[at[0]:min(len(data), at[0]+mostBytes)]))
	}
	return strings.TrimSpace(string(data[max(0, len(data)-mostBytes):]))
}

// breakdown is where the Go runtime begins to say that a process cannot go on.
var breakdown = regexp.MustCompile(`(?m)^(panic|fatal error|unexpected fault address|SIG[A-Z]+): ?`)

func (p *Process) latest() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// asked returns the run that is to end, and notes that; nil: there is none.
func (p *Process) asked() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || !p.run.running() {
		return nil
	}
	p.run.asked = true
	return p.run
}

func (p *Process) endedBy(r *run) error {
	how := "exit status 0"
	if r.err != nil {
		how = r.err.Error()
	}
	return fmt.Errorf("%s ended by itself (%s); the end of %s:\n%s", p.Name, how, p.Log, p.Tail())
}

func (r *run) running() bool {
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

func (r *run) kill() {
	if r.running() {
		killGroup(r.cmd.Process)
		<-r.ended
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
