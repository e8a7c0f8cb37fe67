//go:build linux

package account

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
)

// TestAccount: a process and its children are on their processor, are counted
// together, and nothing is counted of what has ended.
func TestAccount(t *testing.T) {
	if _, err := exec.LookPath("taskset"); err != nil {
		t.Skip(err)
	}
	before, err := OfProcessor(0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := Pin(&cluster.Process{Name: "shell", Program: "sh", Args: []string{"-c", "taskset -p $$; sleep 60 & while :; do :; done"}, Log: filepath.Join(dir, "log")}, 0)
	clustertest.Own(t, p)
	clustertest.Start(t, p)
	var a Account
	clustertest.Eventually(t, time.Minute, "both are counted", func() error {
		if a, err = Of(p); err != nil || a.Busy() == 0 || a.Processes < 2 {
			return fmt.Errorf("%+v, %w", a, err)
		}
		return nil
	})
	if a.PeakBytes < 100<<10 {
		t.Errorf("peak of %d bytes", a.PeakBytes)
	}
	if got := p.Tail(); !strings.HasSuffix(got, " mask: 1") {
		t.Errorf("processors: %q, want mask 1", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := AwaitQuiet(ctx, p); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a busy process has come to rest: %v", err)
	}
	if after, err := OfProcessor(0); err != nil || after.Busy <= before.Busy {
		t.Errorf("processor 0: %+v after %+v, %v", after, before, err)
	}
	p.Kill()
	if _, err := Of(p); err == nil {
		t.Error("an account of what has ended")
	}
	if _, err := OfProcessor(1 << 20); err == nil {
		t.Error("an account of a processor that is not there")
	}
}

func TestQuiet(t *testing.T) {
	p := &cluster.Process{Name: "sleep", Program: "sleep", Args: []string{"60"}, Log: filepath.Join(t.TempDir(), "log")}
	clustertest.Own(t, p)
	clustertest.Start(t, p)
	if err := AwaitQuiet(t.Context(), p); err != nil {
		t.Error(err)
	}
}
