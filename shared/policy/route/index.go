package route

import "hash/maphash"

// index is a hash table that is never changed: open addressing, at most half
// full. It is here instead of a map because a map of few entries is read in
// another, faster way than a large one, while the cost of routing shall be the
// same for one Api and for ten thousand; and because it knows which lengths of
// key exist, so that most prefixes of a path are not looked up at all.
type index[V any] struct {
	seed    maphash.Seed
	slots   []slot[V]
	lengths []bool // whether there is a key of this length
	used    int
}

type slot[V any] struct {
	hash  uint64
	key   string
	value *V // nil: free
}

const minSlots = 16

func newIndex[V any](entries map[string]*V) *index[V] {
	size := minSlots
	for size < 2*len(entries) {
		size *= 2
	}
	ix := &index[V]{seed: maphash.MakeSeed(), slots: make([]slot[V], size), used: len(entries)}
	for key, value := range entries {
		h := maphash.String(ix.seed, key)
		at := h & uint64(size-1)
		for ix.slots[at].value != nil {
			at = (at + 1) & uint64(size-1)
		}
		ix.slots[at] = slot[V]{hash: h, key: key, value: value}
		for len(ix.lengths) <= len(key) {
			ix.lengths = append(ix.lengths, false)
		}
		ix.lengths[len(key)] = true
	}
	return ix
}

// get returns the value of key, or nil.
func (ix *index[V]) get(key []byte) *V {
	if len(key) >= len(ix.lengths) || !ix.lengths[len(key)] {
		return nil
	}
	h := maphash.Bytes(ix.seed, key)
	mask := uint64(len(ix.slots) - 1)
	for at := h & mask; ; at = (at + 1) & mask {
		s := &ix.slots[at]
		if s.value == nil {
			return nil
		}
		if s.hash == h && s.key == string(key) {
			return s.value
		}
	}
}

// longest returns the value of the longest key that is path up to a segment
// boundary, and that key's length.
func (ix *index[V]) longest(path []byte) (value *V, length int) {
	for n := min(len(path), len(ix.lengths)-1); n >= 0; n-- {
		if !ix.lengths[n] || (n < len(path) && path[n] != '/') {
			continue
		}
		if value = ix.get(path[:n]); value != nil {
			return value, n
		}
	}
	return nil, 0
}
