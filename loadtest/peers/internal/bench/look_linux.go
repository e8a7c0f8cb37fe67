package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/contend"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/load"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/process"
)

const lookFor = 2 * time.Second

// look is what comes after the rounds and is not timed: system calls, profiles, and
// a person who wants to see for themselves.
func (b *Bench) look(ctx context.Context, w Workload, entrants []*entrant) error {
	for _, e := range entrants {
		if b.Strace && w.Name == "repeated" {
			if err := b.countCalls(ctx, w, e); err != nil {
				return fmt.Errorf("count the system calls of %s: %w", e.Name, err)
			}
		}
		if b.Perf != "" && e.Kind == contend.Gateway {
			if err := b.profile(ctx, w, e); err != nil {
				return fmt.Errorf("profile of %s: %w", e.Name, err)
			}
		}
	}
	b.keep(ctx, entrants)
	return nil
}

// keep leaves everything to a person.
func (b *Bench) keep(ctx context.Context, entrants []*entrant) {
	if b.Keep == nil {
		return
	}
	var running []*contend.Contender
	requests := map[string]load.Requests{}
	for _, e := range entrants {
		running = append(running, e.Contender)
		requests[e.Name] = e.requests
	}
	b.Keep(ctx, running, func(c *contend.Contender) load.Requests { return requests[c.Name] })
}

// beside runs a tool on the load's processor while a contender is under load, and
// interrupts it afterwards.
func (b *Bench) beside(ctx context.Context, w Workload, e *entrant, tool *exec.Cmd) (*load.Result, error) {
	var said strings.Builder
	tool.Stdout, tool.Stderr = &said, &said
	if err := process.StartOn(b.Processor, tool); err != nil {
		return nil, err
	}
	select { // it has to attach itself
	case <-time.After(500 * time.Millisecond):
	case <-ctx.Done():
	}
	r, err := b.load(ctx, w, e, lookFor)
	_ = tool.Process.Signal(syscall.SIGINT) // it may have ended, which Wait tells
	ended := tool.Wait()
	var exit *exec.ExitError
	if ended != nil && (!errors.As(ended, &exit) || exit.ExitCode() > 0 && exit.ExitCode() != 130) {
		err = errors.Join(err, fmt.Errorf("%w: %s", ended, said.String()))
	}
	return r, err
}

// countCalls counts system calls, where strace is installed.
func (b *Bench) countCalls(ctx context.Context, w Workload, e *entrant) error {
	if _, err := exec.LookPath("strace"); err != nil {
		b.Say("  system calls are not counted: %v (hint: apt-get install strace)", err)
		b.Strace = false
		return nil
	}
	account, err := e.Account()
	if err != nil {
		return err
	}
	file := filepath.Join(b.Stand.Dir, e.Name+".strace")
	args := []string{"-c", "-f", "-U", "calls,errors,name", "-o", file}
	for _, pid := range account.PIDs {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	r, err := b.beside(ctx, w, e, exec.CommandContext(ctx, "strace", args...))
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	e.series.Calls = parseCalls(string(data), r.Requests)
	return nil
}

// parseCalls reads the table that strace -c -U calls,errors,name writes, for each of n requests.
func parseCalls(table string, n int) map[string]figures.Calls {
	calls := map[string]figures.Calls{}
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		name := fields[len(fields)-1]
		made, err := strconv.Atoi(fields[0])
		if err != nil || name == "total" {
			continue
		}
		c := figures.Calls{Made: float64(made) / float64(n)}
		if failed, err := strconv.Atoi(fields[1]); err == nil && len(fields) == 3 {
			c.Failed = float64(failed) / float64(n)
		}
		if c.Made >= 0.005 { // what happens less often is not about requests
			calls[name] = c
		}
	}
	return calls
}

// profile samples a gateway's stacks.
func (b *Bench) profile(ctx context.Context, w Workload, e *entrant) error {
	if err := os.MkdirAll(b.Perf, 0o750); err != nil {
		return err
	}
	file := filepath.Join(b.Perf, w.Name+"-"+e.Name+".perf")
	_, err := b.beside(ctx, w, e, exec.CommandContext(ctx, "perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-g",
		"-o", file, "-p", strconv.Itoa(e.PID())))
	if err == nil {
		b.Say("  profile of %s: perf report --no-children -i %s", e.Name, file)
	}
	return err
}
