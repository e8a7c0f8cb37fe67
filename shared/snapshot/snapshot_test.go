package snapshot_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
)

// encode writes a snapshot of the given changes.
func encode(tb testing.TB, changes ...string) []byte {
	tb.Helper()
	var b bytes.Buffer
	h := &pb.SnapshotHeader{Epoch: 3, Founding: "f", Stream: "S", Sequence: 812, Changes: uint64(len(changes)), Counts: map[string]uint64{"Api": 1}}
	if err := snapshot.Write(&b, h, slices.Values(changes)); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// all reads a snapshot to its end.
func all(r io.Reader) (*pb.SnapshotHeader, []string, error) {
	rd, err := snapshot.NewReader(r)
	if err != nil {
		return nil, nil, err
	}
	defer rd.Close()
	var got []string
	for {
		c, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return rd.Header(), got, nil
		}
		if err != nil {
			return rd.Header(), got, err
		}
		got = append(got, c)
	}
}

// some are changes of many sizes, around those of blocks among them.
func some(n int) []string {
	rnd := rand.New(rand.NewPCG(1, 2))
	cs := make([]string, n)
	for i := range cs {
		size := []int{0, 1, 127, 128, 60, 3000, 64 << 10, 64<<10 - 1, 200_000}[rnd.IntN(9)]
		b := make([]byte, size)
		for j := range b {
			b[j] = byte(rnd.IntN(40))
		}
		cs[i] = string(b)
	}
	return cs
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 100} {
		want := some(n)
		data := encode(t, want...)
		for how, r := range map[string]io.Reader{
			"at once": bytes.NewReader(data), "in halves": iotest.HalfReader(bytes.NewReader(data)),
			"with the end": iotest.DataErrReader(bytes.NewReader(data)),
		} {
			h, got, err := all(r)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%d changes, %s: %v", n, how, err)
			}
			wantHeader := &pb.SnapshotHeader{
				Format: 1, Epoch: 3, Founding: "f", Stream: "S", Sequence: 812, Changes: uint64(n), Counts: map[string]uint64{"Api": 1},
			}
			if !proto.Equal(h, wantHeader) {
				t.Errorf("header %v", h)
			}
		}
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	if !bytes.Equal(encode(t, some(50)...), encode(t, some(50)...)) {
		t.Error("the same changes give other bytes")
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		header  *pb.SnapshotHeader
		changes []string
		want    string
	}{
		"wrong count":  {&pb.SnapshotHeader{Changes: 2}, []string{"a"}, "write snapshot: the header promises 2 changes, there are 1"},
		"large change": {&pb.SnapshotHeader{Changes: 1}, []string{strings.Repeat("x", 16<<20+1)}, "write snapshot: change 1 has 16777217 bytes, more than 16777216"},
		"large header": {&pb.SnapshotHeader{Stream: strings.Repeat("x", 64<<10)}, nil, "write snapshot: the header has"},
	} {
		err := snapshot.Write(io.Discard, tc.header, slices.Values(tc.changes))
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := errors.New("disk full")
	if err := snapshot.Write(failing{full}, &pb.SnapshotHeader{}, slices.Values([]string(nil))); !errors.Is(err, full) {
		t.Errorf("failing writer: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestReadNamesTheFault(t *testing.T) {
	good := encode(t, some(20)...)
	other := bytes.Clone(good)
	other[6] = 9
	broken := errors.New("connection reset")
	for name, tc := range map[string]struct {
		in   io.Reader
		is   error
		want string
	}{
		"empty":     {strings.NewReader(""), snapshot.ErrTruncated, "read snapshot: truncated in its first 7 bytes"},
		"short":     {strings.NewReader("PCS"), snapshot.ErrTruncated, "read snapshot: truncated in its first 7 bytes"},
		"not ours":  {strings.NewReader("<html>"), snapshot.ErrMagic, "read snapshot: bad magic: "},
		"html":      {strings.NewReader("<html><body>"), snapshot.ErrMagic, "read snapshot: bad magic: "},
		"format":    {bytes.NewReader(other), snapshot.ErrFormat, "read snapshot: unknown format 9, this version reads 1"},
		"no header": {bytes.NewReader(good[:7]), snapshot.ErrTruncated, "read snapshot: the header: truncated"},
		"half":      {bytes.NewReader(good[:len(good)/2]), snapshot.ErrTruncated, "read snapshot: change "},
		"reader":    {io.MultiReader(bytes.NewReader(good[:len(good)/2]), iotest.ErrReader(broken)), broken, "read snapshot: change "},
		"trailing":  {io.MultiReader(bytes.NewReader(good), bytes.NewReader(good[7:])), snapshot.ErrCorrupt, "read snapshot: after change 20 of 20: corrupt: something follows its end"},
		"garbage":   {io.MultiReader(bytes.NewReader(good), strings.NewReader("x")), nil, "read snapshot: after change 20 of 20: "},
	} {
		_, _, err := all(tc.in)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || (tc.is != nil && !errors.Is(err, tc.is)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every truncation and every flipped bit is noticed.
func TestDamageIsDetected(t *testing.T) {
	good := encode(t, "first change", "second change", strings.Repeat("third ", 300), "fourth")
	for n := range good {
		if _, _, err := all(bytes.NewReader(good[:n])); err == nil {
			t.Fatalf("the first %d of %d bytes are accepted", n, len(good))
		}
	}
	_, want, err := all(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			// A bit that means nothing to the decompressor does no harm.
			if _, got, err := all(bytes.NewReader(bad)); err == nil && !slices.Equal(got, want) {
				t.Fatalf("bit %d of byte %d flipped: accepted with other changes", bit, i)
			}
		}
	}
}

func TestErrorStays(t *testing.T) {
	data := encode(t, some(20)...)
	r, err := snapshot.NewReader(bytes.NewReader(data[:len(data)/2]))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var first error
	for first == nil {
		_, first = r.Next()
	}
	if _, again := r.Next(); !errors.Is(again, first) {
		t.Errorf("first %v, then %v", first, again)
	}
}

func FuzzReader(f *testing.F) {
	for _, cs := range [][]string{nil, {"a"}, {"", "bb", strings.Repeat("c", 500)}} {
		f.Add(encode(f, cs...))
	}
	f.Add([]byte("PCSNAP\x01"))
	f.Add([]byte("PCSNAP\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, got, err := all(bytes.NewReader(data))
		if err != nil {
			return
		}
		if uint64(len(got)) != h.GetChanges() {
			t.Fatalf("%d changes, the header says %d", len(got), h.GetChanges())
		}
		var b bytes.Buffer
		if err := snapshot.Write(&b, h, slices.Values(got)); err != nil {
			t.Fatal(err)
		}
		if _, same, err := all(&b); err != nil || !slices.Equal(got, same) {
			t.Fatalf("written again: %v", err)
		}
	})
}
