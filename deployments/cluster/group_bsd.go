//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package cluster

import "syscall"

// OwnGroup keeps a process out of the terminal's group.
func OwnGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
