//go:build !unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
)

// become runs the program with this process's input and output and returns its exit
// code. A Ctrl-C reaches the program by itself, since it has the same console; this
// process only waits for it to end.
func become(program string, args []string) (int, error) {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)

	cmd := exec.Command(program, args...) //nolint:noctx // the program ends by itself
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil // it has said why
	}
	if err != nil {
		return 1, fmt.Errorf("start %s: %w", program, err)
	}
	return 0, nil
}
