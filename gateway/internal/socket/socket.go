// Package socket is TCP connections that are read and written by raw system calls.
//
// The sockets of Go are non-blocking, so a read or write takes no longer than its
// work. net.Conn tells the scheduler nevertheless that the call might block, and
// on a busy processor the scheduler then gives the work to other threads in the
// middle of it. Raw calls leave that out; waiting for the network is left to the
// runtime, with its deadlines.
//
// Measured end to end, as processor time of a gateway process per request, with its
// builds taking turns: net.Conn takes 10 to 17 % more (medians of 31 rounds each),
// ordinary system calls in place of raw ones 7 % (41 rounds). The latter is
// BenchmarkForward of front/fast, with and without -tags ordinarycalls.
package socket

import (
	"io"
	"net"
	"syscall"
	"time"
)

// Conn is a connection. It may be closed at any time; its reads belong to one
// goroutine, and so do its writes.
type Conn struct {
	net.Conn
	// WriteTimeout is how long each Write may wait for room; 0: until the write
	// deadline, which it takes the place of.
	WriteTimeout time.Duration

	raw syscall.RawConn // nil: all is left to Conn

	// What is under way. The steps are made once, so that no operation allocates.
	in, out       operation
	receive, send func(fd uintptr) bool
	look          func(fd uintptr)
	quiet         bool
}

// operation is a read or a write.
type operation struct {
	p       []byte
	n       int
	err     error
	limited bool // its deadline was set
}

// New makes a Conn of c, which from then on is used through it only.
func New(c net.Conn) *Conn {
	s := &Conn{Conn: c}
	if tc, ok := c.(*net.TCPConn); ok && hasRawCalls {
		if raw, err := tc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	s.receive, s.send = s.receiveStep, s.sendStep
	s.look = func(fd uintptr) { s.quiet = quiet(fd) }
	return s
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if c.raw == nil || len(p) == 0 {
		return c.Conn.Read(p)
	}
	c.in = operation{p: p}
	err := c.raw.Read(c.receive)
	done := c.in
	c.in = operation{}
	switch {
	case err != nil:
		return 0, err
	case done.err != nil:
		return 0, done.err
	case done.n == 0:
		return 0, io.EOF
	}
	return done.n, nil
}

// receiveStep is called by the runtime, first at once and then when there may be
// something to read; false: wait for that.
func (c *Conn) receiveStep(fd uintptr) bool {
	var again bool
	c.in.n, again, c.in.err = read(fd, c.in.p)
	return !again
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	if c.raw == nil {
		c.out = operation{}
		if err := c.limitWrite(); err != nil {
			return 0, err
		}
		return c.Conn.Write(p)
	}
	c.out = operation{p: p}
	err := c.raw.Write(c.send)
	done := c.out
	c.out = operation{}
	if err == nil {
		err = done.err
	}
	if done.limited { // else the next Write would be late from the start
		if failed := c.SetWriteDeadline(time.Time{}); err == nil {
			err = failed
		}
	}
	return done.n, err
}

// sendStep is called by the runtime, first at once and then when there may be room;
// false: wait for that.
func (c *Conn) sendStep(fd uintptr) bool {
	for c.out.n < len(c.out.p) && c.out.err == nil {
		n, again, err := write(fd, c.out.p[c.out.n:])
		if again {
			if err = c.limitWrite(); err == nil {
				return false
			}
		}
		c.out.n += n
		c.out.err = err
	}
	return true
}

// limitWrite gives a Write that has to wait for room its time. Most never wait, so
// the deadline is not set before it is needed.
func (c *Conn) limitWrite() error {
	if c.WriteTimeout == 0 || c.out.limited {
		return nil
	}
	c.out.limited = true
	return c.SetWriteDeadline(time.Now().Add(c.WriteTimeout))
}

// CanBeQuiet reports whether Quiet can be true: there is a descriptor to look at.
func (c *Conn) CanBeQuiet() bool { return c.raw != nil }

// Quiet reports whether the connection is open and has nothing to read.
func (c *Conn) Quiet() bool {
	if c.raw == nil {
		return false
	}
	c.quiet = false
	err := c.raw.Control(c.look)
	return err == nil && c.quiet
}
