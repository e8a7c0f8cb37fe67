package socket

import (
	"errors"
	"runtime"
	"sync/atomic"
)

var (
	// ErrNotQuiet says that a connection is closed, or has bytes to read that nobody
	// asked for.
	ErrNotQuiet = errors.New("the idle connection is not quiet")
	// errByHand says that a connection has no descriptor to work on.
	errByHand = errors.New("the connection cannot be used by hand")
)

// ByHand reports whether Quiet and Exchange work.
func (c *Conn) ByHand() bool { return c.raw != nil }

// Quiet reports whether the connection is open and has nothing to read.
func (c *Conn) Quiet() bool {
	if c.raw == nil {
		return false
	}
	is := false
	err := c.raw.Control(func(fd uintptr) { is = quiet(fd) })
	return err == nil && is
}

// Exchange sends a request over an idle connection and reads the beginning of its
// answer into p. It returns ErrNotQuiet, with nothing sent, if Quiet is false. sent
// tells whether something of the request was sent.
//
// The look takes the place of the read that Go's poller tries in vain before it
// waits, so it costs nothing.
func (c *Conn) Exchange(request, p []byte) (n int, sent bool, err error) {
	if c.raw == nil {
		return 0, false, errByHand
	}
	c.request, c.sent = request, false
	for {
		c.in = operation{p: p}
		n, err = c.received(c.raw.Read(c.swap))
		if err == nil || !early(c.readDue, err) {
			break
		}
		if err = c.reads.arm(c.readDue); err != nil {
			break
		}
	}
	c.request = nil
	return n, c.sent, err
}

// swapStep is the step of Exchange: like receiveStep, but it sends first.
func (c *Conn) swapStep(fd uintptr) bool {
	if c.sent {
		c.Turns.woken()
		return c.receiveStep(fd)
	}
	if !quiet(fd) {
		c.in.err = ErrNotQuiet
		return true
	}
	n, _, err := write(fd, c.request)
	if err == nil && n < len(c.request) {
		var more int
		more, err = c.Write(c.request[n:])
		n += more
	}
	c.sent = n > 0
	c.in.err = err
	return err != nil || c.Turns.take() && c.await(fd)
}

// await lets the others have their turn; the answer may be there after it.
func (c *Conn) await(fd uintptr) bool {
	runtime.Gosched()
	if c.receiveStep(fd) {
		return true
	}
	c.Turns.inVain()
	return false
}

// Turns decides when an Exchange lets other goroutines run before it waits for its
// answer. On a busy processor the answer is there when its turn comes again, and
// neither a wait nor a wake-up is needed. But the runtime looks for sockets that are
// ready only when no goroutine wants to run, so all Exchanges wait now and then.
// Connections to one place share a Turns. Nil never lets.
type Turns struct {
	streak atomic.Int32 // turns given since an Exchange was woken
	skip   atomic.Int32 // turns not to give, after one in vain
}

const (
	maxStreak = 64
	vainSkip  = 16
)

func (t *Turns) take() bool {
	if t == nil {
		return false
	}
	if t.skip.Load() > 0 {
		t.skip.Add(-1)
		return false
	}
	return t.streak.Load() < maxStreak && t.streak.Add(1) > 0
}

func (t *Turns) inVain() { t.skip.Store(vainSkip) }

func (t *Turns) woken() {
	if t != nil && t.streak.Load() != 0 {
		t.streak.Store(0)
	}
}
