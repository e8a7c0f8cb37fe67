package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/snapshot"
)

// at is a place in the log of these tests.
func at(sequence uint64) snapshot.Position {
	return snapshot.Position{Epoch: 1, EpochID: "01JABCDEFGHJKMNPQRSTVWXYZ0", Sequence: sequence}
}

var written = time.UnixMilli(1_767_225_600_123)

// entry is the entry of the log that these tests have at a sequence.
func entry(sequence uint64) []byte {
	return fmt.Appendf(nil, "entry %d %s", sequence, strings.Repeat("x", int(sequence%7)*20))
}

// appendTo writes the entries after a position up to another one.
func appendTo(t testing.TB, j *snapshot.Journal, after snapshot.Position, last uint64) {
	t.Helper()
	var entries [][]byte
	for s := after.Sequence + 1; s <= last; s++ {
		entries = append(entries, entry(s))
	}
	if err := j.Append(after, entries, written); err != nil {
		t.Fatal(err)
	}
}

// replayed are the sequences that Replay hands over, each with the right bytes.
func replayed(t *testing.T, d *snapshot.Dir, after snapshot.Position) ([]uint64, snapshot.Replayed) {
	t.Helper()
	var sequences []uint64
	r, err := d.Replay(after, func(sequence uint64, raw []byte) error {
		sequences = append(sequences, sequence)
		if !bytes.Equal(raw, entry(sequence)) {
			t.Errorf("sequence %d is %q", sequence, raw)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sequences) != r.Entries {
		t.Errorf("%d entries were handed over, %d are said to be", len(sequences), r.Entries)
	}
	return sequences, r
}

// upTo are the sequences after one, up to another.
func upTo(after, last uint64) []uint64 {
	var s []uint64
	for n := after + 1; n <= last; n++ {
		s = append(s, n)
	}
	return s
}

func journals(t *testing.T, path string) []string {
	t.Helper()
	return slices.DeleteFunc(names(t, path), func(n string) bool { return !strings.HasSuffix(n, ".pcjournal") })
}

func TestJournalReplays(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if got, r := replayed(t, d, at(10)); len(got) > 0 || len(r.Faults) > 0 {
		t.Errorf("an empty directory: %v %v", got, r.Faults)
	}
	j := d.Journal()
	defer j.Close()
	appendTo(t, j, at(10), 12)
	appendTo(t, j, at(12), 12) // nothing
	appendTo(t, j, at(12), 30)
	j.Rotate()
	appendTo(t, j, at(30), 31)
	for _, after := range []uint64{10, 11, 12, 29, 30, 31, 40} {
		got, r := replayed(t, d, at(after))
		if !slices.Equal(got, upTo(after, 31)) || len(r.Faults) > 0 || after < 31 && !r.At.Equal(written) {
			t.Errorf("after %d: %v %+v", after, got, r)
		}
	}
	if got, want := journals(t, path), []string{"000000000001-e1-s10.pcjournal", "000000000002-e1-s30.pcjournal"}; !slices.Equal(got, want) {
		t.Errorf("files %v", got)
	}
	var size int64
	for _, n := range journals(t, path) {
		info, err := os.Stat(filepath.Join(path, n))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info, err)
		}
		size += info.Size()
	}
	if got, err := d.JournalBytes(); got != size || err != nil {
		t.Errorf("%d bytes, want %d; %v", got, size, err)
	}
}

// A journal of another log, also one of the same epoch, is not for this one.
func TestJournalOfAnotherLog(t *testing.T) {
	d := open(t, t.TempDir())
	j := d.Journal()
	other, later := at(10), at(10)
	other.EpochID, later.Epoch = "another", 2
	appendTo(t, j, other, 12)
	appendTo(t, j, later, 13)
	appendTo(t, j, at(10), 11)
	j.Close()
	for position, last := range map[snapshot.Position]uint64{at(10): 11, other: 12, later: 13} {
		if got, r := replayed(t, d, position); !slices.Equal(got, upTo(10, last)) || len(r.Faults) > 0 {
			t.Errorf("%v: %v %v", position, got, r.Faults)
		}
	}
}

