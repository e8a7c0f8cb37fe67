package heap

// How many bytes one Compact looks through: a part of a millisecond's worth, and
// many times what was added since the last version, so that compaction keeps up
// whatever is added: the worst chunk gives a fifth of its bytes back at least.
const (
	compactBytes = 16 << 10
	compactShare = 8
)

// Compact looks through a little of the chunks with the most waste, if more than a
// fifth of all is waste. It calls visit for every piece that it meets, needed or
// not. If the owner still needs the piece at an address, visit calls move, which
// makes a copy elsewhere, removes the old one and returns the new address.
func (e *Edit) Compact(visit func(tag Tag, a Address, move func() Address)) {
	budget := compactBytes + compactShare*e.added
	for budget > 0 {
		m := &e.emptying
		if m.frames == nil {
			if !e.wasteful() {
				return
			}
			if m.chunk = e.worst(); m.chunk < 0 {
				return
			}
			// This version does not write to the chunk any more. Whatever other
			// versions add to it is theirs.
			m.frames, m.at = e.chunks[m.chunk].written(), 0
		}
		before := m.at
		e.empty(m, budget, visit)
		budget -= m.at - before
		if m.at == len(m.frames) {
			e.release(m.chunk)
			*m = emptying{}
		}
	}
}

// empty visits the next frames of a chunk.
func (e *Edit) empty(m *emptying, budget int, visit func(Tag, Address, func() Address)) {
	var from Address
	var tag Tag
	move := func() Address {
		to := e.Add(tag, e.At(from))
		e.Remove(from)
		return to
	}
	for end := m.at + budget; m.at < len(m.frames) && m.at < end; {
		h, width := readHead(m.frames[m.at:])
		from, tag = addressOf(m.chunk, m.at), h.tag()
		m.at += width + h.length()
		visit(tag, from, move)
	}
}

// wasteful reports whether more than a fifth is waste, small heaps aside.
func (h *Heap) wasteful() bool { return h.Waste() > h.needed/4+4*chunkSize }

// worst is the chunk with the greatest share of waste; -1 if there is none but the tail.
func (h *Heap) worst() int {
	worst, most := -1, float64(-1)
	for i, c := range h.chunks {
		if c == nil || i == h.tail {
			continue
		}
		if share := 1 - float64(h.used[i])/float64(len(c.data)); share > most {
			worst, most = i, share
		}
	}
	return worst
}
