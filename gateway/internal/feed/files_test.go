package feed

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFilesBesideABusyOne: a file that changes all the time, such as a log in the
// same directory, does not keep an edit from being read.
func TestFilesBesideABusyOne(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	write("resources.yaml", world)
	n := start(t, Config{Resources: []string{filepath.Join(dir, "resources.yaml")}})
	eventually(t, "served", n.live)

	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-over:
				return
			case <-time.After(settle / 5):
				write("access.log", time.Now().String())
			}
		}
	}()
	defer func() { close(over); <-done }()
	time.Sleep(2 * settle)
	write("resources.yaml", world+"status: PAUSED\n")
	began := time.Now()
	eventually(t, "pause in force", func() bool { return !n.live() })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the edit was read after %s", took)
	}
}

// TestFilesThatAreBeingWritten: a file that was emptied in order to be written is
// not taken for an empty one.
func TestFilesThatAreBeingWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resources.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	feed := New(Config{Resources: []string{file}, Logger: slog.New(slog.DiscardHandler)})
	write("")
	rest := time.AfterFunc(settle/2, func() { write("new") })
	defer rest.Stop()
	got, err := feed.settled(t.Context(), []string{"old"})
	if err != nil || got[0] != "new" {
		t.Errorf("got %q, %v, want the whole new text", got, err)
	}
	write("")
	if got, err := feed.settled(t.Context(), []string{"new"}); err != nil || got[0] != "" {
		t.Errorf("got %q, %v, want a file that stays empty", got, err)
	}
}
