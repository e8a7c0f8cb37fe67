package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	readyWithin = time.Minute
	stopWithin  = 20 * time.Second // then the process is killed
	pollEvery   = 20 * time.Millisecond
	mostBytes   = 3 << 10 // of a log, shown when something went wrong
)

// process is a node that can be stopped and started again.
type process struct {
	name    string
	program string
	args    []string
	dir     string // working directory
	token   string // admin token
	gateway string // base URLs
	admin   string

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// start starts the process and waits until its state is current.
func (p *process) start(ctx context.Context) error {
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	// Not bound to ctx, whose end is where the orderly stop begins.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), p.program, p.args...)
	p.cmd.Dir, p.cmd.Stderr, p.cmd.SysProcAttr = p.dir, log, ownGroup()
	p.cmd.Env = p.environment(os.Environ())
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended, cmd := make(chan struct{}), p.cmd
	p.ended = ended
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	return p.awaitLive(ctx)
}

// environment leaves out settings of Portcullis, which are given as flags.
func (p *process) environment(environ []string) []string {
	env := []string{"PORTCULLIS_ADMIN_TOKEN=" + p.token}
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "PORTCULLIS_") {
			env = append(env, entry)
		}
	}
	return env
}

func (p *process) awaitLive(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("%s is not ready after %s", p.name, readyWithin))
	defer cancel()
	for {
		err := p.live(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended before it was ready:\n%s", p.name, p.said())
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pollEvery):
		}
	}
}

// live asks whether the node's state is current. A node serves from its disk before it is.
func (p *process) live(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.admin+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct{ State string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", req.URL, err)
	}
	if resp.StatusCode != http.StatusOK || answer.State != "LIVE" {
		return fmt.Errorf("%s: %s, state %s", req.URL, resp.Status, answer.State)
	}
	return nil
}

// stop asks the process to end, and kills it if it does not. A process that does
// not run is left alone.
func (p *process) stop(ctx context.Context) error {
	if p.ended == nil {
		return nil
	}
	select {
	case <-p.ended:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-p.ended:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	_ = p.cmd.Process.Kill() // it may have ended just now
	<-p.ended
	return fmt.Errorf("%s was killed: it did not end within %s", p.name, stopWithin)
}

func (p *process) log() string { return filepath.Join(p.dir, p.name+".log") }

// said is the end of the log; of a process that broke down, the beginning of why.
func (p *process) said() string {
	data, err := os.ReadFile(p.log())
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
