package feed

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A node whose disk is full serves and follows, says only what it would have in
// force after a sudden end, and says all of it again when there is room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("a full disk needs a file system of its own, which may not be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	f := newFleet(t)
	f.applyWorld()
	n := f.node(filepath.Join(dir, "snapshots"))
	eventually(t, "live", n.live)
	eventually(t, "saved", func() bool { return value(t, n.registry, "portcullis_snapshot_saved_timestamp_seconds") > 0 })
	before := n.heartbeat().GetSequence()

	filler := filepath.Join(dir, "filler")
	for err := error(nil); err == nil; { // writes fall short as it fills
		file, opened := os.OpenFile(filler, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if opened != nil {
			t.Fatal(opened)
		}
		_, err = file.Write(make([]byte, 4096))
		_ = file.Close()
	}
	sequence := f.step("pause", true)
	eventually(t, "pause in force", func() bool { return !n.live() })
	eventually(t, "a fault", func() bool {
		return value(t, n.registry, "portcullis_journal_faults_total") > 0 && value(t, n.registry, "portcullis_snapshot_disk_faults_total") > 0
	})
	f.step("resume", false)
	eventually(t, "resume in force", n.live)
	f.step("pause", true)
	eventually(t, "pause in force again", func() bool { return !n.live() })
	if said := n.heartbeat().GetSequence(); said != before {
		t.Errorf("%d is said to be in force, want %d", said, before)
	}
	if got, want := value(t, n.registry, "portcullis_sync_disk_sequence"), float64(before); got != want {
		t.Errorf("the disk leads to %f, want %f", got, want)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is said to be in force", func() bool { return n.heartbeat().GetSequence() > sequence })
	last := f.step("resume", true)
	eventually(t, "the next entry, too", func() bool { return n.heartbeat().GetSequence() == last })
	disk := copied(t, filepath.Join(dir, "snapshots"))
	n.stop()
	f.control.Close()
	f.nats.Stop(t)
	n = f.node(disk)
	eventually(t, "a view from disk", func() bool { return n.View() != nil })
	if at := n.current().Position().Sequence; at != last || !n.live() {
		t.Errorf("it comes back at %d, want %d", at, last)
	}
}
