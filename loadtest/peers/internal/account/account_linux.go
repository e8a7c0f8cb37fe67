// Package account reads what the kernel has counted for processes: processor time
// and peak memory. It works on Linux only.
package account

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/procfs"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
)

// tick is the unit of processor time in /proc on every Linux.
const tick = 10 * time.Millisecond

// Account is what was counted for a process and its children so far.
type Account struct {
	User, System time.Duration
	PeakBytes    int64 // sum of the processes' peaks of resident memory
	Processes    int
}

// Busy is the whole processor time.
func (a Account) Busy() time.Duration { return a.User + a.System }

// Of sums up the process group of a process.
func Of(p *cluster.Process) (Account, error) {
	var sum Account
	if !p.Running() {
		return sum, fmt.Errorf("%s has ended; the end of %s:\n%s", p.Name, p.Log, p.Tail())
	}
	all, err := procfs.AllProcs()
	if err != nil {
		return sum, err
	}
	for _, one := range all {
		stat, err := one.Stat()
		if err != nil || stat.PGRP != p.PID() {
			continue // it has ended meanwhile, or is none of ours
		}
		status, err := one.NewStatus()
		if err != nil {
			return sum, fmt.Errorf("memory of %s: %w", p.Name, err)
		}
		sum.User += time.Duration(stat.UTime) * tick
		sum.System += time.Duration(stat.STime) * tick
		sum.PeakBytes += int64(status.VmHWM)
		sum.Processes++
	}
	return sum, nil
}

// AwaitQuiet waits until a process uses next to no processor time, at most until
// ctx ends: what it does after its start must not be measured.
func AwaitQuiet(ctx context.Context, p *cluster.Process) error {
	const window, quiet = 400 * time.Millisecond, 10 * time.Millisecond
	before, err := Of(p)
	for err == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not come to rest: %w", p.Name, ctx.Err())
		case <-time.After(window):
		}
		var now Account
		if now, err = Of(p); err == nil && now.Busy()-before.Busy() <= quiet {
			return nil
		}
		before = now
	}
	return err
}

// Processor is what a processor has done so far.
type Processor struct{ Busy, Idle time.Duration }

// OfProcessor reads what one processor has done, for all that used it: programs, the
// kernel, or the machine's host.
func OfProcessor(cpu int) (Processor, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return Processor{}, err
	}
	stat, err := fs.Stat()
	if err != nil {
		return Processor{}, err
	}
	c, known := stat.CPU[int64(cpu)]
	if !known {
		return Processor{}, fmt.Errorf("/proc/stat knows no processor %d", cpu)
	}
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	// What guests use is counted as the user's, too.
	return Processor{Busy: seconds(c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal), Idle: seconds(c.Idle + c.Iowait)}, nil
}

// Pin keeps a process, its threads and its children on one processor, from before
// its first instruction, by taskset(1).
func Pin(p *cluster.Process, cpu int) *cluster.Process {
	p.Program, p.Args = "taskset", Pinned(cpu, append([]string{p.Program}, p.Args...))[1:]
	return p
}

// Pinned is a command on one processor.
func Pinned(cpu int, command []string) []string {
	return append([]string{"taskset", "-c", strconv.Itoa(cpu)}, command...)
}
