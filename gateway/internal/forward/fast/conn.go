package fast

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/socket"
)

// conn is a connection to a target. Between exchanges it is idle in its
// target's stack; during one it belongs to one goroutine.
//
// The guard: who takes an idle connection must find it open and with nothing to
// read. Bytes that arrived unasked would be taken for the next request's answer,
// so such a connection is thrown away.
type conn struct {
	net.Conn
	// socket is Conn, or what lies below its TLS.
	socket *socket.Conn
	plain  bool // no TLS
	reused bool
	// idleSince is when the last exchange began.
	idleSince time.Time
	// broken: the upstream stopped reading in the middle of a request's body.
	broken bool
	// dropped: it is closed, and counts no longer.
	dropped bool
	kept    uint // how often it became idle; guarded by target.mu
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
	s := socket.New(below)
	if tlsConfig == nil {
		return &conn{Conn: s, socket: s, plain: true}, nil
	}
	secure := tls.Client(s, tlsConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = below.Close()
		return nil, err
	}
	return &conn{Conn: secure, socket: s}, nil
}

// check reports whether an idle connection is open and quiet. On TLS, bytes in
// the socket count as dirt too: the only legitimate ones, session tickets,
// arrive with the first answer.
func (c *conn) check() bool {
	if !c.socket.Quiet() {
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
