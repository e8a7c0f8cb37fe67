package cow

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"
)

const (
	fanBits = 5
	fan     = 1 << fanBits
	maxLeaf = 64
	// Bits of the hash that lead to a leaf; with these used up it may grow without limit.
	maxUsed = 60
)

// Overhead is about how many bytes of the table an entry takes on top of its size.
const Overhead = 4

// Table is an immutable hash table of entries. The zero Table is empty. Safe for
// concurrent use.
type Table[E any] struct {
	root *node[E]
	size int
}

// node is a branch if kids is set, else a leaf.
type node[E any] struct {
	owner *owner
	kids  *[fan]*node[E]
	// entries of a leaf. tags hold eight bits of the hash of the first maxLeaf, so
	// that a lookup touches one or two entries.
	entries []E
	tags    [maxLeaf]uint8
	// A leaf has all slots of its branch that begin with the same depth bits.
	depth uint8
}

// owner marks the nodes that one edit may write in place. It is not of size
// zero, because pointers to distinct values of size zero may be equal.
type owner struct{ _ byte }

// Len is the number of entries.
func (t *Table[E]) Len() int { return t.size }

// Find returns the entry with this hash for which is reports true; nil if there is none. It must
// not be written. Find does not allocate.
func (t *Table[E]) Find(hash uint64, is func(*E) bool) *E {
	n := t.root
	if n == nil {
		return nil
	}
	for shift := uint(64 - fanBits); n.kids != nil; shift -= fanBits {
		if n = n.kids[(hash>>shift)&(fan-1)]; n == nil {
			return nil
		}
	}
	if i := n.find(hash, is); i >= 0 {
		return &n.entries[i]
	}
	return nil
}

// All yields the entries in no particular order. They must not be written.
func (t *Table[E]) All() iter.Seq[*E] {
	return func(yield func(*E) bool) { t.root.walk(yield) }
}

// Edit starts the next version. The Table stays as it is.
func (t *Table[E]) Edit() TableEdit[E] { return TableEdit[E]{t: *t} }

// TableEdit makes the next version of a Table. Not safe for concurrent use.
type TableEdit[E any] struct {
	t     Table[E]
	owner *owner
}

// Table is the version made so far. The edit may go on; the returned Table does not change with it.
func (e *TableEdit[E]) Table() Table[E] {
	e.owner = nil
	return e.t
}

// Len is the number of entries.
func (e *TableEdit[E]) Len() int { return e.t.size }

// Find looks in the version made so far.
func (e *TableEdit[E]) Find(hash uint64, is func(*E) bool) *E { return e.t.Find(hash, is) }

// All yields the entries of the version made so far; it must not be changed meanwhile.
func (e *TableEdit[E]) All() iter.Seq[*E] { return e.t.All() }

// Put returns the address of the entry with this hash for which is reports true, to be written
// before the next call of the edit. If it is not there, a zero entry is added, and
// added is true: the caller makes it one of this hash. hashOf is the hash of any
// entry.
func (e *TableEdit[E]) Put(hash uint64, is func(*E) bool, hashOf func(*E) uint64) (at *E, added bool) {
	for {
		parent, n, used := e.descend(hash)
		if i := n.find(hash, is); i >= 0 {
			return &n.entries[i], false
		}
		if len(n.entries) < maxLeaf || used == maxUsed && n.depth == fanBits {
			e.t.size++
			return n.add(hash), true
		}
		e.split(parent, n, hash, used, hashOf)
	}
}

// Delete removes the entry with this hash for which is reports true, if it is there.
func (e *TableEdit[E]) Delete(hash uint64, is func(*E) bool) {
	if e.t.Find(hash, is) == nil {
		return
	}
	parent, n, used := e.descend(hash)
	n.remove(n.find(hash, is))
	e.t.size--
	switch {
	case len(n.entries) > 0:
	case parent == nil:
		e.t.root = nil
	default:
		from, to := slotRange(slot(hash, used-fanBits), n.depth)
		clear(parent.kids[from:to])
	}
}

// descend makes the nodes on the way to a hash this edit's own, and the leaf
// where there is none. used is how many bits of the hash led to the end of parent,
// which is nil if the leaf is the root.
func (e *TableEdit[E]) descend(hash uint64) (parent, leaf *node[E], used uint) {
	n := e.own(e.t.root)
	e.t.root = n
	for n.kids != nil {
		at := slot(hash, used)
		parent, used = n, used+fanBits
		kid := parent.kids[at]
		if n = e.own(kid); n == kid {
			continue
		}
		switch {
		case kid == nil:
			n.depth = parent.free(at)
		case n.kids != nil:
			parent.kids[at] = n
			continue
		}
		from, to := slotRange(at, n.depth)
		for i := from; i < to; i++ {
			parent.kids[i] = n
		}
	}
	return parent, n, used
}

