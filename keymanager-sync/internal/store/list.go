package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

const (
	defaultPage = 100
	largestPage = 1_000
	// A page ends after looking at so many resources, so that a filter that
	// matches nothing cannot keep the replica busy.
	scanLimit = 200_000
)

// Query asks for one page of a kind, in the order of ids.
type Query struct {
	Kind pb.Kind
	// After is the last id of the page before; empty: from the beginning.
	After string
	// Limit of 1 to 1,000 resources; 0: 100.
	Limit int
	// Contains are texts that a resource's encoding must contain, all of them. It
	// is a cheap first sieve for Match: ids that the wanted resources refer to.
	Contains []string
	// Match decides; nil: every resource.
	Match func(catalog.Record) bool
}

// Page is a part of a listing.
type Page struct {
	// Records in the order of their ids. Fewer than the limit, even none, may
	// come with Next set: a page ends after looking at 200,000 resources.
	Records []catalog.Record
	// Next is the After of the following page; empty: this is the last.
	Next string
	// State is what the records are of.
	State *catalog.State
}

// List reads one page. The ids are taken in order from the file, the resources
// from the State, so a page shows one sequence of the log.
func (st *Store) List(q Query) (Page, error) {
	limit := q.Limit
	switch {
	case limit == 0:
		limit = defaultPage
	case limit < 0 || limit > largestPage:
		return Page{}, fmt.Errorf("a page has 1 to %d resources, not %d", largestPage, limit)
	}
	page := Page{State: st.State()}
	prefix := binary.AppendUvarint(nil, uint64(q.Kind))
	err := st.disk.read(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket([]byte(bucketChanges)).Cursor()
		seen, last := 0, ""
		for key, raw := seek(cursor, prefix, q.After); bytes.HasPrefix(key, prefix); key, raw = cursor.Next() {
			if len(page.Records) == limit || seen == scanLimit {
				page.Next = last
				return nil
			}
			seen++
			last = string(key[len(prefix):])
			if record, ok := q.sift(page.State, last, raw); ok {
				page.Records = append(page.Records, record)
			}
		}
		return nil
	})
	if err != nil {
		return Page{}, fmt.Errorf("list %s: %w", catalog.Collection(q.Kind), err)
	}
	return page, nil
}

func seek(cursor *bbolt.Cursor, prefix []byte, after string) (key, value []byte) {
	from := append(bytes.Clone(prefix), after...)
	key, value = cursor.Seek(from)
	if after != "" && bytes.Equal(key, from) {
		return cursor.Next()
	}
	return key, value
}

func (q Query) sift(state *catalog.State, id string, raw []byte) (catalog.Record, bool) {
	for _, text := range q.Contains {
		if !bytes.Contains(raw, []byte(text)) {
			return catalog.Record{}, false
		}
	}
	record, ok := state.Get(q.Kind, id)
	if !ok || (q.Match != nil && !q.Match(record)) {
		return catalog.Record{}, false
	}
	return record, true
}
