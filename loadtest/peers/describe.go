//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
)

// describe notes when, where and of what versions the results are.
func (s *stage) describe(ctx context.Context) *figures.Results {
	first := func(pattern, program string, args ...string) string {
		out, _ := exec.CommandContext(ctx, program, args...).CombinedOutput() // wrk -v ends with an error
		if m := regexp.MustCompile(pattern).FindSubmatch(out); m != nil {
			return string(m[1])
		}
		return ""
	}
	r := &figures.Results{
		Date: time.Now().UTC().Truncate(time.Second), Command: s.command, Seed: s.seed,
		Commit: first(`(\S+)`, "git", "-C", s.root, "describe", "--always", "--dirty"),
		Versions: map[string]string{
			"Go":       strings.TrimPrefix(runtime.Version(), "go"),
			"nginx":    first(`nginx/(\S+)`, "nginx", "-v"),
			"HAProxy":  first(`version (\S+)`, "haproxy", "-v"),
			"wrk":      first(`wrk (\S+)`, "wrk", "-v"),
			"OpenSSL":  first(`Running on OpenSSL version : OpenSSL (\S+)`, "haproxy", "-vv"),
			"fasthttp": first(`(v\S+)`, "go", "list", "-C", s.root, "-m", "-f", "{{.Version}}", "github.com/valyala/fasthttp"),
		},
	}
	r.Machine = figures.Machine{
		Cores:     runtime.NumCPU(),
		Processor: find(`(?m)^model name\s*:\s*(.+)$`, "/proc/cpuinfo"),
		Kernel:    find(`^(\S+)`, "/proc/sys/kernel/osrelease"),
		System:    find(`(?m)^PRETTY_NAME="?([^"\n]+)`, "/etc/os-release"),
	}
	if strings.Contains(find(`(?m)^flags\s*:(.+)$`, "/proc/cpuinfo")+" ", " hypervisor ") {
		r.Machine.Virtual = "a virtual machine"
	}
	if kb, err := strconv.Atoi(find(`(?m)^MemTotal:\s+(\d+)`, "/proc/meminfo")); err == nil {
		r.Machine.MemoryMiB = kb >> 10
	}
	return r
}

// find returns the first group of a pattern in a file; empty: it is not there.
func find(pattern, file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	if m := regexp.MustCompile(pattern).FindSubmatch(data); m != nil {
		return strings.TrimSpace(string(m[1]))
	}
	return ""
}
