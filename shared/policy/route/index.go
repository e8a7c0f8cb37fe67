package route

// index finds values by keys of bytes. It knows which lengths of key exist, so that
// most prefixes of a path are not looked up at all. It is never changed.
type index[V any] struct {
	values  map[string]*V
	lengths []bool // whether there is a key of this length
}

func newIndex[V any](entries map[string]*V) *index[V] {
	ix := &index[V]{values: entries}
	for key := range entries {
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
	return ix.values[string(key)]
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
