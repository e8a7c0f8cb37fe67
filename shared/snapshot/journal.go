package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"
)

const (
	journalSuffix = ".pcjournal"
	journalMagic  = "PCJRNL"
	journalFormat = 1

	// A frame begins with its size and two checksums, and its body with a time and
	// a sequence.
	frameHead = 12
	bodyHead  = 16
	// maxFrame bounds a frame's body, and so what a reader allocates. One entry of
	// the log has 8 MiB at most.
	maxFrame = 32 << 20
	// keepBuffer is how large a buffer may be that is kept for the next frame.
	keepBuffer = 1 << 20
	// maxJournals bounds all journals of a directory together. They are that large
	// only if no snapshot could be saved for long.
	maxJournals = 1 << 30
)

// Position is a point in one log: after the entry with the given sequence.
type Position struct {
	Epoch    uint64
	EpochID  string
	Sequence uint64
}

func (p Position) String() string {
	return fmt.Sprintf("epoch %d, sequence %d", p.Epoch, p.Sequence)
}

// sameLog reports whether both positions are points in one log.
func (p Position) sameLog(q Position) bool { return p.Epoch == q.Epoch && p.EpochID == q.EpochID }

// Journal writes entries of the log to files next to the snapshots, so that what
// was applied after the newest snapshot is on disk, too. It never writes to a file
// that it did not begin itself. It is not safe for concurrent use; Dir.Save and
// Dir.Replay may be called meanwhile.
type Journal struct {
	dir  *Dir
	file *os.File // nil: the next Append begins one
	last Position // of the last entry in file
	sum  uint32   // checksum of everything in file
	// Bytes of file, and of the journals that were there when it was begun.
	size, others int64
	buf          []byte
}

// Journal returns a journal that will write to the directory. A directory has one
// writer at a time.
func (d *Dir) Journal() *Journal { return &Journal{dir: d} }

// Append writes the entries that follow a position of the log, with the sequences
// that follow it, and returns when they will survive a power cut. at is the time
// that Replay returns with them. Entries that do not follow those of the last Append
// begin a new file. After an error nothing is known about these entries, and the
// next Append begins a new file.
func (j *Journal) Append(after Position, entries [][]byte, at time.Time) error {
	if len(entries) == 0 {
		return nil
	}
	if j.file != nil && j.last != after {
		j.Rotate()
	}
	err := j.append(after, entries, at)
	if cap(j.buf) > keepBuffer {
		j.buf = nil
	}
	if err != nil {
		j.Rotate()
		return fmt.Errorf("append to the journal after %s: %w", after, err)
	}
	j.last = after
	j.last.Sequence += uint64(len(entries))
	return nil
}

func (j *Journal) append(after Position, entries [][]byte, at time.Time) error {
	if j.file != nil {
		buf, sum, err := appendFrame(j.buf[:0], j.sum, after.Sequence+1, entries, at)
		if err != nil {
			return err
		}
		j.buf = buf
		return j.write(buf, sum)
	}
	buf, sum, err := appendJournalHeader(j.buf[:0], after)
	if err != nil {
		return err
	}
	if buf, sum, err = appendFrame(buf, sum, after.Sequence+1, entries, at); err != nil {
		return err
	}
	j.buf = buf
	return j.begin(after, buf, sum)
}

// begin makes a new file with these bytes.
func (j *Journal) begin(after Position, data []byte, sum uint32) error {
	files, err := j.dir.journals()
	if err != nil {
		return err
	}
	number := uint64(1)
	j.others, j.size = 0, 0
	for _, f := range files {
		number = max(number, f.number+1)
		j.others += f.size()
	}
	path := filepath.Join(j.dir.path, fileName(number, after.Epoch, after.Sequence, journalSuffix))
	if j.file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	if err := j.write(data, sum); err != nil {
		return errors.Join(err, os.Remove(path)) // a disk that is full has better uses for it
	}
	return syncDir(j.dir.path)
}

// write adds bytes to the file, and waits until they are on disk.
func (j *Journal) write(data []byte, sum uint32) error {
	if total := j.others + j.size + int64(len(data)); total > maxJournals {
		return fmt.Errorf("the journals would take %d bytes, more than %d", total, maxJournals)
	}
	if _, err := j.file.Write(data); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.size += int64(len(data))
	j.sum = sum
	return nil
}

// Rotate makes the next Append begin a new file. Call it when a snapshot is about
// to be made of a state that has at least all entries before that Append: once that
// snapshot is the older one of two, Dir.Save removes the files from before.
func (j *Journal) Rotate() {
	if j.file != nil {
		// Every Append has waited for its bytes: nothing can be lost by closing.
		_ = j.file.Close()
		j.file = nil
	}
}

// Close ends the journal.
func (j *Journal) Close() { j.Rotate() }

// Checksums go on from one frame to the next, so that a frame is right only in its
// offset in its file.
func castagnoli(sum uint32, p []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), p)
}

func appendJournalHeader(buf []byte, base Position) (data []byte, sum uint32, err error) {
	if len(base.EpochID) > 255 {
		return buf, 0, fmt.Errorf("the epoch's id has %d bytes, more than 255", len(base.EpochID))
	}
	begin := len(buf)
	buf = append(buf, journalMagic...)
	buf = append(buf, journalFormat)
	buf = binary.LittleEndian.AppendUint64(buf, base.Epoch)
	buf = binary.LittleEndian.AppendUint64(buf, base.Sequence)
	buf = append(buf, byte(len(base.EpochID)))
	buf = append(buf, base.EpochID...)
	sum = castagnoli(0, buf[begin:])
	return binary.LittleEndian.AppendUint32(buf, sum), sum, nil
}

// appendFrame adds a frame to buf. sum is the checksum of what stands before it in
// its file; the one returned includes the frame.
func appendFrame(buf []byte, sum uint32, first uint64, entries [][]byte, at time.Time) ([]byte, uint32, error) {
	begin := len(buf)
	buf = append(buf, make([]byte, frameHead)...)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(at.UnixMilli()))
	buf = binary.LittleEndian.AppendUint64(buf, first)
	for _, e := range entries {
		buf = binary.AppendUvarint(buf, uint64(len(e)))
		buf = append(buf, e...)
	}
	frame := buf[begin:]
	size := len(frame) - frameHead
	if size > maxFrame {
		return buf[:begin], sum, fmt.Errorf("%d entries have %d bytes, more than %d", len(entries), size, maxFrame)
	}
	binary.LittleEndian.PutUint32(frame, uint32(size))
	sum = castagnoli(sum, frame[:4])
	binary.LittleEndian.PutUint32(frame[4:], sum)
	sum = castagnoli(sum, frame[frameHead:])
	binary.LittleEndian.PutUint32(frame[8:], sum)
	return buf, sum, nil
}
