package catalog

import (
	"slices"
	"sync"
)

// A store keeps the bytes of a state, changes and names, one after the other in
// chunks without pointers: a million resources are a thousand objects for the
// garbage collector, and an index says in eight bytes where a resource is.
//
// A chunk is written at its end only, and never again where it was written. So
// states share chunks: what one cannot see of them is another's, or waste. When
// more than a fifth of all chunks is waste, the worst of them are emptied, a few
// frames at a time (compact.go).
type store struct {
	chunks  []*chunk // nil: free to be used again
	live    []uint32 // bytes of each chunk that this state needs
	free    []int    // the nil chunks
	leaving          // the chunk that is being emptied
	tail    int      // the chunk that is written to
	held    int      // bytes of all chunks
	needed  int      // sum of live
}

// leaving is how far the emptying of a chunk has come.
type leaving struct {
	chunk  int
	frames []byte // of the chunk; nil: none is being emptied
	at     int
}

// chunk is a run of frames. A frame is a uvarint, its kind in the lowest bits and
// its length above them, and then the bytes.
type chunk struct {
	mu     sync.Mutex
	data   []byte // of fixed length
	used   int    // guarded by mu
	sealed bool   // guarded by mu: nothing more is written
}

// place is where a frame is: number of the chunk, and offset in it.
type place uint64

const (
	offsetBits = 18
	chunkSize  = 1 << offsetBits
	leastChunk = 4 << 10
	// oddID marks the place of a change whose id is not where quickID looks for it.
	oddID = place(1) << 55
	// Bits of a place, so that an index can keep more in the same word.
	placeBits = 56
)

// frameKind says what a frame is.
type frameKind uint64

const (
	frameChange frameKind = iota
	frameApplication
	framePlan
	frameBits = 2
)

func placeAt(chunk, offset int) place { return place(chunk)<<offsetBits | place(offset) }

func (p place) chunk() int  { return int(p &^ oddID >> offsetBits) }
func (p place) offset() int { return int(p & (chunkSize - 1)) }

// at is the bytes at a place, without a copy.
func (s *store) at(p place) string {
	data, at := s.chunks[p.chunk()].data, p.offset()
	head, width := frameHead(data[at:])
	at += width
	return view(data[at : at+int(head>>frameBits)])
}

// frameHead reads a uvarint that this package wrote.
func frameHead(data []byte) (head uint64, width int) {
	for i, b := range data {
		head |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return head, i + 1
		}
	}
	return head, len(data)
}

func headWidth(head uint64) int {
	n := 1
	for ; head >= 0x80; head >>= 7 {
		n++
	}
	return n
}

// id is the id of the change at a place.
func (s *store) id(p place) string {
	raw := s.at(p)
	if p&oddID == 0 {
		return quickID(raw)
	}
	return mustChange(raw).id
}

// quickID is the id of a change that is encoded in the usual order; whatever it
// returns for others, it does not fail.
func quickID(raw string) string {
	if len(raw) < 4 || raw[2] != 0x12 {
		return ""
	}
	n, at := int(raw[3]), 4
	if n >= 0x80 {
		if len(raw) < 5 || raw[4] >= 0x80 {
			return ""
		}
		n, at = n&0x7f|int(raw[4])<<7, 5
	}
	if len(raw) < at+n {
		return ""
	}
	return raw[at : at+n]
}

// storeEdit makes the next version of a store.
type storeEdit struct {
	store
	ownChunks, ownLive bool // the slices are this edit's
	added              int  // bytes, since the last version
}

func (s *store) edit() storeEdit { return storeEdit{store: *s} }

// done is the version made so far; the edit may go on.
func (e *storeEdit) done() store {
	e.ownChunks, e.ownLive, e.added = false, false, 0
	return e.store
}

// add keeps bytes.
func (e *storeEdit) add(kind frameKind, raw string) place {
	head := uint64(len(raw))<<frameBits | uint64(kind)
	size := headWidth(head) + len(raw)
	e.touchLive()
	for {
		if e.tail < len(e.chunks) && e.chunks[e.tail] != nil {
			if offset, ok := e.chunks[e.tail].add(head, raw, size); ok {
				e.live[e.tail] += uint32(size)
				e.needed += size
				e.added += size
				return placeAt(e.tail, offset)
			}
		}
		e.grow(size)
	}
}

// add writes a frame, unless there is no room for it.
func (c *chunk) add(head uint64, raw string, size int) (offset int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed || c.used+size > len(c.data) || c.used >= chunkSize {
		return 0, false
	}
	offset = c.used
	at := offset
	for ; head >= 0x80; head >>= 7 {
		c.data[at] = byte(head) | 0x80
		at++
	}
	c.data[at] = byte(head)
	copy(c.data[at+1:], raw)
	c.used += size
	return offset, true
}

// seal ends the writing to a chunk and returns what was written.
func (c *chunk) seal() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	return c.data[:c.used]
}

// grow makes a new chunk that has room for size bytes the tail. Small states have
// small chunks, and a large frame has one of its own.
func (e *storeEdit) grow(size int) {
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
	e.live = append(e.live, 0)
}

// touchChunks makes the table of chunks this edit's own, with some room.
func (e *storeEdit) touchChunks() {
	e.touchLive()
	if !e.ownChunks {
		e.chunks, e.ownChunks = append(make([]*chunk, 0, len(e.chunks)+4), e.chunks...), true
	}
}

func (e *storeEdit) touchLive() {
	if !e.ownLive {
		e.live, e.ownLive = append(make([]uint32, 0, len(e.live)+4), e.live...), true
	}
}

// waste notes that the frame at a place is not needed any more.
func (e *storeEdit) waste(p place) {
	e.touchLive()
	c := p.chunk()
	head, width := frameHead(e.chunks[c].data[p.offset():])
	size := width + int(head>>frameBits)
	e.live[c] -= uint32(size)
	e.needed -= size
}

// giveUp lets go of a chunk.
func (e *storeEdit) giveUp(c int) {
	e.touchChunks()
	e.held -= len(e.chunks[c].data)
	e.needed -= int(e.live[c])
	e.chunks[c], e.live[c] = nil, 0
	e.free = append(slices.Clip(e.free), c)
}

// wasteful reports whether more than a fifth is waste, small states aside.
func (s *store) wasteful() bool { return s.held-s.needed > s.needed/4+4*chunkSize }

// worst is the chunk with the greatest share of waste.
func (s *store) worst() int {
	worst, most := -1, float64(-1)
	for i, c := range s.chunks {
		if c == nil || i == s.tail {
			continue
		}
		if share := 1 - float64(s.live[i])/float64(len(c.data)); share > most {
			worst, most = i, share
		}
	}
	return worst
}

// span is a part of a change's bytes.
type span struct{ from, length uint32 }

func spanOf(raw, part string) span {
	return span{offsetIn(raw, part), uint32(len(part))}
}

func (s span) of(raw string) string { return raw[s.from : s.from+s.length] }
