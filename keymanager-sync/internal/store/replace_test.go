package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

func stateAt(sequence uint64) *catalog.State {
	return catalog.Empty().At(catalog.Position{Epoch: 1, EpochID: "F", Sequence: sequence})
}

// A process that is killed while it replaces its file stands in nobody's way.
func TestReplacementIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	d, err := openDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(d.path, d.path+".linking"); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(2) {
		if err := replace(d, stateAt(5+n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(d.path, d.path+".linking"); err != nil {
		t.Fatal(err)
	}
	left, err := d.prepare(stateAt(7), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(left.db.Close(), d.close()); err != nil {
		t.Fatal(err)
	}
	if d, err = openDisk(dir); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	state, err := d.load()
	if err != nil || state.Position().Sequence != 6 {
		t.Errorf("loaded %s, %v; want what was installed last", state.Position(), err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 2 {
		t.Errorf("there are %v, %v; want the file and the one before it", names, err)
	}
}

// What was carried out before is remembered when the file is replaced, up to
// where its history is still true.
func TestReplacementRemembers(t *testing.T) {
	st, now := remembering(t), time.Now()
	for i := range uint64(4) {
		write(t, st, memory{key: fmt.Sprintf("key-%d", i+1), Memory: Memory{Sequence: i + 1, Time: now.Add(-time.Hour), Command: "c"}})
	}
	fresh, err := st.disk.prepare(stateAt(9), 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.remember([]memory{{key: "skipped", Memory: Memory{Sequence: 7, Time: now}}}); err != nil {
		t.Fatal(err)
	}
	if err := st.disk.install(fresh); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"key-1": true, "key-3": true, "key-4": false, "skipped": true} {
		if knows(t, st, key) != want {
			t.Errorf("%s is known: %t, want %t", key, !want, want)
		}
	}
	count, ages := uint64(0), 0
	err = st.disk.read(func(tx *bbolt.Tx) error {
		count, ages = decodeCount(tx.Bucket([]byte(bucketMeta)).Get([]byte(keyMemories))), tx.Bucket([]byte(bucketAges)).Stats().KeyN
		return nil
	})
	if err != nil || count != 4 || ages != 4 {
		t.Errorf("%d memories are counted and %d can be forgotten, %v; want 4", count, ages, err)
	}
}

// A file that cannot be opened at once after it was replaced is opened later.
func TestReplacedFileIsOpenedLater(t *testing.T) {
	st := remembering(t)
	fresh, err := st.disk.prepare(stateAt(9), 0)
	if err != nil {
		t.Fatal(err)
	}
	// Somebody else, a backup perhaps, has the new file open at the moment. A
	// second handle can lock it only after the first is closed, which install does.
	if err := fresh.db.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := bbolt.Open(fresh.path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.disk.install(fresh); !errors.Is(err, ErrLocked) {
		t.Fatalf("install: %v, want ErrLocked", err)
	}
	if _, _, err := st.Remembered("x"); !errors.Is(err, errNotOpen) {
		t.Errorf("reading without a file: %v", err)
	}
	if err := st.disk.write(update{before: st.State(), after: st.State()}); !errors.Is(err, errNotOpen) {
		t.Errorf("writing without a file: %v", err)
	}
	if _, ok := errors.AsType[*HoldError](st.reopen()); !ok {
		t.Error("no hold although the file is locked")
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := st.reopen(); err != nil || st.State().Position().Sequence != 9 {
		t.Errorf("reopened at %s, %v; want the state of the file", st.State().Position(), err)
	}
	if err := st.disk.write(update{before: st.State(), after: st.State()}); err != nil {
		t.Error(err)
	}
	// A file that is open is left alone.
	if state, err := st.disk.reopen(); state != nil || err != nil {
		t.Errorf("opened twice: %v, %v", state, err)
	}
}

// A replacement that cannot be put in place leaves the old file open.
func TestReplacementFails(t *testing.T) {
	st := remembering(t)
	write(t, st, memory{key: "k", Memory: Memory{Sequence: 1, Time: time.Now()}})
	// A directory cannot be replaced by a file.
	if err := os.MkdirAll(filepath.Join(st.disk.path+".before", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := replace(st.disk, stateAt(9)); err == nil {
			t.Fatal("replaced")
		}
		if !knows(t, st, "k") {
			t.Error("the old file is not open")
		}
	}
	if err := os.RemoveAll(st.disk.path + ".before"); err != nil {
		t.Fatal(err)
	}
	if err := replace(st.disk, stateAt(9)); err != nil {
		t.Error(err)
	}
}

func TestRespiteGrows(t *testing.T) {
	st := &Store{}
	for catches, most := range []time.Duration{attachMaximum, attachMaximum, 2 * attachMaximum, 4 * attachMaximum, catchUpMaximum} {
		st.catches = catches
		least := min(attachMinimum<<max(catches-1, 0), catchUpMaximum)
		if d := st.respite(); d < least || d > min(most, catchUpMaximum) {
			t.Errorf("after %d snapshots: %s, want %s to %s", catches, d, least, most)
		}
	}
	st.catches = 1 << 20
	if d := st.respite(); d != catchUpMaximum {
		t.Errorf("after many snapshots: %s", d)
	}
}
