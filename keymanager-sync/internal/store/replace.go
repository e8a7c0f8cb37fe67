package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// A replacement is written to disk in transactions of this many changes.
const loadChunk = 20_000

// replacement is a file that is about to replace the store's.
type replacement struct {
	path string
	db   *bbolt.DB
}

// prepare writes a state to a new file, with the idempotency keys of the present
// file up to a sequence. A crash before it is installed costs only the work.
func (d *disk) prepare(state *catalog.State, keysUpTo uint64) (*replacement, error) {
	path := d.path + suffixNew
	if err := remove(path); err != nil {
		return nil, err
	}
	db, err := openFile(path)
	if err != nil {
		return nil, err
	}
	r := &replacement{path: path, db: db}
	if err := r.write(state); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := d.read(func(old *bbolt.Tx) error { return r.copyMemories(old, keysUpTo) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

type pair struct {
	key []byte
	raw string
}

func (r *replacement) write(state *catalog.State) error {
	pairs := make([]pair, 0, state.ChangeCount())
	for _, kind := range catalog.Kinds() {
		for record := range state.All(kind) {
			pairs = append(pairs, pair{resourceKey(record.Ref()), record.Raw()})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	for chunk := range slices.Chunk(pairs, loadChunk) {
		if err := r.writeChunk(chunk); err != nil {
			return err
		}
	}
	return r.db.Update(func(tx *bbolt.Tx) error {
		if err := writeRejects(tx, update{before: catalog.Empty(), after: state}); err != nil {
			return err
		}
		return writePosition(tx, state, "")
	})
}

func (r *replacement) writeChunk(chunk []pair) error {
	return r.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(bucketChanges))
		bucket.FillPercent = 0.9 // keys arrive in order
		for _, p := range chunk {
			if err := bucket.Put(p.key, []byte(p.raw)); err != nil {
				return err
			}
		}
		return nil
	})
}

// copyMemories takes the idempotency keys over, oldest first.
func (r *replacement) copyMemories(old *bbolt.Tx, upTo uint64) error {
	keys := old.Bucket([]byte(bucketKeys))
	cursor := old.Bucket([]byte(bucketAges)).Cursor()
	var chunk []memory
	for age, _ := cursor.First(); age != nil && binary.BigEndian.Uint64(age) <= upTo; age, _ = cursor.Next() {
		m, ok := decodeMemory(keys.Get(age[8:]))
		if !ok {
			continue
		}
		if chunk = append(chunk, memory{key: string(age[8:]), Memory: m}); len(chunk) == loadChunk {
			if err := r.remember(chunk); err != nil {
				return err
			}
			chunk = chunk[:0]
		}
	}
	return r.remember(chunk)
}

func (r *replacement) remember(memories []memory) error {
	if len(memories) == 0 {
		return nil
	}
	return r.db.Update(func(tx *bbolt.Tx) error { return remember(tx, memories) })
}

// discard gives the replacement up.
func (r *replacement) discard() error {
	return errors.Join(r.db.Close(), remove(r.path))
}

// install replaces the store's file, which is kept in the same directory until the
// next time. If no file can be opened afterwards, reopen can
// do it later.
func (d *disk) install(r *replacement) error {
	if err := r.db.Close(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.db.Close()
	d.db = nil
	if err != nil {
		return err
	}
	swapped := swap(d.path, r.path)
	db, err := openFile(d.path)
	if err != nil {
		return errors.Join(swapped, err)
	}
	d.db = db
	return swapped
}

func swap(path, fresh string) error {
	linking := path + suffixLinking
	if err := remove(linking); err != nil { // of a process that was killed here
		return err
	}
	if err := os.Link(path, linking); err != nil {
		return err
	}
	if err := os.Rename(linking, path+suffixBefore); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
