package stream_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// body is an entry of one subscription.
var body = bytes.Repeat([]byte("e"), 120)

// BenchmarkAppend appends entries one after the other, each when the one before it
// is on the disk.
func BenchmarkAppend(b *testing.B) {
	log := createLog(b, streamtest.New(b).Connect(b, "writer"))
	last := uint64(0)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		sequence, err := log.Append(b.Context(), last, "mixed", body, fmt.Sprint("id-", last))
		if err != nil {
			b.Fatal(err)
		}
		last = sequence
	}
}

// BenchmarkFollow reads a log of 1,000 entries from its beginning.
func BenchmarkFollow(b *testing.B) {
	const count = 1000
	log := createLog(b, streamtest.New(b).Connect(b, "node"))
	for i := range uint64(count) {
		if _, err := log.Append(b.Context(), i, "mixed", body, fmt.Sprint("id-", i)); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(count * len(body)))
	b.ReportAllocs()
	entries := 0
	for b.Loop() {
		read := 0
		err := log.Follow(b.Context(), 0, func(batch []stream.Message) error {
			if read += len(batch); read == count {
				return errDone
			}
			return nil
		})
		if err != errDone {
			b.Fatal(err)
		}
		entries += read
	}
	b.ReportMetric(float64(entries)/b.Elapsed().Seconds(), "entries/s")
}

var errDone = fmt.Errorf("all was read")
