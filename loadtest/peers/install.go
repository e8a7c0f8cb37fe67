//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"strings"
)

// installed checks that the other proxies and the tools are there.
func installed() error {
	var missing []string
	for program, pkg := range map[string]string{"haproxy": "haproxy", "nginx": "nginx", "wrk": "wrk", "taskset": "util-linux"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("programs are missing (hint: apt-get install --no-install-recommends %s; those in /usr/sbin must be in the PATH)", strings.Join(missing, " "))
	}
	return nil
}
