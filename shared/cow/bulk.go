package cow

// Hashed is an entry and its hash.
type Hashed[E any] struct {
	Hash  uint64
	Entry E
}

// Bulk makes a Table of entries, which it puts into another order. ok is false,
// and the Table is of no use, if two of them are the same.
func Bulk[E any](all []Hashed[E], same func(a, b *E) bool) (t Table[E], ok bool) {
	b := bulk[E]{same: same, ok: true}
	if len(all) > 0 {
		t = Table[E]{root: b.node(all, 0, 0), size: len(all)}
	}
	return t, b.ok
}

type bulk[E any] struct {
	same func(a, b *E) bool
	ok   bool
}

// node makes a leaf of depth, or the branch that used bits of the hash lead to.
func (b *bulk[E]) node(all []Hashed[E], used uint, depth uint8) *node[E] {
	if len(all) <= maxLeaf || used == maxUsed {
		return b.leaf(all, depth)
	}
	n := &node[E]{kids: new([fan]*node[E])}
	ends := distribute(all, used)
	b.fill(n, all, &ends, 0, 0, used)
	return n
}

// fill fills the slots that have their first depth bits in common with at: by one
// leaf, if there is room in one.
func (b *bulk[E]) fill(n *node[E], all []Hashed[E], ends *[fan]int, at int, depth uint8, used uint) {
	from, to := slotRange(at, depth)
	first := 0
	if from > 0 {
		first = ends[from-1]
	}
	part := all[first:ends[to-1]]
	switch {
	case len(part) == 0:
	case len(part) <= maxLeaf:
		leaf := b.leaf(part, depth)
		for i := from; i < to; i++ {
			n.kids[i] = leaf
		}
	case depth == fanBits:
		n.kids[at] = b.node(part, used+fanBits, fanBits)
	default:
		b.fill(n, all, ends, from, depth+1, used)
		b.fill(n, all, ends, (from+to)/2, depth+1, used)
	}
}

func (b *bulk[E]) leaf(all []Hashed[E], depth uint8) *node[E] {
	n := &node[E]{depth: depth, entries: make([]E, len(all))}
	for i := range all {
		n.entries[i] = all[i].Entry
		if i < maxLeaf {
			n.tags[i] = tag(all[i].Hash)
		}
		for j := range i {
			if all[j].Hash == all[i].Hash && b.same(&all[j].Entry, &all[i].Entry) {
				b.ok = false
			}
		}
	}
	return n
}

// distribute sorts by the next bits of the hash, in place (American flag sort),
// and returns where each slot's entries end.
func distribute[E any](all []Hashed[E], used uint) (ends [fan]int) {
	var next [fan]int
	for i := range all {
		ends[slot(all[i].Hash, used)]++
	}
	for i := 1; i < fan; i++ {
		next[i] = ends[i-1]
		ends[i] += ends[i-1]
	}
	for s := range fan {
		for next[s] < ends[s] {
			to := slot(all[next[s]].Hash, used)
			if to != s {
				all[next[s]], all[next[to]] = all[next[to]], all[next[s]]
			}
			next[to]++
		}
	}
	return ends
}
