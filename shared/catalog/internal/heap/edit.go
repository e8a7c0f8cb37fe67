package heap

import "slices"

// Edit makes the next versions of a Heap. Not safe for concurrent use, but any
// number of Edits of the same Heap may be in use at the same time.
type Edit struct {
	Heap
	ownChunks, ownLive bool // the slices are this edit's
	added              int  // bytes, since the last version
}

// Edit begins the next version.
func (h *Heap) Edit() Edit { return Edit{Heap: *h} }

// Version is the version made so far. The Edit may go on.
func (e *Edit) Version() Heap {
	e.ownChunks, e.ownLive, e.added = false, false, 0
	return e.Heap
}

// Add copies bytes into the heap.
func (e *Edit) Add(tag Tag, data string) Address {
	h := headOf(tag, len(data))
	size := h.width() + len(data)
	e.touchLive()
	for {
		if e.tail < len(e.chunks) && e.chunks[e.tail] != nil {
			if offset, ok := e.chunks[e.tail].add(h, data); ok {
				e.used[e.tail] += uint32(size)
				e.needed += size
				e.added += size
				return addressOf(e.tail, offset)
			}
		}
		e.grow(size)
	}
}

// Remove says that this version does not need the bytes at an address any more.
// Each address is removed once; versions made before still have it.
func (e *Edit) Remove(a Address) {
	e.touchLive()
	c := a.Chunk()
	h, width := readHead(e.chunks[c].data[a.offset():])
	size := width + h.length()
	e.used[c] -= uint32(size)
	e.needed -= size
}

// grow makes a new chunk the tail, with room for size bytes. Small heaps have small
// chunks, and a large frame has a chunk to itself.
func (e *Edit) grow(size int) {
	c := &chunk{data: make([]byte, max(size, min(chunkSize, max(leastChunk, e.held))))}
	e.held += len(c.data)
	e.touchChunks()
	if n := len(e.free); n > 0 {
		e.tail, e.free = e.free[n-1], e.free[:n-1]
		e.chunks[e.tail] = c
		return
	}
	e.tail = len(e.chunks)
	e.chunks = append(e.chunks, c)
	e.used = append(e.used, 0)
}

// touchChunks makes the table of chunks this edit's own, with some room.
func (e *Edit) touchChunks() {
	e.touchLive()
	if !e.ownChunks {
		e.chunks, e.ownChunks = append(make([]*chunk, 0, len(e.chunks)+4), e.chunks...), true
	}
}

func (e *Edit) touchLive() {
	if !e.ownLive {
		e.used, e.ownLive = append(make([]uint32, 0, len(e.used)+4), e.used...), true
	}
}

// release lets go of a chunk.
func (e *Edit) release(c int) {
	e.touchChunks()
	e.held -= len(e.chunks[c].data)
	e.needed -= int(e.used[c])
	e.chunks[c], e.used[c] = nil, 0
	e.free = append(slices.Clip(e.free), c)
}
