// Package socket is TCP connections that make no system call, and read no clock,
// that a request does not need. It does by hand what net does for every use of a
// connection:
//
//   - Deadlines are armed lazily. To move one costs a lock and a timer of the
//     runtime, and a server moves it on with each request. Here the runtime's stays
//     as long as it fires before the one that was asked for; if it does fire, it is
//     moved and the operation goes on.
//   - Reads and writes go to the descriptor, which never blocks, without telling
//     the scheduler that they might.
//   - Exchange looks whether a connection is quiet, sends, and waits for the answer
//     in one go, without a read in vain before the wait.
//
// On other systems than Linux, and over other connections than TCP, all is left to
// the connection below.
package socket

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// Conn is a connection. It may be closed at any time; its reads and read deadlines
// belong to one goroutine, and so do its writes and write deadlines.
type Conn struct {
	net.Conn
	// WriteTimeout is how long each Write may take while no write deadline is set;
	// 0: for ever.
	WriteTimeout time.Duration
	// Turns are those of Exchange.
	Turns *Turns

	raw           syscall.RawConn // nil: all is left to Conn
	readDue       int64
	writeDue      int64
	reads, writes deadline

	// What is under way. The steps are made once, so that no operation allocates.
	in, out             operation
	receive, send, swap func(fd uintptr) bool
	request             []byte // of an Exchange
	sent                bool   // something of it
}

// operation is a read or a write.
type operation struct {
	p       []byte
	n       int
	err     error
	blocked bool  // it has to wait,
	until   int64 // until then; 0: for ever
}

// New makes a Conn of c, which from then on is used through it only.
func New(c net.Conn) *Conn {
	s := &Conn{Conn: c, reads: deadline{set: c.SetReadDeadline}, writes: deadline{set: c.SetWriteDeadline}}
	if tc, ok := c.(*net.TCPConn); ok && byHand {
		if raw, err := tc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	s.receive, s.send, s.swap = s.receiveStep, s.sendStep, s.swapStep
	return s
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.SetReadDue(dueAt(t)) }

// SetReadDue is SetReadDeadline by the clock of Now; 0: never.
func (c *Conn) SetReadDue(due int64) error {
	c.readDue = due
	return c.reads.ensure(due)
}

// SetWriteDeadline implements net.Conn. It takes the place of WriteTimeout.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.SetWriteDue(dueAt(t))
	return nil
}

// SetWriteDue is SetWriteDeadline by the clock of Now; 0: never. A Write that need
// not wait does not look at it.
func (c *Conn) SetWriteDue(due int64) { c.writeDue = due }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		n, err := c.readOnce(p)
		if err == nil || n > 0 || !early(c.readDue, err) {
			return n, err
		}
		if err := c.reads.arm(c.readDue); err != nil {
			return 0, err
		}
	}
}

func (c *Conn) readOnce(p []byte) (int, error) {
	if c.raw == nil || len(p) == 0 {
		return c.Conn.Read(p)
	}
	c.in = operation{p: p}
	return c.received(c.raw.Read(c.receive))
}

// received ends a read by hand. err is the poller's.
func (c *Conn) received(err error) (int, error) {
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

// receiveStep is called by the poller, first at once and then when there may be
// something to read; false: wait for that.
func (c *Conn) receiveStep(fd uintptr) bool {
	var again bool
	c.in.n, again, c.in.err = read(fd, c.in.p)
	return !again
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	c.out = operation{p: p}
	if c.raw == nil {
		if err := c.block(); err != nil {
			return 0, err
		}
	}
	for {
		err := c.writeOnce()
		if err != nil && early(c.out.until, err) {
			err = c.writes.arm(c.out.until)
			if err == nil {
				continue
			}
		}
		n := c.out.n
		c.out = operation{}
		return n, err
	}
}

// writeOnce writes what is left.
func (c *Conn) writeOnce() error {
	if c.raw == nil {
		n, err := c.Conn.Write(c.out.p[c.out.n:])
		c.out.n += n
		return err
	}
	if err := c.raw.Write(c.send); err != nil {
		return err
	}
	return c.out.err
}

// sendStep is called by the poller, first at once and then when there may be room;
// false: wait for that.
func (c *Conn) sendStep(fd uintptr) bool {
	for c.out.n < len(c.out.p) && c.out.err == nil {
		n, again, err := write(fd, c.out.p[c.out.n:])
		if again {
			if err = c.block(); err == nil {
				return false
			}
		}
		c.out.n += n
		c.out.err = err
	}
	return true
}

// block sees to it that a Write that has to wait ends in time.
func (c *Conn) block() error {
	if c.out.blocked {
		return nil
	}
	c.out.blocked, c.out.until = true, c.writeDue
	if c.writeDue == 0 && c.WriteTimeout > 0 {
		c.out.until = Now() + int64(c.WriteTimeout)
	}
	return c.writes.ensure(c.out.until)
}
