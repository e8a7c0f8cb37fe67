package snapshot_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/snapshot"
)

func open(t *testing.T, path string) *snapshot.Dir {
	t.Helper()
	d, err := snapshot.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func save(t *testing.T, d *snapshot.Dir, sequence uint64, changes ...string) {
	t.Helper()
	data := encode(t, changes...)
	err := d.Save(1, sequence, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// drain reads a snapshot into *got, as a caller must: from the beginning at each call.
func drain(got *[]string) func(*snapshot.Reader) error {
	return func(r *snapshot.Reader) error {
		*got = nil
		for {
			c, err := r.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			*got = append(*got, c)
		}
	}
}

func names(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var ns []string
	for _, e := range entries {
		ns = append(ns, e.Name())
	}
	return ns
}

func TestDirKeepsTwoGenerations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d := open(t, path)
	var got []string
	if _, err := d.Load(drain(&got)); !errors.Is(err, snapshot.ErrNone) {
		t.Fatalf("empty: %v", err)
	}
	save(t, d, 10, "a")
	save(t, d, 20, "b")
	save(t, d, 5, "c") // of the next epoch: newer with a lower sequence
	if got, want := names(t, path), []string{"000000000002-e1-s20.pcsnap", "000000000003-e1-s5.pcsnap"}; !slices.Equal(got, want) {
		t.Errorf("files %v", got)
	}
	loaded, err := open(t, path).Load(drain(&got))
	if err != nil || !slices.Equal(got, []string{"c"}) || len(loaded.Skipped) != 0 || !strings.HasSuffix(loaded.File, "000000000003-e1-s5.pcsnap") {
		t.Errorf("%+v %v %v", loaded, got, err)
	}
	if info, err := os.Stat(loaded.File); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

func TestDirFallsBack(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	save(t, d, 1, "old", "change")
	newest := encode(t, some(10)...)
	for name, damage := range map[string]func([]byte) []byte{
		"truncated": func(b []byte) []byte { return b[:len(b)-1] },
		"half":      func(b []byte) []byte { return b[:len(b)/2] },
		"empty":     func([]byte) []byte { return nil },
		"flipped": func(b []byte) []byte {
			b[len(b)/3] ^= 0xFF
			return b
		},
		"other format": func(b []byte) []byte {
			b[6]++
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, path)
			file := filepath.Join(path, "000000000009-e1-s9.pcsnap")
			if err := os.WriteFile(file, damage(bytes.Clone(newest)), 0o600); err != nil {
				t.Fatal(err)
			}
			var got []string
			loaded, err := d.Load(drain(&got))
			if err != nil || !slices.Equal(got, []string{"old", "change"}) {
				t.Fatalf("%v %v", got, err)
			}
			if len(loaded.Skipped) != 1 || !strings.Contains(loaded.Skipped[0].Error(), "s9.pcsnap") {
				t.Errorf("skipped %v", loaded.Skipped)
			}
		})
	}
}

// A damaged file must not push out the last good one.
func TestDirDamagedIsNoGeneration(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	save(t, d, 1, "one")
	if err := os.WriteFile(filepath.Join(path, "000000000002-e1-s2.pcsnap"), []byte("PCSNAP"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	if _, err := d.Load(drain(&got)); err != nil {
		t.Fatal(err)
	}
	save(t, d, 3, "three")
	if got, want := names(t, path), []string{"000000000001-e1-s1.pcsnap", "000000000003-e1-s3.pcsnap"}; !slices.Equal(got, want) {
		t.Errorf("files %v", got)
	}
}

func TestDirAllDamaged(t *testing.T) {
	path := t.TempDir()
	for _, n := range []string{"1-e1-s1.pcsnap", "2-e1-s2.pcsnap"} {
		if err := os.WriteFile(filepath.Join(path, n), []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := open(t, path).Load(drain(new([]string)))
	if !errors.Is(err, snapshot.ErrMagic) || errors.Is(err, snapshot.ErrNone) ||
		!strings.Contains(err.Error(), "1-e1-s1") || !strings.Contains(err.Error(), "2-e1-s2") {
		t.Errorf("got %v", err)
	}
}

func TestDirFailedSaveChangesNothing(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	save(t, d, 1, "one")
	full := errors.New("no space left")
	err := d.Save(1, 2, func(w io.Writer) error {
		if _, err := io.WriteString(w, "PCSNAP"); err != nil {
			return err
		}
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if got := names(t, path); !slices.Equal(got, []string{"000000000001-e1-s1.pcsnap"}) {
		t.Errorf("files %v", got)
	}
}

func TestDirRemovesLeftovers(t *testing.T) {
	path := t.TempDir()
	for _, n := range []string{"000000000004-e1-s4.pcsnap.tmp", "notes.txt", "x.tmp"} {
		if err := os.WriteFile(filepath.Join(path, n), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, path)
	if got := names(t, path); !slices.Equal(got, []string{"notes.txt", "x.tmp"}) {
		t.Errorf("files %v", got)
	}
}

// A caller that stops early must not take an unverified state for a good one.
func TestDirInsistsOnVerification(t *testing.T) {
	d := open(t, t.TempDir())
	save(t, d, 1, "one", "two")
	_, err := d.Load(func(r *snapshot.Reader) error {
		_, err := r.Next()
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "not verified") {
		t.Errorf("got %v", err)
	}
}
