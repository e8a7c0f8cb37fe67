package heap

// Written is what had been written to a heap at some moment. It may be read while
// more is written by the Edit that it was taken from.
type Written struct {
	Heap
	frames [][]byte // of each chunk
}

// Written is what has been written so far.
func (e *Edit) Written() Written {
	w := Written{Heap: e.Version(), frames: make([][]byte, len(e.chunks))}
	for i, c := range e.chunks {
		if c != nil {
			w.frames[i] = c.written()
		}
	}
	return w
}

// Each yields everything that was written, what has been removed included, in the
// order in which it came if nothing was compacted.
func (w *Written) Each(yield func(tag Tag, a Address, data string)) {
	for i, frames := range w.frames {
		for at := 0; at < len(frames); {
			h, width := readHead(frames[at:])
			from := at + width
			yield(h.tag(), addressOf(i, at), text(frames[from:from+h.length()]))
			at = from + h.length()
		}
	}
}