// Each start begins a file, and a file may end in the middle of the one before.
func TestJournalOfManyStarts(t *testing.T) {
	path := t.TempDir()
	for start := range uint64(5) {
		j := open(t, path).Journal()
		appendTo(t, j, at(start*10), start*10+13) // three more than the next begins with
		j.Close()
	}
	if got, r := replayed(t, open(t, path), at(3)); !slices.Equal(got, upTo(3, 53)) || len(r.Faults) > 0 {
		t.Errorf("%v %v", got, r.Faults)
	}
}

func TestJournalWithAHole(t *testing.T) {
	d := open(t, t.TempDir())
	j := d.Journal()
	defer j.Close()
	appendTo(t, j, at(0), 5)
	appendTo(t, j, at(7), 9)
	got, r := replayed(t, d, at(0))
	if !slices.Equal(got, upTo(0, 5)) || len(r.Faults) != 1 || !strings.Contains(r.Faults[0].Error(), "it begins after sequence 7, and nothing holds what is between that and 5") {
		t.Errorf("%v %v", got, r.Faults)
	}
	if got, r := replayed(t, d, at(8)); !slices.Equal(got, upTo(8, 9)) || len(r.Faults) > 0 {
		t.Errorf("behind the hole: %v %v", got, r.Faults)
	}
}

// What was written last may begin before what was written first: a node had taken a
// snapshot, was killed before that was on disk, and came from further down again.
func TestJournalsInAnotherOrder(t *testing.T) {
	d := open(t, t.TempDir())
	j := d.Journal()
	defer j.Close()
	appendTo(t, j, at(0), 5)
	appendTo(t, j, at(7), 9)
	appendTo(t, j, at(5), 12)
	for _, after := range []uint64{0, 8} {
		if got, r := replayed(t, d, at(after)); !slices.Equal(got, upTo(after, 12)) || len(r.Faults) > 0 {
			t.Errorf("after %d: %v %v", after, got, r.Faults)
		}
	}
}

func TestReplayStopsWithTheError(t *testing.T) {
	d := open(t, t.TempDir())
	j := d.Journal()
	defer j.Close()
	appendTo(t, j, at(0), 5)
	refusal := errors.New("no")
	r, err := d.Replay(at(0), func(sequence uint64, _ []byte) error {
		if sequence == 3 {
			return refusal
		}
		return nil
	})
	if !errors.Is(err, refusal) || !strings.Contains(err.Error(), "s0.pcjournal: sequence 3") || r.Entries != 2 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	d := open(t, t.TempDir())
	j := d.Journal()
	defer j.Close()
	if err := j.Append(at(0), [][]byte{make([]byte, 33<<20)}, written); err == nil || !strings.Contains(err.Error(), "append to the journal after epoch 1, sequence 0: 1 entries have") {
		t.Errorf("a large entry: %v", err)
	}
	long := at(0)
	long.EpochID = strings.Repeat("x", 256)
	if err := j.Append(long, [][]byte{nil}, written); err == nil || !strings.Contains(err.Error(), "the epoch's id has 256 bytes") {
		t.Errorf("a long id: %v", err)
	}
	if got, r := replayed(t, d, at(0)); len(got) > 0 || len(r.Faults) > 0 {
		t.Errorf("%v %v", got, r.Faults)
	}
}

// A journal goes when the snapshot it follows is no longer one of the two.
func TestJournalsGoWithTheirSnapshots(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	j := d.Journal()
	defer j.Close()
	for n := range uint64(6) {
		j.Rotate()
		save(t, d, n*10, "change")
		appendTo(t, j, at(n*10), n*10+10)
		want := []string{}
		for g := max(n, 1) - 1; g <= n; g++ {
			want = append(want, fmt.Sprintf("%012d-e1-s%d.pcjournal", g+1, g*10))
		}
		if got := journals(t, path); !slices.Equal(got, want) {
			t.Errorf("after %d: files %v, want %v", n*10, got, want)
		}
		for _, after := range []uint64{max(n, 1)*10 - 10, n * 10} { // both snapshots come as far
			if got, r := replayed(t, d, at(after)); !slices.Equal(got, upTo(after, n*10+10)) || len(r.Faults) > 0 {
				t.Errorf("after %d: %v %v", after, got, r.Faults)
			}
		}
	}
}

