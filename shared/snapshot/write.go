package snapshot

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// ContentType is the media type of a snapshot as an HTTP body.
const ContentType = "application/vnd.portcullis.snapshot"

// Format is the number of the format that this package writes and reads.
const Format = 1

const (
	magic = "PCSNAP"
	// maxHeader and maxChange bound what a reader allocates on the word of a
	// length it cannot trust yet. A change fits one message of the log (8 MiB).
	maxHeader = 64 << 10
	maxChange = 16 << 20
	// window bounds the decompressor's memory; the compressor keeps to it.
	window = 4 << 20
)

// Write writes a snapshot. The header's format is set here; its number of
// changes must be that of the sequence, whose strings are encoded Changes.
func Write(w io.Writer, header *pb.SnapshotHeader, changes iter.Seq[string]) error {
	if _, err := io.WriteString(w, magic+string(rune(Format))); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	// The level is chosen by BenchmarkWrite: the next one takes longer and does
	// not pack such short messages any tighter. One goroutine, because a node
	// that saves its state is serving.
	enc, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := writeBody(enc, header, changes); err != nil {
		// Ends the compressor; what it still writes is of no use to anybody.
		_ = enc.Close()
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := enc.Close(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

func writeBody(enc io.Writer, header *pb.SnapshotHeader, changes iter.Seq[string]) error {
	h, ok := proto.Clone(header).(*pb.SnapshotHeader)
	if !ok {
		return fmt.Errorf("the header is %T", header)
	}
	h.Format = Format
	head, err := proto.MarshalOptions{Deterministic: true}.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode the header: %w", err)
	}
	if len(head) > maxHeader {
		return fmt.Errorf("the header has %d bytes, more than %d", len(head), maxHeader)
	}
	sum := sha256.New()
	const block = 256 << 10 // both the hash and the compressor like few large writes
	out := bufio.NewWriterSize(io.MultiWriter(sum, enc), block)
	length := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64), uint64(len(head)))
	// Errors of a bufio.Writer come again at its Flush.
	_, _ = out.Write(length)
	_, _ = out.Write(head)
	var n uint64
	for c := range changes {
		if len(c) > maxChange {
			return fmt.Errorf("change %d has %d bytes, more than %d", n+1, len(c), maxChange)
		}
		_, _ = out.Write(binary.AppendUvarint(length[:0], uint64(len(c))))
		if _, err := out.WriteString(c); err != nil {
			return err
		}
		n++
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if n != h.GetChanges() {
		return fmt.Errorf("the header promises %d changes, there are %d", h.GetChanges(), n)
	}
	trailer := sum.Sum(binary.LittleEndian.AppendUint64(nil, n))
	_, err = enc.Write(trailer)
	return err
}
