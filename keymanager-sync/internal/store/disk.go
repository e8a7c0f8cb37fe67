package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

const (
	fileName   = "view.db" // the name that stores on disk have; see portcullis_view_bytes
	fileFormat = 1
	// Beside the file: the one that will replace it, the one that it replaced, and
	// the latter's name for a moment.
	suffixNew     = ".new"
	suffixBefore  = ".before"
	suffixLinking = ".linking"
	// Address space for the file's mapping, so that growing seldom has to wait for readers.
	mapping = 256 << 20
)

// The file's buckets. A resource's key is its kind and its id, so the ids of a
// kind are neighbours, in order.
const (
	bucketMeta    = "meta"
	bucketChanges = "changes"
	bucketRejects = "rejects" // changes that this version cannot understand; the last good values are kept too
	bucketKeys    = "keys"    // idempotency key → memory
	bucketAges    = "ages"    // sequence and idempotency key → nothing, for forgetting in order

	keyPosition = "position" // a pb.SnapshotHeader
	keyLastID   = "last-id"  // the id of the entry at the position
)

// errNotOpen: the file was replaced and could not be opened since, see reopen.
var errNotOpen = errors.New("the store's file is not open")

// disk is the store's file. mu is held for writing only while the file is replaced.
type disk struct {
	path string
	mu   sync.RWMutex
	db   *bbolt.DB // nil: it could not be opened after it was replaced
}

func openDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &disk{path: filepath.Join(dir, fileName)}
	var err error
	if d.db, err = openFile(d.path); err != nil {
		return nil, err
	}
	// The file is locked, so nobody else is replacing it: what is there was left
	// behind by a process that was killed.
	if err := remove(d.path+suffixNew, d.path+suffixLinking); err != nil {
		return nil, errors.Join(err, d.db.Close())
	}
	return d, nil
}

