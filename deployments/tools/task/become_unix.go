//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// become replaces this process by the program, so that signals, the terminal and
// the exit code are the program's own. It returns only when that is not possible.
func become(program string, args []string) (int, error) {
	err := syscall.Exec(program, append([]string{program}, args...), os.Environ())
	return 1, fmt.Errorf("start %s: %w", program, err)
}
