package fast

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/forwardtest"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func TestForwarder(t *testing.T) {
	forwardtest.Run(t, func() forwardtest.Forwarder { return NewPool() })
}

func open(t *testing.T, pool *Pool, url string) (*Upstream, *forwardtest.Gateway) {
	t.Helper()
	t.Cleanup(pool.Close)
	u := pool.Upstream(forwardtest.Settings(t, &pb.Upstream{Targets: []*pb.Target{{Url: url}}}))
	return u, forwardtest.NewGateway(u, nil)
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n"

func TestConnectionsAreReused(t *testing.T) {
	url, connections := forwardtest.Echo(t)
	pool := NewPool()
	for range 3 { // a recompiled Upstream keeps the connections
		_, g := open(t, pool, url)
		for range 3 {
			g.Get(t, get)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestTLSConnectionsAreReused(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }))
	t.Cleanup(s.Close)
	pool := NewPool()
	t.Cleanup(pool.Close)
	u := pool.Upstream(forwardtest.Settings(t, &pb.Upstream{Targets: []*pb.Target{{Url: s.URL}}, Tls: &pb.UpstreamTls{InsecureSkipVerify: true}}))
	g := forwardtest.NewGateway(u, nil)
	body := func() string {
		_, body, _ := strings.Cut(g.Get(t, get), "\r\n\r\n")
		return body
	}
	if first, second := body(), body(); first == "" || first != second {
		t.Errorf("connections from %q and %q", first, second)
	}
}

// A connection on which more came than was asked for is not used again, even if
// all of it was read.
func TestSurplusBytesEndTheConnection(t *testing.T) {
	var connections atomic.Int32
	address := forwardtest.RawServer(t, func(c net.Conn) {
		connections.Add(1)
		br := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
			_, _ = io.WriteString(c, answer+answer)
		}
	})
	_, g := open(t, NewPool(), "http://"+address)
	for range 3 {
		g.Get(t, get)
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	url, _ := forwardtest.Echo(t)
	u, g := open(t, NewPool(), url)
	g.Get(t, get)
	target := u.production.Targets()[0].target
	target.mu.Lock()
	for _, c := range target.idle {
		c.idleSince = c.idleSince.Add(-maxIdleTime)
	}
	n := len(target.idle)
	target.mu.Unlock()
	target.closeIdle()
	if n != 1 || len(target.idle) != 0 || target.open != 0 {
		t.Errorf("had %d idle connections, now %d; open: %d", n, len(target.idle), target.open)
	}
}

// Exchanges that end in all ways leave the target's count of connections right.
func TestConnectionCount(t *testing.T) {
	address := forwardtest.RawServer(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			length, sent := 2, 2
			switch r.URL.Path {
			case "/long":
				length, sent = 100_000, 100_000
			case "/cut":
				length, sent = 100_000, 3
			case "/nothing":
				return
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", length)
			_, _ = c.Write(make([]byte, sent))
			if sent < length {
				return
			}
		}
	})
	u, g := open(t, NewPool(), "http://"+address)
	for range 3 {
		for _, path := range []string{"/", "/long", "/cut", "/nothing"} {
			g.Get(t, "GET "+path+" HTTP/1.1\r\nHost: a\r\n")
		}
	}
	target := u.production.Targets()[0].target
	target.mu.Lock()
	defer target.mu.Unlock()
	if target.open != len(target.idle) {
		t.Errorf("%d open, %d idle", target.open, len(target.idle))
	}
}

// clumsy is an answer whose front panics.
type clumsy struct{ exchange.Answer }

func (clumsy) Head(*exchange.Head) { panic("clumsy") }

// A panic on the way leaves no connection behind that counts.
func TestPanicsLeaveNoConnections(t *testing.T) {
	url, _ := forwardtest.Echo(t)
	u, g := open(t, NewPool(), url)
	g.Get(t, get) // which leaves one idle connection
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			x := &exchange.Exchange{
				Request: request.Request{Method: []byte("GET"), Path: []byte("/"), Header: new(request.Block)},
				Fields:  new(request.Block), Protocol: exchange.HTTP11, Length: exchange.NoBody, Answer: clumsy{},
			}
			_ = u.Send(x, &exchange.Forward{To: u, Path: []byte("/")})
		}()
	}
	target := u.production.Targets()[0].target
	target.mu.Lock()
	defer target.mu.Unlock()
	if target.open != 0 || len(target.idle) != 0 {
		t.Errorf("%d open, %d idle", target.open, len(target.idle))
	}
}

// Names go on as they came, and a chunked body that is there goes on in one piece.
func TestAnswersGoOnAsTheyCame(t *testing.T) {
	address := forwardtest.RawServer(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nx-lower: 1\r\nETag: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
		}
	})
	_, g := open(t, NewPool(), "http://"+address)
	const want = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx-lower: 1\r\nETag: a\r\n\r\nabcde"
	if got := g.Get(t, get); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A target that could not be reached is avoided for a moment.
func TestUnreachableTargetIsDown(t *testing.T) {
	u, g := open(t, NewPool(), "http://127.0.0.1:1")
	g.Get(t, get)
	target := u.production.Targets()[0]
	if now := time.Now(); !target.Down(now) || target.Down(now.Add(downTime)) {
		t.Errorf("down now: %t, after %s: %t", target.Down(now), downTime, target.Down(now.Add(downTime)))
	}
}
