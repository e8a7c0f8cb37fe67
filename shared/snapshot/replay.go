package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Replayed says what Replay found.
type Replayed struct {
	// Entries were handed over.
	Entries int
	// At is the time that Append was given with the last of them.
	At time.Time
	// Faults are journals, or parts of journals, that cannot be read, and entries
	// that are missing. Replay went on where it could without leaving one out.
	Faults []error
}

// Replay hands to apply the entries that journals hold after a position of the log,
// in order, each once and without a gap. Journals of other logs do not count. The
// bytes of an entry stay as they are until apply returns; its error ends Replay.
func (d *Dir) Replay(after Position, apply func(sequence uint64, entry []byte) error) (Replayed, error) {
	r := &replay{at: after, apply: apply}
	files, err := d.journalsOf(after, r)
	if err != nil {
		return r.Replayed, fmt.Errorf("replay the journals in %s: %w", d.path, err)
	}
	for _, f := range files {
		if f.base.Sequence > r.at.Sequence {
			r.fault(f.path, fmt.Errorf("it begins after sequence %d, and nothing holds what is between that and %d", f.base.Sequence, r.at.Sequence))
			break
		}
		if err := r.file(f.path); err != nil {
			return r.Replayed, err
		}
	}
	return r.Replayed, nil
}

type replay struct {
	Replayed
	at    Position
	apply func(uint64, []byte) error
}

func (r *replay) fault(path string, err error) {
	r.Faults = append(r.Faults, fmt.Errorf("replay %s: %w", path, err))
}

// file replays one journal as far as it can be read.
func (r *replay) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		r.fault(path, err)
		return nil
	}
	defer f.Close()
	j, err := NewJournalReader(f)
	for err == nil {
		var sequence uint64
		var entry []byte
		if sequence, entry, err = j.Next(); err != nil || sequence <= r.at.Sequence {
			continue
		}
		if err := r.apply(sequence, entry); err != nil {
			return fmt.Errorf("replay %s: sequence %d: %w", path, sequence, err)
		}
		r.at.Sequence, r.At = sequence, j.At()
		r.Entries++
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, ErrTruncated) {
		r.fault(path, err)
	}
	return nil
}

// journalOf is a journal of the log that is replayed.
type journalOf struct {
	path string
	base Position
}

// journalsOf are the journals of one log, by their base. What was begun last need not
// lead furthest: a node that could not come back to where it was begins further down.
func (d *Dir) journalsOf(log Position, r *replay) ([]journalOf, error) {
	files, err := d.journals()
	if err != nil {
		return nil, err
	}
	var all []journalOf
	for _, f := range files {
		path := filepath.Join(d.path, f.name)
		base, err := baseOf(path)
		switch {
		case errors.Is(err, ErrTruncated): // begun, and then the power was cut
		case err != nil:
			r.fault(path, err)
		case base.sameLog(log):
			all = append(all, journalOf{path, base})
		}
	}
	slices.SortStableFunc(all, func(a, b journalOf) int { return cmp.Compare(a.base.Sequence, b.base.Sequence) })
	return all, nil
}

func baseOf(path string) (Position, error) {
	f, err := os.Open(path)
	if err != nil {
		return Position{}, err
	}
	defer f.Close()
	j, err := NewJournalReader(f)
	if err != nil {
		return Position{}, err
	}
	return j.Base(), nil
}

// JournalBytes is the size of all journals in the directory.
func (d *Dir) JournalBytes() (int64, error) {
	files, err := d.journals()
	if err != nil {
		return 0, fmt.Errorf("measure the journals: %w", err)
	}
	var sum int64
	for _, f := range files {
		sum += f.size()
	}
	return sum, nil
}

// journals are the journal files, the oldest first.
func (d *Dir) journals() ([]file, error) { return list(d.path, journalSuffix) }

// pruneJournals removes the journals that no snapshot needs any more, of which the
// oldest that is kept is given. The last journal that begins at its position or
// before holds what came after it, or those that were begun later do.
func (d *Dir) pruneJournals(oldest file) error {
	files, err := d.journals()
	if err != nil {
		return err
	}
	needed := 0
	for i, f := range files {
		if f.epoch == oldest.epoch && f.sequence <= oldest.sequence {
			needed = i
		}
	}
	for _, f := range files[:needed] {
		if err := os.Remove(filepath.Join(d.path, f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
