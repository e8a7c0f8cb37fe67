// Package heap keeps pieces of bytes in large chunks without pointers, in versions
// that share almost everything.
//
// A million pieces are a thousand objects to the garbage collector, and an index
// needs eight bytes to say where a piece is. In return memory is managed here: what
// is removed stays in its chunk as waste, and when more than a fifth of all chunks
// is waste, Compact moves what is still needed out of the worst of them, a little
// at a time.
//
// The package knows bytes and addresses only. What they mean, and who keeps an
// address, is its owner's business: it takes part in every move of Compact.
package heap

import (
	"fmt"
	"iter"
	"sync"
	"unsafe"
)

// Address is where a piece of bytes is. 0 is an address like any other.
type Address uint64

// AddressBits is how many bits an Address has at most, so that its owner can keep
// something else in the bits above.
const AddressBits = 55

const (
	offsetBits = 18
	chunkSize  = 1 << offsetBits
	leastChunk = 4 << 10
)

func addressOf(chunk, offset int) Address { return Address(chunk)<<offsetBits | Address(offset) }

// Chunk is the number of the chunk that the address is in. Addresses with the same
// number are close together.
func (a Address) Chunk() int { return int(a >> offsetBits) }

func (a Address) offset() int { return int(a & (chunkSize - 1)) }

// Tag is its owner's mark on a piece, 0 to 3. Compact returns it.
type Tag uint8

const (
	tagBits = 2
	maxTag  = 1<<tagBits - 1
)

// Heap is one version. It is immutable and safe for concurrent use; the zero Heap
// is empty.
type Heap struct {
	chunks   []*chunk // nil: its number is free
	used     []uint32 // bytes of each chunk that this version needs
	free     []int    // numbers of the nil chunks
	emptying emptying
	tail     int // the chunk that is written to
	held     int // bytes of all chunks
	needed   int // sum of live
}

// emptying is how far the emptying of a chunk has come.
type emptying struct {
	chunk  int
	frames []byte // of the chunk; nil: none is being emptied
	at     int
}

// chunk is a run of frames. It is written at its end only, and never again where it
// was written. So versions share chunks: what a version cannot see of one is
// another's, or waste.
//
// A frame is a uvarint, its tag in the lowest bits and its length above them, and
// then the bytes.
type chunk struct {
	mu   sync.Mutex
	data []byte // of fixed length
	used int    // guarded by mu
}

// At is the bytes at an address, without a copy. While the string is in use, its
// whole chunk stays in memory.
func (h *Heap) At(a Address) string {
	frame := h.chunks[a.Chunk()].data[a.offset():]
	head, width := readHead(frame)
	return text(frame[width : width+head.length()])
}

// text is bytes as a string. It is the package's only unsafe code, and sound because
// the bytes of a chunk are written once, before anybody has their address.
func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // see above
}

// Size is how many bytes of memory the chunks take.
func (h *Heap) Size() int { return h.held }

// Waste is how many of them are not needed.
func (h *Heap) Waste() int { return h.held - h.needed }

// Chunks is one more than the greatest number of a chunk.
func (h *Heap) Chunks() int { return len(h.chunks) }

// head begins a frame.
type head uint64

func headOf(tag Tag, length int) head { return head(length)<<tagBits | head(tag) }

func (h head) tag() Tag { return Tag(h & maxTag) }

func (h head) length() int { return int(h >> tagBits) }

// width is the length of the head itself.
func (h head) width() int {
	n := 1
	for ; h >= 0x80; h >>= 7 {
		n++
	}
	return n
}

// readHead reads a uvarint that this package wrote.
func readHead(data []byte) (h head, width int) {
	for i, b := range data {
		h |= head(b&0x7f) << (7 * i)
		if b < 0x80 {
			return h, i + 1
		}
	}
	return h, len(data)
}

// add writes a frame, unless there is no room for it.
func (c *chunk) add(h head, data string) (offset int, ok bool) {
	size := h.width() + len(data)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used+size > len(c.data) || c.used >= chunkSize {
		return 0, false
	}
	offset = c.used
	at := offset
	for ; h >= 0x80; h >>= 7 {
		c.data[at] = byte(h) | 0x80
		at++
	}
	c.data[at] = byte(h)
	copy(c.data[at+1:], data)
	c.used += size
	return offset, true
}

// written is the frames so far.
func (c *chunk) written() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.data[:c.used]
}

// Audit compares the account of a heap with the addresses that its owner has: each
// chunk must need the bytes at these and no others. It is for tests.
func (h *Heap) Audit(addresses iter.Seq[Address]) error {
	live, held, needed := make([]uint32, len(h.chunks)), 0, 0
	for a := range addresses {
		head, width := readHead(h.chunks[a.Chunk()].data[a.offset():])
		live[a.Chunk()] += uint32(width + head.length())
	}
	for i, c := range h.chunks {
		if c != nil {
			held += len(c.data)
		}
		if live[i] != h.used[i] {
			return fmt.Errorf("chunk %d: %d bytes are needed, accounted are %d", i, live[i], h.used[i])
		}
		needed += int(live[i])
	}
	if needed != h.needed || held != h.held {
		return fmt.Errorf("needed %d, held %d; accounted are %d and %d", needed, held, h.needed, h.held)
	}
	return nil
}