// slot is which kid of a branch the hash leads to.
func slot(hash uint64, used uint) int { return int(hash << used >> (64 - fanBits)) }

// tag is bits of the hash that lead nowhere in all but the deepest leaves. In those
// which may grow without limit all tags are the same.
func tag(hash uint64) uint8 { return uint8(hash >> (64 - maxUsed)) }

// own is a node that this edit may write: n itself or a copy. A copied leaf gets
// room for one more entry, since many copies are made to add one.
func (e *TableEdit[E]) own(n *node[E]) *node[E] {
	if e.owner == nil {
		e.owner = new(owner)
	}
	if n == nil {
		return &node[E]{owner: e.owner}
	}
	if n.owner == e.owner {
		return n
	}
	c := &node[E]{owner: e.owner, depth: n.depth}
	if n.kids != nil {
		kids := *n.kids
		c.kids = &kids
		return c
	}
	c.tags = n.tags
	c.entries = append(make([]E, 0, len(n.entries)+1), n.entries...)
	return c
}

// slotRange is the slots around one that have their first depth bits in common.
func slotRange(at int, depth uint8) (from, to int) {
	width := fan >> depth
	from = at &^ (width - 1)
	return from, from + width
}

// free is the depth of the widest range around an empty slot that is empty.
func (n *node[E]) free(at int) uint8 {
	for depth := range uint8(fanBits) {
		from, to := slotRange(at, depth)
		if !slices.ContainsFunc(n.kids[from:to], func(k *node[E]) bool { return k != nil }) {
			return depth
		}
	}
	return fanBits
}

// split makes two leaves of a full one. If its branch has no slots for both, they
// go into a new one.
func (e *TableEdit[E]) split(parent, n *node[E], hash uint64, used uint, hashOf func(*E) uint64) {
	if parent == nil || n.depth == fanBits {
		branch := &node[E]{owner: e.owner, kids: new([fan]*node[E])}
		if parent == nil {
			e.t.root = branch
		} else {
			parent.kids[slot(hash, used-fanBits)] = branch
		}
		n.depth = 0
		parent, used = branch, used+fanBits
	}
	before := used - fanBits
	bit := 63 - before - uint(n.depth)
	var halves [2]*node[E]
	for i := range n.entries {
		h := hashOf(&n.entries[i])
		half := &halves[h>>bit&1]
		if *half == nil {
			*half = &node[E]{owner: e.owner, depth: n.depth + 1, entries: make([]E, 0, maxLeaf/2+maxLeaf/8)}
		}
		*(*half).add(h) = n.entries[i]
	}
	from, to := slotRange(slot(hash, before), n.depth)
	for i := from; i < to; i++ {
		parent.kids[i] = halves[(i-from)*2/(to-from)]
	}
}

// add makes room for one entry more and sets its tag.
func (n *node[E]) add(hash uint64) *E {
	i := len(n.entries)
	if i < maxLeaf {
		n.tags[i] = tag(hash)
	}
	if i == cap(n.entries) {
		// append would double it, and most leaves get no further for a long time.
		n.entries = append(make([]E, 0, i+max(2, i/8)), n.entries...)
	}
	n.entries = n.entries[:i+1]
	return &n.entries[i]
}

func (n *node[E]) remove(i int) {
	last := len(n.entries) - 1
	n.entries[i] = n.entries[last]
	if last < maxLeaf {
		n.tags[i] = n.tags[last]
	}
	var none E
	n.entries[last] = none
	n.entries = n.entries[:last]
}

// Bytes of a word, each of them 1, and their highest bits.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// find compares eight tags at a time.
func (n *node[E]) find(hash uint64, is func(*E) bool) int {
	all := uint64(tag(hash)) * ones
	tagged := min(len(n.entries), maxLeaf)
	for i := 0; i < tagged; i += 8 {
		differ := binary.LittleEndian.Uint64(n.tags[i:]) ^ all
		// The highest bit of each byte that is zero; sometimes of one above such a
		// byte, too, which costs a comparison and nothing else.
		for zero := (differ - ones) &^ differ & highs; zero != 0; zero &= zero - 1 {
			at := i + bits.TrailingZeros64(zero)/8
			if at < tagged && is(&n.entries[at]) {
				return at
			}
		}
	}
	for i := tagged; i < len(n.entries); i++ {
		if is(&n.entries[i]) {
			return i
		}
	}
	return -1
}

func (n *node[E]) walk(yield func(*E) bool) bool {
	if n == nil {
		return true
	}
	for i := range n.entries {
		if !yield(&n.entries[i]) {
			return false
		}
	}
	if n.kids == nil {
		return true
	}
	for i, kid := range n.kids {
		if i > 0 && kid == n.kids[i-1] {
			continue // a leaf of several slots
		}
		if !kid.walk(yield) {
			return false
		}
	}
	return true
}
