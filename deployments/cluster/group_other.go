//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package cluster

import (
	"errors"
	"os"
	"syscall"
)

// canAsk: a process can be asked to end.
const canAsk = false

func OwnGroup() *syscall.SysProcAttr { return nil }

// killGroup kills a process. An error means that it has ended.
func killGroup(p *os.Process) { _ = p.Kill() }

func pause(*os.Process) error  { return errors.ErrUnsupported }
func resume(*os.Process) error { return errors.ErrUnsupported }

// lock does nothing: where files cannot be locked in this way, two builds into one
// directory at the same time fail, as the system does not replace a running program.
func lock(string) (unlock func(), err error) { return func() {}, nil }
