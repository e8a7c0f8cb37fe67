package cluster

import "syscall"

// OwnGroup keeps a process out of the terminal's group, and lets it end with this one.
func OwnGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
