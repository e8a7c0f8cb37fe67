package snapshot

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

const (
	// blockSize is how much is read, hashed and turned into a string at once.
	// Changes are cut out of the strings, so a block lives as long as the
	// longest-lived of its changes: large enough for speed, small enough that
	// a few survivors hold little.
	blockSize   = 64 << 10
	trailerSize = 8 + sha256.Size
)

// Reader reads a snapshot as a stream, in memory bounded by the largest change.
// It is not safe for concurrent use.
type Reader struct {
	src    *source
	zstd   *zstd.Decoder
	header *pb.SnapshotHeader
	sum    hash.Hash
	// buf[:len(block)] is what block was made of; the bytes before hashed are
	// in sum, those before pos are handed out.
	buf         []byte
	block       string
	hashed, pos int
	read        uint64
	// err ends the reading: io.EOF after everything was verified.
	err error
}

// source keeps the error of the underlying reader apart from those of the decompressor.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// NewReader reads the beginning of a snapshot. Close the Reader when done.
func NewReader(r io.Reader) (*Reader, error) {
	src := &source{r: r}
	var start [len(magic) + 1]byte
	if n, err := io.ReadFull(src, start[:]); err != nil {
		if src.err != nil {
			return nil, fmt.Errorf("read snapshot: %w", src.err)
		}
		if string(start[:min(n, len(magic))]) != magic[:min(n, len(magic))] {
			return nil, fmt.Errorf("read snapshot: %w", ErrMagic)
		}
		return nil, fmt.Errorf("read snapshot: %w in its first %d bytes", ErrTruncated, len(start))
	}
	if string(start[:len(magic)]) != magic {
		return nil, fmt.Errorf("read snapshot: %w", ErrMagic)
	}
	if f := start[len(magic)]; f != Format {
		return nil, fmt.Errorf("read snapshot: %w %d, this version reads %d", ErrFormat, f, Format)
	}
	// One goroutine: a second one gained nothing in BenchmarkRead.
	dec, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w: %w", ErrCorrupt, err)
	}
	rd := &Reader{src: src, zstd: dec, sum: sha256.New(), buf: make([]byte, blockSize)}
	if err := rd.readHeader(); err != nil {
		rd.Close()
		return nil, fmt.Errorf("read snapshot: the header: %w", err)
	}
	return rd, nil
}

func (r *Reader) readHeader() error {
	raw, err := r.message(maxHeader)
	if err != nil {
		return err
	}
	h := new(pb.SnapshotHeader)
	if err := proto.Unmarshal([]byte(raw), h); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if h.GetFormat() != Format {
		return fmt.Errorf("%w %d, this version reads %d", ErrFormat, h.GetFormat(), Format)
	}
	r.header = h
	return nil
}

// Header is what the snapshot says about itself: not verified before Next has
// given io.EOF.
func (r *Reader) Header() *pb.SnapshotHeader { return r.header }

// Next gives the next encoded Change, or io.EOF after the last one, when number
// and checksum are right. The string may be kept. Any other error stays.
func (r *Reader) Next() (string, error) {
	if r.err != nil {
		return "", r.err
	}
	if r.read == r.header.GetChanges() {
		if err := r.finish(); err != nil {
			r.err = fmt.Errorf("read snapshot: after change %d of %d: %w", r.read, r.header.GetChanges(), err)
		} else {
			r.err = io.EOF
		}
		return "", r.err
	}
	raw, err := r.message(maxChange)
	if err != nil {
		r.err = fmt.Errorf("read snapshot: change %d of %d: %w", r.read+1, r.header.GetChanges(), err)
		return "", r.err
	}
	r.read++
	return raw, nil
}

// Close releases the decompressor, not the reader underneath.
func (r *Reader) Close() {
	r.zstd.Close()
	if r.err == nil {
		r.err = errors.New("read snapshot: the reader is closed")
	}
}

// verified reports whether everything was read and the checksum is right.
func (r *Reader) verified() bool { return errors.Is(r.err, io.EOF) }

// message cuts the next length-delimited message out of the blocks.
func (r *Reader) message(limit uint64) (string, error) {
	size, width := uvarint(r.block[r.pos:])
	if width == 0 {
		if err := r.fill(1); err != nil {
			return "", err
		}
		// A length of several bytes: as many as there are may be all of the stream.
		if size, width = uvarint(r.block[r.pos:]); width == 0 {
			return "", ErrTruncated
		}
	}
	if width < 0 || size > limit {
		return "", fmt.Errorf("%w: a length is out of bounds", ErrCorrupt)
	}
	end := width + int(size)
	if len(r.block)-r.pos < end {
		if err := r.fill(end); err != nil {
			return "", err
		}
	}
	raw := r.block[r.pos+width : r.pos+end]
	r.pos += end
	return raw, nil
}

// uvarint is binary.Uvarint for a string: width 0 if s is too short, below 0 if it overflows.
func uvarint(s string) (v uint64, width int) {
	for i := range min(len(s), binary.MaxVarintLen64) {
		c := s[i]
		if c < 0x80 {
			if i == binary.MaxVarintLen64-1 && c > 1 {
				return 0, -1
			}
			return v | uint64(c)<<(7*i), i + 1
		}
		v |= uint64(c&0x7f) << (7 * i)
	}
	if len(s) >= binary.MaxVarintLen64 {
		return 0, -1
	}
	return 0, 0
}

// fill makes a new block of what is left of the old one and what comes; it has
// need bytes at least, or the error is ErrTruncated.
func (r *Reader) fill(need int) error {
	r.hash()
	left := copy(r.buf, r.buf[r.pos:len(r.block)])
	if need > len(r.buf) {
		r.buf = append(make([]byte, 0, need), r.buf[:left]...)[:need]
	}
	n, err := io.ReadFull(r.zstd, r.buf[left:])
	r.block, r.pos, r.hashed = string(r.buf[:left+n]), 0, 0
	if len(r.block) >= need {
		return nil
	}
	return r.cause(err)
}

// cause says why the decompressor gave no more bytes.
func (r *Reader) cause(err error) error {
	switch {
	case r.src.err != nil:
		return r.src.err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	default:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
}

// hash adds what was handed out to the checksum.
func (r *Reader) hash() {
	// A hash never returns an error.
	_, _ = r.sum.Write(r.buf[r.hashed:r.pos])
	r.hashed = r.pos
}

// finish compares the trailer, and makes sure that nothing follows it.
func (r *Reader) finish() error {
	r.hash()
	if len(r.block)-r.pos < trailerSize {
		if err := r.fill(trailerSize); err != nil {
			return err
		}
	}
	trailer := r.block[r.pos : r.pos+trailerSize]
	if n := binary.LittleEndian.Uint64([]byte(trailer[:8])); n != r.read {
		return fmt.Errorf("%w: it ends with the number %d", ErrCorrupt, n)
	}
	if subtle.ConstantTimeCompare([]byte(trailer[8:]), r.sum.Sum(nil)) != 1 {
		return ErrChecksum
	}
	rest := len(r.block) - r.pos - trailerSize
	if n, err := io.ReadFull(r.zstd, r.buf[:1]); rest+n > 0 {
		return fmt.Errorf("%w: something follows its end", ErrCorrupt)
	} else if !errors.Is(err, io.EOF) {
		return r.cause(err)
	}
	return nil
}
