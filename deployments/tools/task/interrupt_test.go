//go:build unix

package main

import (
	"bufio"
	"strings"
	"syscall"
	"testing"
)

// TestInterrupt: a Ctrl-C ends the task's command, and Task still runs what the task
// defers.
func TestInterrupt(t *testing.T) {
	cmd := goTool(t, "--taskfile", writeTaskfile(t), "waits")
	stdin, err := cmd.StdinPipe() // open until the end, so that only the interrupt ends `cat`
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	var printed []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		printed = append(printed, lines.Text())
		if lines.Text() == "ready" {
			// As a terminal does it: to all processes of the group at once.
			if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("an interrupted task succeeded")
	}
	if all := strings.Join(printed, "\n"); !strings.HasSuffix(all, "ended") || strings.Contains(all, "Forcing") {
		t.Errorf("printed:\n%s\nwant the deferred command's output at the end", all)
	}
}
