// Package cow is an immutable hash map with cheap successive versions: a hash
// array mapped trie (Bagwell 2001) with fan-out 32 whose leaves hold up to 64
// entries side by side.
//
// A Map is a value that never changes; copying it is free and reading it needs
// no lock. An Edit makes the next version: it copies the few nodes on the way to
// what it changes, and writes in place in nodes it has copied already, so that a
// bulk load costs about as much as filling a built-in map.
//
// Wide leaves keep the overhead per entry at a few bytes and a lookup at three
// pointer steps for a million entries.
package cow

import (
	"hash/maphash"
	"iter"
)

const (
	fanBits  = 5
	fan      = 1 << fanBits
	maxLeaf  = 64
	maxShift = 50 // below it, bits of the hash are used up: a leaf may then grow without limit
)

// Map is an immutable map. Make one with New. Safe for concurrent use.
type Map[K comparable, V any] struct {
	seed maphash.Seed
	root *node[K, V]
	size int
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// node is a branch if kids is set, else a leaf. tags hold eight bits of each
// entry's hash, so that a lookup touches one or two entries.
type node[K comparable, V any] struct {
	owner   *owner
	kids    *[fan]*node[K, V]
	tags    []uint8
	entries []entry[K, V]
}

// owner marks the nodes that one Edit may write in place. It is not of size
// zero, because pointers to distinct values of size zero may be equal.
type owner struct{ _ byte }

// New is an empty map.
func New[K comparable, V any]() Map[K, V] {
	return Map[K, V]{seed: maphash.MakeSeed()}
}

// Len is the number of entries.
func (m Map[K, V]) Len() int { return m.size }

// Get looks a key up. It does not allocate.
func (m Map[K, V]) Get(key K) (V, bool) {
	if m.root == nil {
		var zero V
		return zero, false
	}
	h := maphash.Comparable(m.seed, key)
	n := m.root
	for shift := uint(0); n.kids != nil; shift += fanBits {
		n = n.kids[(h>>shift)&(fan-1)]
		if n == nil {
			var zero V
			return zero, false
		}
	}
	if i := n.find(key, tag(h)); i >= 0 {
		return n.entries[i].value, true
	}
	var zero V
	return zero, false
}

// All yields the entries in no particular order.
func (m Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.root.walk(yield) }
}

// Edit starts the next version. The Map stays as it is.
func (m Map[K, V]) Edit() *Edit[K, V] {
	return &Edit[K, V]{m: m, owner: new(owner)}
}

// Set is an Edit of one entry.
func (m Map[K, V]) Set(key K, value V) Map[K, V] {
	e := m.Edit()
	e.Set(key, value)
	return e.Map()
}

// Delete is an Edit that removes one entry.
func (m Map[K, V]) Delete(key K) Map[K, V] {
	e := m.Edit()
	e.Delete(key)
	return e.Map()
}

// Edit makes the next version of a Map. Not safe for concurrent use.
type Edit[K comparable, V any] struct {
	m     Map[K, V]
	owner *owner
}

// Map is the version made so far. The Edit may go on; the returned Map does not change with it.
func (e *Edit[K, V]) Map() Map[K, V] {
	e.owner = new(owner)
	return e.m
}

// Len is the number of entries.
func (e *Edit[K, V]) Len() int { return e.m.size }

// Get looks a key up in the version made so far.
func (e *Edit[K, V]) Get(key K) (V, bool) { return e.m.Get(key) }

// Set adds or replaces an entry.
func (e *Edit[K, V]) Set(key K, value V) { *e.slot(key) = value }

// Swap adds or replaces an entry, and returns what was there.
func (e *Edit[K, V]) Swap(key K, value V) (old V, existed bool) {
	size := e.m.size
	at := e.slot(key)
	old, *at = *at, value
	return old, e.m.size == size
}

// Update returns the place of an entry's value, to be read and written before
// the next call of the Edit. The entry is added, with a zero value, if it was not
// there. The map keeps this key from now on.
func (e *Edit[K, V]) Update(key K) *V { return e.slot(key) }

// slot finds or makes the entry, in a leaf that this edit may write.
func (e *Edit[K, V]) slot(key K) *V {
	h := maphash.Comparable(e.m.seed, key)
	at := &e.m.root
	shift := uint(0)
	for {
		n := e.own(*at)
		*at = n
		if n.kids == nil {
			if i := n.find(key, tag(h)); i >= 0 {
				// The new key, which is equal: it may be part of the new value's
				// memory, and the old one of memory that nothing else needs.
				n.entries[i].key = key
				return &n.entries[i].value
			}
			if len(n.entries) < maxLeaf || shift > maxShift {
				n.tags = append(n.tags, tag(h))
				n.entries = append(n.entries, entry[K, V]{key: key})
				e.m.size++
				return &n.entries[len(n.entries)-1].value
			}
			e.split(n, shift)
		}
		at = &n.kids[(h>>shift)&(fan-1)]
		shift += fanBits
	}
}

// Delete removes an entry, if it is there.
func (e *Edit[K, V]) Delete(key K) {
	if _, ok := e.m.Get(key); !ok {
		return
	}
	h := maphash.Comparable(e.m.seed, key)
	at := &e.m.root
	for shift := uint(0); ; shift += fanBits {
		n := e.own(*at)
		*at = n
		if n.kids != nil {
			at = &n.kids[(h>>shift)&(fan-1)]
			continue
		}
		i, last := n.find(key, tag(h)), len(n.entries)-1
		n.tags[i], n.entries[i] = n.tags[last], n.entries[last]
		n.entries[last] = entry[K, V]{}
		n.tags, n.entries = n.tags[:last], n.entries[:last]
		e.m.size--
		if last == 0 {
			*at = nil
		}
		return
	}
}

// own returns a node that this edit may write: n itself or a copy. A copied
// leaf gets room for one more entry, since most copies are made to add one.
func (e *Edit[K, V]) own(n *node[K, V]) *node[K, V] {
	if n == nil {
		return &node[K, V]{owner: e.owner}
	}
	if n.owner == e.owner {
		return n
	}
	c := &node[K, V]{owner: e.owner}
	if n.kids != nil {
		kids := *n.kids
		c.kids = &kids
		return c
	}
	c.tags = append(make([]uint8, 0, len(n.tags)+1), n.tags...)
	c.entries = append(make([]entry[K, V], 0, len(n.entries)+1), n.entries...)
	return c
}

// split turns a full leaf into a branch.
func (e *Edit[K, V]) split(n *node[K, V], shift uint) {
	n.kids = new([fan]*node[K, V])
	for _, en := range n.entries {
		h := maphash.Comparable(e.m.seed, en.key)
		kid := &n.kids[(h>>shift)&(fan-1)]
		if *kid == nil {
			*kid = &node[K, V]{owner: e.owner}
		}
		(*kid).tags = append((*kid).tags, tag(h))
		(*kid).entries = append((*kid).entries, en)
	}
	n.tags, n.entries = nil, nil
}

func (n *node[K, V]) find(key K, t uint8) int {
	for i, have := range n.tags {
		if have == t && n.entries[i].key == key {
			return i
		}
	}
	return -1
}

func (n *node[K, V]) walk(yield func(K, V) bool) bool {
	if n == nil {
		return true
	}
	for i := range n.entries {
		if !yield(n.entries[i].key, n.entries[i].value) {
			return false
		}
	}
	if n.kids != nil {
		for _, kid := range n.kids {
			if !kid.walk(yield) {
				return false
			}
		}
	}
	return true
}

func tag(h uint64) uint8 { return uint8(h >> 56) }