// A snapshot of the next epoch leaves what the one before it needs.
func TestJournalsOfTheEpochBefore(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	j := d.Journal()
	defer j.Close()
	save(t, d, 10, "change")
	appendTo(t, j, at(10), 20)
	next := snapshot.Position{Epoch: 2, EpochID: "next", Sequence: 5}
	data := encode(t, "change")
	saveNext := func(sequence uint64) {
		t.Helper()
		if err := d.Save(2, sequence, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
			t.Fatal(err)
		}
	}
	saveNext(5)
	appendTo(t, j, next, 8)
	if got, _ := replayed(t, d, at(10)); !slices.Equal(got, upTo(10, 20)) {
		t.Errorf("of the first epoch: %v", got)
	}
	j.Rotate()
	saveNext(8)
	next.Sequence = 8
	appendTo(t, j, next, 9)
	if got, want := journals(t, path), []string{"000000000002-e2-s5.pcjournal", "000000000003-e2-s8.pcjournal"}; !slices.Equal(got, want) {
		t.Errorf("files %v", got)
	}
}

// journal is the bytes of a journal of some frames, and where each of them ends,
// the header first.
func journal(t testing.TB, frames ...uint64) (data []byte, ends []int) {
	t.Helper()
	path := t.TempDir()
	d, err := snapshot.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	j := d.Journal()
	defer j.Close()
	after := at(100)
	file := filepath.Join(path, "000000000001-e1-s100.pcjournal")
	ends = []int{7 + 8 + 8 + 1 + len(after.EpochID) + 4}
	for _, n := range frames {
		appendTo(t, j, after, after.Sequence+n)
		after.Sequence += n
		if data, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(data))
	}
	return data, ends
}

// read reads a journal to its end and returns the last sequence.
func read(t testing.TB, data []byte) (last uint64, err error) {
	t.Helper()
	j, err := snapshot.NewJournalReader(bytes.NewReader(data))
	if err != nil {
		return 100, err
	}
	last = 100
	for {
		sequence, raw, err := j.Next()
		if err != nil {
			if _, _, again := j.Next(); again == nil || again.Error() != err.Error() {
				t.Errorf("first %v, then %v", err, again)
			}
			return last, err
		}
		if sequence != last+1 || !bytes.Equal(raw, entry(sequence)) {
			t.Errorf("sequence %d after %d is %q", sequence, last, raw)
		}
		last = sequence
	}
}

// A write that was cut short at any byte takes only itself away, and is no fault.
func TestJournalCutAtEveryByte(t *testing.T) {
	data, ends := journal(t, 3, 1, 4)
	for n := range data {
		last, err := read(t, data[:n])
		want := uint64(100)
		for i, frame := range []uint64{3, 1, 4} {
			if n >= ends[i+1] {
				want += frame
			}
		}
		ended := errors.Is(err, snapshot.ErrTruncated) || slices.Contains(ends, n) && errors.Is(err, io.EOF)
		if last != want || !ended {
			t.Errorf("the first %d of %d bytes: up to %d, want %d; %v", n, len(data), last, want, err)
		}
		// A file can have its size before it has its bytes.
		zeros := append(bytes.Clone(data[:n]), make([]byte, len(data)-n)...)
		if last, err := read(t, zeros); last != want || n > ends[2] && !errors.Is(err, snapshot.ErrTruncated) {
			t.Errorf("zeros from byte %d: up to %d, want %d; %v", n, last, want, err)
		}
	}
	if last, err := read(t, data); last != 108 || !errors.Is(err, io.EOF) {
		t.Errorf("all of it: %d %v", last, err)
	}
}

