package live

import (
	"fmt"
	"os"
)

// breather gives requests their turn while long work is done. On one processor they
// would wait for it: to yield is not enough, since the scheduler finds the worker
// ready again and does not look for what has arrived from the network, and to sleep
// takes a millisecond at least. So the worker waits for a byte in a pipe, which is
// found where requests are.
type breather struct {
	r, w *os.File
	kick chan struct{}
	done chan struct{}
}

func newBreather() (*breather, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	b := &breather{r: r, w: w, kick: make(chan struct{}), done: make(chan struct{})}
	go b.send()
	return b, nil
}

// send writes the bytes when the worker waits already.
func (b *breather) send() {
	defer close(b.done)
	for range b.kick {
		if _, err := b.w.Write([]byte{0}); err != nil {
			_ = b.w.Close() // the worker reads the end from now on, and goes on
		}
	}
}

// breathe returns when those had their turn who were ready before it was called.
func (b *breather) breathe() {
	b.kick <- struct{}{}
	var one [1]byte
	_, _ = b.r.Read(one[:])
}

// close ends the breather, which nobody may use any more.
func (b *breather) close() {
	close(b.kick)
	<-b.done
	_, _ = b.r.Close(), b.w.Close()
}
