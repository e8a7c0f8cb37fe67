package snapshot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// JournalReader reads one journal file as a stream, in memory bounded by the
// largest frame. It is not safe for concurrent use.
type JournalReader struct {
	r    *bufio.Reader
	base Position
	next uint64 // the sequence of the next entry
	sum  uint32 // of everything read
	at   time.Time
	buf  []byte
	rest []byte // entries of the frame that were not handed out yet
	err  error
}

// NewJournalReader reads the beginning of a journal.
func NewJournalReader(r io.Reader) (*JournalReader, error) {
	j := &JournalReader{r: bufio.NewReaderSize(r, 64<<10)}
	if err := j.readHeader(); err != nil {
		return nil, fmt.Errorf("read journal: the header: %w", err)
	}
	return j, nil
}

func (j *JournalReader) readHeader() error {
	const fixed = len(journalMagic) + 1 + 8 + 8 + 1
	head := make([]byte, fixed, fixed+255+4)
	n, err := io.ReadFull(j.r, head)
	switch fault := checkMagic(head[:n]); {
	case zero(head[:n]): // an empty file, too
		return j.damaged(ErrMagic)
	case fault != nil:
		return fault
	case err != nil:
		return truncated(err)
	}
	if f := head[len(journalMagic)]; f != journalFormat {
		return fmt.Errorf("%w %d, this version reads %d", ErrFormat, f, journalFormat)
	}
	head = head[:fixed+int(head[fixed-1])+4]
	if _, err := io.ReadFull(j.r, head[fixed:]); err != nil {
		return truncated(err)
	}
	covered := head[:len(head)-4]
	j.sum = castagnoli(0, covered)
	if binary.LittleEndian.Uint32(head[len(covered):]) != j.sum {
		return j.damaged(ErrChecksum)
	}
	numbers := covered[len(journalMagic)+1:]
	j.base = Position{
		Epoch: binary.LittleEndian.Uint64(numbers), Sequence: binary.LittleEndian.Uint64(numbers[8:]), EpochID: string(covered[fixed:]),
	}
	j.next = j.base.Sequence + 1
	return nil
}

func checkMagic(head []byte) error {
	if n := min(len(head), len(journalMagic)); string(head[:n]) != journalMagic[:n] {
		return ErrMagic
	}
	return nil
}

// Base is the position that the journal's first entry follows.
func (j *JournalReader) Base() Position { return j.base }

// At is the time that Append was given with the last entry that Next returned.
func (j *JournalReader) At() time.Time { return j.at }

// Next returns the next entry, whose bytes stay as they are until the next call.
// io.EOF is the journal's end, and so is ErrTruncated: then a last write was cut
// short, which Append never reported as on disk. After ErrCorrupt and
// ErrChecksum there is more that cannot be read. The error stays.
func (j *JournalReader) Next() (sequence uint64, entry []byte, err error) {
	for j.err == nil && len(j.rest) == 0 {
		j.err = j.frame()
	}
	if j.err != nil {
		return 0, nil, j.fault()
	}
	size, width := binary.Uvarint(j.rest)
	if width <= 0 || size > uint64(len(j.rest)-width) {
		j.err = fmt.Errorf("%w: a length is out of bounds", ErrCorrupt)
		return 0, nil, j.fault()
	}
	end := width + int(size)
	entry, j.rest = j.rest[width:end:end], j.rest[end:]
	j.next++
	return j.next - 1, entry, nil
}

func (j *JournalReader) fault() error {
	if errors.Is(j.err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("read journal: after sequence %d: %w", j.next-1, j.err)
}

// frame reads the next frame and checks it.
func (j *JournalReader) frame() error {
	var head [frameHead]byte
	if n, err := io.ReadFull(j.r, head[:]); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return io.EOF
		}
		return truncated(err)
	}
	size := binary.LittleEndian.Uint32(head[:])
	sum := castagnoli(j.sum, head[:4])
	if sum != binary.LittleEndian.Uint32(head[4:]) {
		return j.damaged(ErrChecksum)
	}
	if size < bodyHead || size > maxFrame {
		return fmt.Errorf("%w: a frame has %d bytes", ErrCorrupt, size)
	}
	if cap(j.buf) < int(size) {
		j.buf = make([]byte, size)
	}
	body := j.buf[:size]
	if _, err := io.ReadFull(j.r, body); err != nil {
		return truncated(err)
	}
	if sum = castagnoli(sum, body); sum != binary.LittleEndian.Uint32(head[8:]) {
		return j.damaged(ErrChecksum)
	}
	if first := binary.LittleEndian.Uint64(body[8:]); first != j.next {
		return fmt.Errorf("%w: sequence %d stands where %d must", ErrCorrupt, first, j.next)
	}
	j.sum, j.at, j.rest = sum, time.UnixMilli(int64(binary.LittleEndian.Uint64(body))), body[bodyHead:]
	return nil
}

// damaged makes a fault ErrTruncated if nothing but zeros follows: a power cut can
// leave a file as long as it was to be, and not what was to be in it.
func (j *JournalReader) damaged(fault error) error {
	var chunk [4 << 10]byte
	for {
		n, err := j.r.Read(chunk[:])
		if !zero(chunk[:n]) {
			return fault
		}
		if err != nil {
			return truncated(err)
		}
	}
}

func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// truncated is ErrTruncated for the end of a file, and another error as it is.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}
