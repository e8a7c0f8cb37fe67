//go:build linux

package process

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	// A name may hold blanks and brackets.
	got, err := parseStat([]byte("4242 (a) b (c)) S 1 4200 4200 0 -1 4194304 1 2 3 4 150 75 5 6 20 0 1 0 100 1 2\n"))
	if want := (stat{4242, 4200, 1500 * time.Millisecond, 750 * time.Millisecond}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "4242 no name", "4242 (short) S 1 2", "x (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13", "1 (a) S 1 2 3 4 5 6 7 8 9 10 x 12 13"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: got %+v", bad, got)
		}
	}
}

func TestParsePeak(t *testing.T) {
	got, err := parsePeak([]byte("Name:\tgateway\nVmPeak:\t 1830864 kB\nVmHWM:\t   12345 kB\nVmRSS:\t 1 kB\n"))
	if err != nil || got != 12345<<10 {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := parsePeak([]byte("Name:\tkthreadd\n")); err != nil || got != 0 {
		t.Errorf("without memory: got %d, %v", got, err)
	}
	if _, err := parsePeak([]byte("VmHWM:\t many kB\n")); err == nil {
		t.Error("no error for what is no number")
	}
}

func TestParseProcessor(t *testing.T) {
	const text = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\ncpu1 100 20 30 4000 50 6 7 8 9 10\ncpu10 1 1 1 1 1 1 1 1 1 1\nintr 1\n"
	got, err := parseProcessor([]byte(text), 1)
	if want := (Processor{Busy: 1710 * time.Millisecond, Idle: 40_500 * time.Millisecond}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseProcessor([]byte(text), 2); err == nil {
		t.Error("no error for a processor that is not there")
	}
}

// TestStart: a process and its children are where they shall be, are counted, and are gone after Stop.
func TestStart(t *testing.T) {
	if _, err := exec.LookPath("taskset"); err != nil {
		t.Skip(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	p, err := Start(t.Context(), Spec{Name: "shell", Program: "sh", Args: []string{"-c", "taskset -p $$; sleep 60 & while :; do :; done"}, Log: log, CPU: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	var a Account
	for end := time.Now().Add(20 * time.Second); a.Busy() == 0 || len(a.PIDs) < 2; {
		if a, err = p.Account(); err != nil || time.Now().After(end) {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if a.PeakBytes < 100<<10 {
		t.Errorf("peak of %d bytes", a.PeakBytes)
	}
	if got := p.Tail(); !strings.HasSuffix(got, " mask: 1") {
		t.Errorf("processors: %q, want mask 1", got)
	}
	p.Stop()
	if p.Running() {
		t.Error("it runs after Stop")
	}
	if _, err := p.Account(); err == nil {
		t.Error("an account of an ended process")
	}
}

func TestStartOfWhatEnds(t *testing.T) {
	_, err := Start(t.Context(), Spec{
		Name: "failing", Program: "sh", Args: []string{"-c", "echo because; exit 1"}, Log: filepath.Join(t.TempDir(), "log"),
		Ready: func(context.Context) error { return exec.ErrNotFound },
	})
	if err == nil || err.Error() != "failing ended before it was ready; it said:\nbecause" {
		t.Errorf("got %v", err)
	}
}
