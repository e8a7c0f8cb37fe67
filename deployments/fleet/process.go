package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"
)

const (
	readyWithin = 60 * time.Second
	stopWithin  = 15 * time.Second // then the process is killed
	pollEvery   = 100 * time.Millisecond
	lastWords   = 2 << 10 // of a log, shown when its process ends by itself
)

// process is one member of the fleet.
type process struct {
	name    string
	ready   string // the URL that answers 200 then
	program string
	args    []string
	dir     string // working directory
	environ []string
	log     string // file that gets both outputs

	cmd   *exec.Cmd
	ended chan struct{}
}

// start starts the process and watches it: when it ends, fail is told why.
func (p *process) start(ctx context.Context, fail context.CancelCauseFunc) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	// Not bound to ctx, whose end is where the orderly stop begins.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), p.program, p.args...)
	p.cmd.Dir, p.cmd.Env = p.dir, p.environ
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Ctrl-C reaches every process of the terminal's group, and would stop all at once.
	p.cmd.SysProcAttr = ownGroup()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.ended = make(chan struct{})
	go func() {
		err := p.cmd.Wait()
		fail(fmt.Errorf("%s ended by itself (%v), the end of %s:\n%s", p.name, exit(err), p.log, tail(p.log)))
		close(p.ended)
	}()
	return nil
}

// awaitReady waits until the process answers, for at most a minute.
func (p *process) awaitReady(ctx context.Context) error {
	deadline := time.NewTimer(readyWithin)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := p.probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return cause(ctx)
		case <-deadline.C:
			return fmt.Errorf("%s is not ready after %v: %w; the end of %s:\n%s", p.name, readyWithin, err, p.log, tail(p.log))
		case <-tick.C:
		}
	}
}

// probe asks once.
func (p *process) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ready, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", p.ready, resp.Status)
	}
	return nil
}

// stop asks the process to end, and kills it if it does not.
func (p *process) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	// An error means that it has ended already.
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.ended:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// cause returns why ctx ended: nil if it was told to from outside.
func cause(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func exit(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

func tail(file string) []byte {
	data, err := os.ReadFile(file)
	if err != nil {
		return []byte(err.Error())
	}
	data = data[max(0, len(data)-lastWords):]
	if i := bytes.IndexByte(data, '\n'); i >= 0 && len(data) == lastWords {
		data = data[i+1:]
	}
	return data
}
