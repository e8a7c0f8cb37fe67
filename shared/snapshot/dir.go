package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

const (
	suffix     = ".pcsnap"
	tempSuffix = ".tmp"
	// keep is how many generations stay on disk.
	keep = 2
)

// Dir keeps the newest snapshots in a directory that holds nothing else. Files are named by
// a running number, epoch and sequence, such as 000000000007-e1-s812.pcsnap;
// the running number says which is newest, because in the next
// epoch a newer state may have a lower sequence. Only one process may use a
// directory; a Dir is safe for concurrent use.
type Dir struct {
	path string
	mu   sync.Mutex
	// bad are files that Load found damaged: they do not count as a generation.
	bad map[string]bool
}

// OpenDir makes the directory if it is not there, readable by its owner alone
// since snapshots hold secrets, and removes what an interrupted Save left behind.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("open snapshot directory: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("open snapshot directory: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix+tempSuffix) {
			if err := os.Remove(filepath.Join(path, e.Name())); err != nil {
				return nil, fmt.Errorf("open snapshot directory: remove a leftover: %w", err)
			}
		}
	}
	return &Dir{path: path, bad: make(map[string]bool)}, nil
}

// file is a snapshot or a journal, as its name says: such as 000000000007-e1-s812.pcsnap.
type file struct {
	entry                   os.DirEntry
	name                    string
	number, epoch, sequence uint64
}

func fileName(number, epoch, sequence uint64, suffix string) string {
	return fmt.Sprintf("%012d-e%d-s%d%s", number, epoch, sequence, suffix)
}

// size is 0 if the file has gone.
func (f file) size() int64 {
	info, err := f.entry.Info()
	if err != nil {
		return 0
	}
	return info.Size()
}

// list returns the files with a suffix, by their number.
func list(path, suffix string) ([]file, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		head, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok {
			continue
		}
		number, position, _ := strings.Cut(head, "-")
		f := file{entry: e, name: e.Name()}
		if f.number, err = strconv.ParseUint(number, 10, 64); err != nil {
			continue
		}
		// Without it a file can be read all the same; only no journal goes because of it.
		_, _ = fmt.Sscanf(position, "e%d-s%d", &f.epoch, &f.sequence)
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.number, b.number) })
	return files, nil
}

// generations are the snapshots, the newest first.
func (d *Dir) generations() ([]file, error) {
	gs, err := list(d.path, suffix)
	slices.Reverse(gs)
	return gs, err
}

// Save keeps a snapshot of the given position. write writes it, by Write or by
// copying one that was received. When Save returns nil the snapshot survives a
// power cut, and the generations before the last two are gone, with the journals
// that only those needed. On an error the
// directory is as before.
func (d *Dir) Save(epoch, sequence uint64, write func(io.Writer) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	gs, err := d.generations()
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	number := uint64(1)
	if len(gs) > 0 {
		number = gs[0].number + 1
	}
	name := fileName(number, epoch, sequence, suffix)
	temp := filepath.Join(d.path, name+tempSuffix)
	if err := writeFile(temp, write); err != nil {
		return errors.Join(fmt.Errorf("save snapshot: %w", err), os.Remove(temp))
	}
	if err := os.Rename(temp, filepath.Join(d.path, name)); err != nil {
		return errors.Join(fmt.Errorf("save snapshot: %w", err), os.Remove(temp))
	}
	if err := syncDir(d.path); err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	if err := d.prune(append([]file{{name: name, number: number, epoch: epoch, sequence: sequence}}, gs...)); err != nil {
		return fmt.Errorf("save snapshot: remove an old one: %w", err)
	}
	return nil
}

func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// syncDir makes a rename in the directory durable.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// prune removes damaged files, all but the newest good ones, and the journals that
// those do not need; gs are the newest first.
func (d *Dir) prune(gs []file) error {
	var kept []file
	for _, g := range gs {
		if !d.bad[g.name] && len(kept) < keep {
			kept = append(kept, g)
			continue
		}
		if err := os.Remove(filepath.Join(d.path, g.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		delete(d.bad, g.name)
	}
	return d.pruneJournals(kept[len(kept)-1])
}

// Loaded says which snapshot was loaded.
type Loaded struct {
	Header *pb.SnapshotHeader
	// File is its path.
	File string
	// Skipped are the faults of newer snapshots that could not be used.
	Skipped []error
}

// Load reads the newest snapshot that is good from beginning to end, and falls
// back to the one before it. use reads all changes, up to io.EOF; it may be
// called again, with another snapshot, after an error of the first, so it must
// build its state aside. The error is ErrNone if there is no snapshot, and
// otherwise says what was wrong with every one.
func (d *Dir) Load(use func(*Reader) error) (Loaded, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gs, err := d.generations()
	if err != nil {
		return Loaded{}, fmt.Errorf("load snapshot: %w", err)
	}
	var skipped []error
	for _, g := range gs {
		file := filepath.Join(d.path, g.name)
		header, err := load(file, use)
		if err == nil {
			return Loaded{Header: header, File: file, Skipped: skipped}, nil
		}
		if damaged(err) {
			d.bad[g.name] = true
		}
		skipped = append(skipped, fmt.Errorf("load %s: %w", file, err))
	}
	if len(skipped) == 0 {
		return Loaded{}, fmt.Errorf("load from %s: %w", d.path, ErrNone)
	}
	return Loaded{}, errors.Join(skipped...)
}

// damaged reports whether a file can never be read, unlike one of another
// format, or one that could not be read just now.
func damaged(err error) bool {
	for _, e := range []error{ErrMagic, ErrTruncated, ErrCorrupt, ErrChecksum} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func load(file string, use func(*Reader) error) (*pb.SnapshotHeader, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	// Only read from: nothing can be lost by closing it.
	defer func() { _ = f.Close() }()
	r, err := NewReader(f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := use(r); err != nil {
		return nil, err
	}
	if !r.verified() {
		return nil, errors.New("the snapshot was not read to its end, so it is not verified")
	}
	return r.Header(), nil
}
