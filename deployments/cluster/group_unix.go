//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package cluster

import (
	"fmt"
	"os"
	"syscall"
)

// canAsk: a process can be asked to end.
const canAsk = true

// killGroup kills a process and its children. An error means that none is left.
func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

func pause(p *os.Process) error  { return syscall.Kill(-p.Pid, syscall.SIGSTOP) }
func resume(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGCONT) }

// lock waits until no other process holds the lock of this file.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return func() { _ = f.Close() }, nil // which ends the lock
}
