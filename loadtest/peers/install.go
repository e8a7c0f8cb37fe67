//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// install sees to it that the other proxies and wrk are there.
func (s *stage) install(ctx context.Context) error {
	var missing []string
	for _, program := range []string{"haproxy", "nginx", "wrk"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	list := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%s missing (hint: as root: apt-get install %s; programs in /usr/sbin must be in the PATH)", list, list)
	}
	s.say("installing %s", list)
	undo, err := denyServices()
	if err != nil {
		return err
	}
	defer undo()
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"install", "-y", "--no-install-recommends"}, missing...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get install %s: %w\n%s(hint: apt-get update)", list, err, out)
	}
	return nil
}

// denyServices keeps Debian from starting what it installs, see invoke-rc.d(8).
func denyServices() (undo func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755) //nolint:gosec // a program
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil // somebody has a policy, which we leave alone
	}
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	return func() { _ = os.Remove(policy) }, errors.Join(err, f.Close())
}
