package cow

import (
	"hash/maphash"
	"iter"
)

// Map is an immutable map. Make one with New. Safe for concurrent use.
type Map[K comparable, V any] struct {
	seed  maphash.Seed
	table Table[entry[K, V]]
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// New is an empty map.
func New[K comparable, V any]() Map[K, V] {
	return Map[K, V]{seed: maphash.MakeSeed()}
}

// Len is the number of entries.
func (m Map[K, V]) Len() int { return m.table.Len() }

// Get looks a key up. It does not allocate.
func (m Map[K, V]) Get(key K) (V, bool) {
	if m.table.root == nil {
		var zero V
		return zero, false
	}
	if at := m.table.Find(maphash.Comparable(m.seed, key), isKey[K, V](key)); at != nil {
		return at.value, true
	}
	var zero V
	return zero, false
}

func isKey[K comparable, V any](key K) func(*entry[K, V]) bool {
	return func(e *entry[K, V]) bool { return e.key == key }
}

// All yields the entries in no particular order.
func (m Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		m.table.root.walk(func(e *entry[K, V]) bool { return yield(e.key, e.value) })
	}
}

// Edit starts the next version. The Map stays as it is.
func (m Map[K, V]) Edit() Edit[K, V] {
	return Edit[K, V]{seed: m.seed, table: m.table.Edit()}
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
	seed  maphash.Seed
	table TableEdit[entry[K, V]]
}

// Map is the version made so far. The Edit may go on; the returned Map does not change with it.
func (e *Edit[K, V]) Map() Map[K, V] {
	return Map[K, V]{seed: e.seed, table: e.table.Table()}
}

// Len is the number of entries.
func (e *Edit[K, V]) Len() int { return e.table.Len() }

// Get looks a key up in the version made so far.
func (e *Edit[K, V]) Get(key K) (V, bool) { return Map[K, V]{e.seed, e.table.t}.Get(key) }

// Set adds or replaces an entry.
func (e *Edit[K, V]) Set(key K, value V) { *e.Update(key) = value }

// Update returns the address of an entry's value, to be read and written before
// the next call of the Edit. The entry is added, with a zero value, if it was not
// there. The map keeps this key from now on: it may be part of the new value's
// memory, and the old one, which is equal, of memory that nothing else needs.
func (e *Edit[K, V]) Update(key K) *V {
	at, _ := e.table.Put(maphash.Comparable(e.seed, key), isKey[K, V](key),
		func(other *entry[K, V]) uint64 { return maphash.Comparable(e.seed, other.key) })
	at.key = key
	return &at.value
}

// Delete removes an entry, if it is there.
func (e *Edit[K, V]) Delete(key K) {
	e.table.Delete(maphash.Comparable(e.seed, key), isKey[K, V](key))
}