// remove removes files, if they are there.
func remove(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// reopen opens the file again if that failed after it was replaced, and returns
// the state that it holds; nil: it was open.
func (d *disk) reopen() (*catalog.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db != nil {
		return nil, nil //nolint:nilnil // there was nothing to do
	}
	db, err := openFile(d.path)
	if err != nil {
		return nil, err
	}
	var state *catalog.State
	err = db.View(func(tx *bbolt.Tx) error {
		state, err = load(tx, d.path)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	d.db = db
	return state, nil
}

func openFile(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: time.Second, FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapping,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s is locked", ErrLocked, path)
	}
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketMeta, bucketChanges, bucketRejects, bucketKeys, bucketAges} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (d *disk) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db == nil {
		return nil
	}
	return d.db.Close()
}

func (d *disk) read(fn func(*bbolt.Tx) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.db == nil {
		return errNotOpen
	}
	return d.db.View(fn)
}

// load builds the State from the file.
func (d *disk) load() (state *catalog.State, err error) {
	err = d.read(func(tx *bbolt.Tx) error {
		state, err = load(tx, d.path)
		return err
	})
	return state, err
}

// load builds a State and checks it against the set hash that was written with it.
func load(tx *bbolt.Tx, path string) (*catalog.State, error) {
	raw := tx.Bucket([]byte(bucketMeta)).Get([]byte(keyPosition))
	if raw == nil {
		return catalog.Empty(), nil
	}
	header := new(pb.SnapshotHeader)
	if err := proto.Unmarshal(raw, header); err != nil {
		return nil, fmt.Errorf("read position: %w", err)
	}
	if header.GetFormat() != fileFormat {
		return nil, fmt.Errorf("the file has format %d, this version reads %d", header.GetFormat(), fileFormat)
	}
	builder := catalog.NewBuilder(catalog.Position{
		Epoch: header.GetEpoch(), EpochID: header.GetFounding(), Sequence: header.GetSequence(),
	}, nil)
	for _, name := range []string{bucketChanges, bucketRejects} {
		err := tx.Bucket([]byte(name)).ForEach(func(_, value []byte) error {
			builder.Add(string(value))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	state := builder.State()
	if state.SetHash() != header.GetSetHash() {
		return nil, fmt.Errorf("%s is damaged: its set hash is %016x, and %016x was written (hint: move the file away; the replica then starts over from the log or from a peer)",
			path, state.SetHash(), header.GetSetHash())
	}
	return state, nil
}

// lastID is the id of the entry at the position; empty if it is not known.
func (d *disk) lastID() (id string, err error) {
	err = d.read(func(tx *bbolt.Tx) error {
		id = string(tx.Bucket([]byte(bucketMeta)).Get([]byte(keyLastID)))
		return nil
	})
	return id, err
}

// writtenAt is when the position was written; zero: there is none.
func (d *disk) writtenAt() (at time.Time, err error) {
	err = d.read(func(tx *bbolt.Tx) error {
		header := new(pb.SnapshotHeader)
		if err := proto.Unmarshal(tx.Bucket([]byte(bucketMeta)).Get([]byte(keyPosition)), header); err != nil {
			return fmt.Errorf("read position: %w", err)
		}
		if header.GetWrittenAt() > 0 {
			at = time.UnixMilli(header.GetWrittenAt())
		}
		return nil
	})
	return at, err
}

// update is what a batch of entries changes in the file.
type update struct {
	before, after *catalog.State
	touched       map[catalog.Ref]struct{}
	memories      []memory
	lastID        string
}

// write makes an update durable: all of it or nothing.
func (d *disk) write(u update) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.db == nil {
		return errNotOpen
	}
	return d.db.Update(func(tx *bbolt.Tx) error {
		changes := tx.Bucket([]byte(bucketChanges))
		for _, ref := range sorted(u.touched) {
			if err := putOrDelete(changes, u.after, ref); err != nil {
				return err
			}
		}
		if err := writeRejects(tx, u); err != nil {
			return err
		}
		if err := remember(tx, u.memories); err != nil {
			return err
		}
		return writePosition(tx, u.after, u.lastID)
	})
}

// sorted keeps writes to neighbouring pages together.
func sorted(refs map[catalog.Ref]struct{}) []catalog.Ref {
	list := make([]catalog.Ref, 0, len(refs))
	for ref := range refs {
		list = append(list, ref)
	}
	slices.SortFunc(list, func(a, b catalog.Ref) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

func putOrDelete(bucket *bbolt.Bucket, state *catalog.State, ref catalog.Ref) error {
	record, ok := state.Get(ref.Kind, ref.ID)
	if !ok {
		return bucket.Delete(resourceKey(ref))
	}
	return bucket.Put(resourceKey(ref), []byte(record.Raw()))
}

func resourceKey(ref catalog.Ref) []byte {
	return append(binary.AppendUvarint(nil, uint64(ref.Kind)), ref.ID...)
}

func writePosition(tx *bbolt.Tx, state *catalog.State, lastID string) error {
	p := state.Position()
	header, err := proto.Marshal(&pb.SnapshotHeader{
		Format: fileFormat, Epoch: p.Epoch, Founding: p.EpochID, Sequence: p.Sequence,
		SetHash: state.SetHash(), WrittenAt: time.Now().UnixMilli(),
	})
	if err != nil {
		return fmt.Errorf("encode position: %w", err)
	}
	meta := tx.Bucket([]byte(bucketMeta))
	if err := meta.Put([]byte(keyPosition), header); err != nil {
		return err
	}
	return meta.Put([]byte(keyLastID), []byte(lastID))
}

// writeRejects renews the list of changes that cannot be understood, if it
// differs; it is nearly always empty.
func writeRejects(tx *bbolt.Tx, u update) error {
	if sameRejects(u.before.Rejects(), u.after.Rejects()) {
		return nil
	}
	if err := tx.DeleteBucket([]byte(bucketRejects)); err != nil {
		return err
	}
	bucket, err := tx.CreateBucket([]byte(bucketRejects))
	if err != nil {
		return err
	}
	n := uint64(0)
	for raw := range rejected(u.after) {
		n++
		if err := bucket.Put(binary.BigEndian.AppendUint64(nil, n), []byte(raw)); err != nil {
			return err
		}
	}
	return nil
}

func sameRejects(a, b []catalog.Reject) bool {
	if len(a) == 0 && len(b) == 0 {
		return true
	}
	type at struct {
		ref      catalog.Ref
		sequence uint64
	}
	seen := make(map[at]bool, len(a))
	for _, r := range a {
		seen[at{r.Ref, r.Sequence}] = true
	}
	for _, r := range b {
		if !seen[at{r.Ref, r.Sequence}] {
			return false
		}
	}
	return len(a) == len(b)
}

// rejected yields the rejected changes, which come last among all.
func rejected(state *catalog.State) func(func(string) bool) {
	return func(yield func(string) bool) {
		good := state.ChangeCount() - len(state.Rejects())
		for raw := range state.Changes() {
			if good--; good >= 0 {
				continue
			}
			if !yield(raw) {
				return
			}
		}
	}
}

// size is the file's size in bytes, for metrics.
func (d *disk) size() float64 {
	var n int64
	_ = d.read(func(tx *bbolt.Tx) error { // fails only when the file is closed: then 0
		n = tx.Size()
		return nil
	})
	return float64(n)
}