// Damage before the end is reported, and nothing behind it is read.
func TestJournalDamage(t *testing.T) {
	data, ends := journal(t, 3, 1, 4)
	for i := range ends[2] {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << bit
			last, err := read(t, bad)
			want := uint64(100)
			if i >= ends[1] {
				want = 103
			}
			if last != want || errors.Is(err, io.EOF) || errors.Is(err, snapshot.ErrTruncated) && i >= ends[0] {
				t.Errorf("bit %d of byte %d: up to %d, want %d; %v", bit, i, last, want, err)
			}
		}
	}
	frame := func(n int) []byte { return data[ends[n-1]:ends[n]] }
	for name, c := range map[string]struct {
		frames [][]byte
		want   uint64
	}{
		"in another order": {[][]byte{frame(2), frame(1), frame(3)}, 100},
		"twice":            {[][]byte{frame(1), frame(1), frame(2), frame(3)}, 103},
		"one left out":     {[][]byte{frame(1), frame(3), frame(3)}, 103},
	} {
		if last, err := read(t, slices.Concat(append([][]byte{data[:ends[0]]}, c.frames...)...)); last != c.want || !errors.Is(err, snapshot.ErrChecksum) {
			t.Errorf("frames %s: up to %d, want %d; %v", name, last, c.want, err)
		}
	}
	// A frame of another journal.
	j, err := snapshot.NewJournalReader(strings.NewReader("PCJRNL\x02" + strings.Repeat("x", 40)))
	if !errors.Is(err, snapshot.ErrFormat) {
		t.Errorf("another format: %v %v", j, err)
	}
	if _, err := snapshot.NewJournalReader(strings.NewReader("PCSNAP")); !errors.Is(err, snapshot.ErrMagic) {
		t.Errorf("a snapshot: %v", err)
	}
}

// Replay tells of a damaged journal, and goes on with one that needs nothing of it.
func TestReplayPastDamage(t *testing.T) {
	path := t.TempDir()
	data, ends := journal(t, 3, 1, 4)
	bad := bytes.Clone(data)
	bad[ends[1]+20] ^= 1
	for name, content := range map[string][]byte{
		"000000000001-e1-s100.pcjournal": bad, "000000000002-e1-s100.pcjournal": data[:ends[0]-1],
		"000000000003-e1-s100.pcjournal": []byte("nonsense"), "notes.pcjournal": []byte("x"),
	} {
		if err := os.WriteFile(filepath.Join(path, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, path)
	got, r := replayed(t, d, at(100))
	if !slices.Equal(got, upTo(100, 103)) || len(r.Faults) != 2 || !errors.Is(errors.Join(r.Faults...), snapshot.ErrChecksum) || !errors.Is(errors.Join(r.Faults...), snapshot.ErrMagic) {
		t.Errorf("%v %v", got, r.Faults)
	}
	j := d.Journal() // as a node does that has come so far, and has the rest from the log
	appendTo(t, j, at(103), 110)
	j.Close()
	if got, r := replayed(t, d, at(100)); !slices.Equal(got, upTo(100, 110)) || len(r.Faults) != 2 {
		t.Errorf("%v %v", got, r.Faults)
	}
}

func FuzzJournalReader(f *testing.F) {
	data, ends := journal(f, 3, 1, 4)
	frame := func(n int) []byte { return data[ends[n-1]:ends[n]] }
	flipped := bytes.Clone(data)
	flipped[ends[1]+30] ^= 4
	for _, seed := range [][]byte{
		nil, data, data[:ends[0]], data[:len(data)-5], flipped,
		slices.Concat(data[:ends[0]], frame(2), frame(1), frame(3)), slices.Concat(data, frame(3)),
		append(bytes.Clone(data), make([]byte, 100)...), []byte("PCJRNL\x01"), []byte("PCJRNL\x02"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := snapshot.NewJournalReader(bytes.NewReader(data))
		if err != nil {
			return
		}
		size, next := 0, j.Base().Sequence+1
		for {
			sequence, raw, err := j.Next()
			if err != nil {
				break
			}
			if size += len(raw); sequence != next || size > len(data) {
				t.Fatalf("sequence %d where %d must be; %d of %d bytes", sequence, next, size, len(data))
			}
			next++
		}
	})
}
