package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
)

// sizes are numbers of changes; the largest fleet has 1,000,000 subscriptions of
// 100,000 applications.
var sizes = []int{1000, 1_100_000}

// encoded is a snapshot, its changes and their bytes.
func encoded(b *testing.B, n int) (data []byte, changes []string, size int64) {
	b.Helper()
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		body, err := proto.Marshal(&pb.Subscription{Application: fmt.Sprintf("app-%06d", i/10), Plan: fmt.Sprintf("plan-%02d", i%10), Status: 2})
		if err != nil {
			b.Fatal(err)
		}
		raw, err := proto.Marshal(&pb.Change{
			Kind: pb.Kind_KIND_SUBSCRIPTION, Id: fmt.Sprintf("%016x", rnd.Uint64()), Version: 1, Resource: body, CreatedAt: 1767225600 + int64(i),
		})
		if err != nil {
			b.Fatal(err)
		}
		changes = append(changes, string(raw))
		size += int64(len(raw))
	}
	var out bytes.Buffer
	if err := snapshot.Write(&out, &pb.SnapshotHeader{Changes: uint64(n)}, slices.Values(changes)); err != nil {
		b.Fatal(err)
	}
	return out.Bytes(), changes, size
}

func BenchmarkWrite(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("changes=%d", n), func(b *testing.B) {
			data, changes, size := encoded(b, n)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if err := snapshot.Write(io.Discard, &pb.SnapshotHeader{Changes: uint64(n)}, slices.Values(changes)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(data))/float64(n), "B/change")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("changes=%d", n), func(b *testing.B) {
			data, _, size := encoded(b, n)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				r, err := snapshot.NewReader(bytes.NewReader(data))
				if err != nil {
					b.Fatal(err)
				}
				read := 0
				for {
					if _, err = r.Next(); err != nil {
						break
					}
					read++
				}
				if !errors.Is(err, io.EOF) || read != n {
					b.Fatal(read, err)
				}
				r.Close()
			}
		})
	}
}

// BenchmarkReplay is what a journal of so many entries costs a node that starts,
// without what it does with them.
func BenchmarkReplay(b *testing.B) {
	for _, n := range []int{1000, 200_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			d, err := snapshot.OpenDir(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			j, after := d.Journal(), at(0)
			defer j.Close()
			piece := make([][]byte, 100)
			for i := range piece {
				piece[i] = bytes.Repeat([]byte{byte(i)}, 200)
			}
			for after.Sequence < uint64(n) {
				if err := j.Append(after, piece, written); err != nil {
					b.Fatal(err)
				}
				after.Sequence += uint64(len(piece))
			}
			b.SetBytes(int64(n) * 200)
			b.ReportAllocs()
			for b.Loop() {
				if r, err := d.Replay(at(0), func(uint64, []byte) error { return nil }); r.Entries != n || err != nil {
					b.Fatal(r, err)
				}
			}
		})
	}
}
