package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is a connection to a target. Between exchanges it is idle in its
// target's stack; during one it belongs to one goroutine.
//
// The guard: whoever takes an idle connection must find it open and with
// nothing to read. Bytes that arrived unasked would be taken for the next
// request's answer, so such a connection is thrown away.
type conn struct {
	net.Conn
	// raw is the TCP connection below; nil if it has none.
	raw syscall.RawConn
	// plain: no TLS, so that reads may go to the descriptor directly.
	plain     bool
	reused    bool
	idleSince time.Time
	// broken: the upstream stopped reading in the middle of a request's body.
	broken bool

	// State of the armed read, see arm.
	send []byte
	into []byte
	n    int
	err  error
	sent bool
	step func(fd uintptr) bool
	// State of the check outside a read.
	clean bool
	probe func(fd uintptr)
}

func newConn(nc net.Conn, below net.Conn) *conn {
	c := &conn{Conn: nc, plain: nc == below}
	if sc, ok := below.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	c.step = c.exchange
	c.probe = func(fd uintptr) { c.clean = quiet(fd) }
	return c
}

// dial connects to a target within timeout, TLS handshake included.
func dial(address string, tlsConfig *tls.Config, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	d := net.Dialer{KeepAlive: 30 * time.Second}
	below, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if tlsConfig == nil {
		return newConn(below, below), nil
	}
	secure := tls.Client(below, tlsConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = below.Close()
		return nil, err
	}
	return newConn(secure, below), nil
}

// check reports whether an idle connection is open and quiet. On TLS, bytes in
// the socket count as dirt too: the only legitimate ones, session tickets,
// arrive with the first answer.
func (c *conn) check() bool {
	if c.raw == nil {
		return true
	}
	c.clean = false
	if err := c.raw.Control(c.probe); err != nil || !c.clean {
		return false
	}
	if c.plain {
		return true
	}
	// What TLS has already taken from the socket is read without touching it.
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return false
	}
	var b [1]byte
	n, err := c.Read(b[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// canArm reports whether arm may be used.
func (c *conn) canArm() bool { return c.plain && c.raw != nil && canReadRaw }

// answersEarly reports whether err says that the upstream took no more of a
// request's body. It may have answered before that, which then counts; the
// connection is good for nothing else.
func (c *conn) answersEarly(err error) bool {
	if !errors.Is(err, errBodyRefused) || c.SetReadDeadline(time.Now().Add(earlyAnswer)) != nil {
		return false
	}
	c.broken = true
	return true
}

// arm makes the next Read check the connection, send request, and wait for the
// answer in one go. The check takes the place of the read that Go's poller
// would try in vain before it parks, so the guard costs no system call
// (BenchmarkForward).
func (c *conn) arm(request []byte) {
	c.send, c.sent = request, false
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	if c.send == nil {
		return c.Conn.Read(p)
	}
	c.into, c.n, c.err = p, 0, nil
	err := c.raw.Read(c.step)
	c.send, c.into = nil, nil
	if err != nil {
		return 0, err
	}
	if c.n == 0 && c.err == nil {
		return 0, io.EOF
	}
	return c.n, c.err
}

// exchange is called by the poller, first at once and then when there may be
// something to read; false: wait for that.
func (c *conn) exchange(fd uintptr) bool {
	if !c.sent {
		if !quiet(fd) {
			c.err = errStale
			return true
		}
		n, err := c.Write(c.send)
		c.sent = n > 0
		if err != nil {
			c.err = err
			return true
		}
		return false
	}
	n, again, err := readRaw(fd, c.into)
	if again {
		return false
	}
	c.n, c.err = n, err
	return true
}
