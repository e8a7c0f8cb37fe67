package edge

import (
	"crypto/tls"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/socket"
)

// conn is a client's connection. It sees to the time limits of its phases itself,
// since the server would move a deadline and read the clock several times for each
// request.
type conn struct {
	*socket.Conn
	listener *listener
	client   netip.Addr
	secure   bool   // below TLS
	visit    *visit // memory for the requests, which come one after the other

	phase    phase
	answered int64 // when the last request was, by socket.Now; 0: just now
	closing  sync.Once
}

// phase says which limit holds for the next Read.
type phase uint8

const (
	// limited: the deadline that was set last.
	limited phase = iota
	// idle: between two requests, until IdleTimeout has passed.
	idle
	// begun: something of a request has come; what is missing must come within ReadTimeout.
	begun
)

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	var err error
	switch c.phase {
	case idle:
		if c.answered == 0 {
			c.answered = socket.Now()
		}
		err = c.SetReadDue(c.answered + int64(c.listener.idle))
	case begun:
		c.phase = limited
		err = c.SetReadDue(socket.Now() + int64(c.listener.read))
	case limited:
	}
	if err != nil {
		return 0, err
	}
	if c.phase == idle {
		// Whoever is asked at once has mostly nothing yet: after the others had their
		// turn the next request is there, and neither a read in vain nor a wait is needed.
		runtime.Gosched()
	}
	n, err := c.Conn.Read(p)
	if c.phase == idle && n > 0 {
		c.phase = begun
	}
	return n, err
}

// SetReadDeadline implements net.Conn. The deadline holds until the request is answered.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.phase = limited
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.phase = limited
	return c.Conn.SetDeadline(t)
}

// rest makes the connection wait for the next request, from now on; 0: from when
// the server reads again.
func (c *conn) rest(now int64) { c.phase, c.answered = idle, now }

// Close implements net.Conn.
func (c *conn) Close() error {
	c.closing.Do(func() { c.listener.leave(c.client) })
	return c.Conn.Close()
}

// connOf returns the connection of a request.
func connOf(ctx *fasthttp.RequestCtx) *conn {
	c := ctx.Conn()
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	ours, _ := c.(*conn)
	return ours
}

// listener makes the connections that come in conns.
type listener struct {
	net.Listener
	read, idle, write time.Duration
	secure            bool // TLS comes above
	perClient         int  // bounds a client's connections; 0: it does not
	refused           func()

	mu    sync.Mutex
	conns map[netip.Addr]int // open ones, if they are bounded
}

// tooManyConns is all that a client with too many connections is told, which may not
// even speak TLS.
const tooManyConns = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := l.conn(accepted)
		if !l.enter(c.client) {
			l.refused()
			_, _ = accepted.Write([]byte(tooManyConns)) // fits into any new connection's buffer
			_ = accepted.Close()
			continue
		}
		if err := c.SetReadDue(socket.Now() + int64(l.read)); err != nil {
			_ = c.Close() // gone already
			continue
		}
		return c, nil
	}
}

func (l *listener) conn(accepted net.Conn) *conn {
	c := &conn{Conn: socket.New(accepted), listener: l, client: addressOf(accepted), secure: l.secure}
	c.WriteTimeout = l.write
	return c
}

// enter counts a client's new connection, unless it has too many.
func (l *listener) enter(client netip.Addr) bool {
	if l.perClient == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[client] >= l.perClient {
		return false
	}
	l.conns[client]++
	return true
}

func (l *listener) leave(client netip.Addr) {
	if l.perClient == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[client]--; l.conns[client] == 0 {
		delete(l.conns, client)
	}
}

// addressOf returns a client's address; the zero Addr: it has none.
func addressOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
