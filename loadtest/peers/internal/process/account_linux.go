package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/PID/stat on every Linux.
const tick = 10 * time.Millisecond

// Account is what the kernel has counted for a process and its children so far.
type Account struct {
	User, System time.Duration
	PeakBytes    int64 // sum of the processes' peaks of resident memory
	PIDs         []int
}

// Busy is the whole processor time.
func (a Account) Busy() time.Duration { return a.User + a.System }

// Account reads the kernel's counts for the whole process group.
func (p *Process) Account() (Account, error) {
	if !p.Running() {
		return Account{}, fmt.Errorf("%s has ended; it said:\n%s", p.Spec.Name, p.Tail())
	}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return Account{}, err
	}
	var sum Account
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile, so it is none of ours
		}
		s, err := parseStat(data)
		if err != nil {
			return Account{}, fmt.Errorf("%s: %w", file, err)
		}
		if s.group != p.PID() {
			continue
		}
		sum.User += s.user
		sum.System += s.system
		sum.PIDs = append(sum.PIDs, s.pid)
		status, err := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
		if err != nil {
			return Account{}, err
		}
		peak, err := parsePeak(status)
		if err != nil {
			return Account{}, fmt.Errorf("%s: %w", file, err)
		}
		sum.PeakBytes += peak
	}
	return sum, nil
}

// AwaitQuiet waits until the process uses next to no processor time, at most until
// ctx ends: what it does after its start must not be measured.
func (p *Process) AwaitQuiet(ctx context.Context) error {
	const window, quiet = 400 * time.Millisecond, 10 * time.Millisecond
	before, err := p.Account()
	for err == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not come to rest: %w", p.Spec.Name, ctx.Err())
		case <-time.After(window):
		}
		var now Account
		if now, err = p.Account(); err == nil && now.Busy()-before.Busy() <= quiet {
			return nil
		}
		before = now
	}
	return err
}

// Processor is what a processor has done so far.
type Processor struct{ Busy, Idle time.Duration }

// ReadProcessor reads what one processor has done, whoever used it: programs, the kernel, or
// the machine's host.
func ReadProcessor(cpu int) (Processor, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Processor{}, err
	}
	return parseProcessor(data, cpu)
}

// parseProcessor reads the line of one processor in /proc/stat.
func parseProcessor(data []byte, cpu int) (Processor, error) {
	const idle, wait, guest = 4, 5, 9
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) <= guest || fields[0] != fmt.Sprint("cpu", cpu) {
			continue
		}
		var p Processor
		for i, text := range fields[1:guest] { // what guests use is counted before
			n, err := strconv.Atoi(text)
			if err != nil {
				return p, fmt.Errorf("/proc/stat: %w", err)
			}
			if i+1 == idle || i+1 == wait {
				p.Idle += time.Duration(n) * tick
			} else {
				p.Busy += time.Duration(n) * tick
			}
		}
		return p, nil
	}
	return Processor{}, fmt.Errorf("/proc/stat knows no processor %d", cpu)
}

type stat struct {
	pid, group   int
	user, system time.Duration
}

// parseStat reads /proc/PID/stat, see proc(5). The second field is the program's
// name in brackets and may hold anything, brackets too.
func parseStat(data []byte) (stat, error) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return stat{}, fmt.Errorf("no name in %q", data)
	}
	rest := strings.Fields(string(data[end+1:])) // from the third field, the state
	const group, user, system = 5 - 3, 14 - 3, 15 - 3
	if len(rest) <= system {
		return stat{}, fmt.Errorf("only %d fields", len(rest)+2)
	}
	var numbers [4]int
	for i, text := range []string{strings.TrimSpace(string(data[:open])), rest[group], rest[user], rest[system]} {
		n, err := strconv.Atoi(text)
		if err != nil {
			return stat{}, err
		}
		numbers[i] = n
	}
	return stat{numbers[0], numbers[1], time.Duration(numbers[2]) * tick, time.Duration(numbers[3]) * tick}, nil
}

// parsePeak reads VmHWM from /proc/PID/status; a process that is ending has none.
func parsePeak(status []byte) (int64, error) {
	for line := range strings.Lines(string(status)) {
		text, found := strings.CutPrefix(line, "VmHWM:")
		if !found {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
		if err != nil {
			return 0, err
		}
		return kb << 10, nil
	}
	return 0, nil
}
