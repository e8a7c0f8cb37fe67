package feed

import (
	"fmt"
	"os"
	"runtime"
)

// breather gives requests their turn while long work is done on the only processor.
// To yield is not enough: the scheduler finds the worker ready again and does not
// look for what has arrived from the network, and to sleep takes a millisecond at
// least. So the worker waits for a byte in a pipe, which is found where requests are.
//
// With one processor that brings the p99 of answers from 47 ms to 4 ms. With two the
// other one serves requests, and to wait makes it worse, 4 ms in place of 0.2 ms: so
// breathe does nothing there (BenchmarkWorkAndAnswersInParallel).
type breather struct {
	r, w *os.File // nil: there are more processors
	kick chan struct{}
	done chan struct{}
}

func newBreather() (*breather, error) {
	if runtime.GOMAXPROCS(0) > 1 {
		return &breather{}, nil
	}
	return newPipeBreather()
}

func newPipeBreather() (*breather, error) {
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
	if b.r == nil {
		return
	}
	b.kick <- struct{}{}
	var one [1]byte
	_, _ = b.r.Read(one[:])
}

// close ends the breather, which nobody may use any more.
func (b *breather) close() {
	if b.r == nil {
		return
	}
	close(b.kick)
	<-b.done
	_, _ = b.r.Close(), b.w.Close()
}
