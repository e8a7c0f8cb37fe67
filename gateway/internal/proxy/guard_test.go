package proxy

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/portcullis-gateway/portcullis/gateway/internal/socket"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// poisoner answers every request, and then sends a second answer unasked: with
// the first in one piece, or a moment later.
func poisoner(c net.Conn) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	br := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.URL.Path), req.URL.Path)
		if req.Header.Get("X-At-Once") != "" {
			_, _ = io.WriteString(c, answer+poison)
			continue
		}
		_, _ = io.WriteString(c, answer)
		_, _ = io.WriteString(c, poison)
	}
}

// The answer to one request must never be given to the next: an upstream that
// sends more than was asked for loses its connection.
func TestNoAnswerReachesAnotherRequest(t *testing.T) {
	certificate := testCertificate(t)
	plain := rawServer(t, poisoner)
	secure := rawServer(t, func(c net.Conn) { poisoner(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}})) })
	for name, url := range map[string]string{"plain": "http://" + plain, "tls": "https://" + secure} {
		t.Run(name, func(t *testing.T) {
			u := upstreamFor(t, &pb.Upstream{Tls: &pb.UpstreamTls{InsecureSkipVerify: true}}, url)
			g := newGateway(t, u, nil)
			poisoned := 0
			for i := range 50 {
				body := strings.Repeat("x", 10+i%2*20_000) // armed, and streamed
				at := ""
				if i%3 == 0 {
					at = "X-At-Once: 1\r\n"
				}
				got := raw(t, g.address, fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", i, at, len(body), body))
				if !strings.HasSuffix(got, fmt.Sprintf("\r\n\r\n/%d", i)) {
					poisoned++
					t.Logf("request %d got %q", i, got)
				}
				if at == "" {
					time.Sleep(10 * time.Millisecond) // let the unasked bytes arrive
				}
			}
			if poisoned > 0 {
				t.Errorf("%d of 50 requests got another's answer", poisoned)
			}
		})
	}
}

// An upstream closes its idle connections without a word: no request, not even
// a POST, may fail by that, nor be sent twice.
func TestStaleConnections(t *testing.T) {
	var served atomic.Int64
	address := rawServer(t, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		served.Add(1)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	g := newGateway(t, upstreamFor(t, nil, "http://"+address), nil)
	for i := range 50 {
		body := strings.Repeat("x", 10+i%2*20_000)
		got := raw(t, g.address, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body))
		wantContains(t, got, "HTTP/1.1 200")
		time.Sleep(time.Millisecond) // let the end arrive
	}
	if n := served.Load(); n != 50 {
		t.Errorf("upstream served %d requests, want 50", n)
	}
}

// A request of which something was sent is never sent again.
func TestNoBlindRetry(t *testing.T) {
	var seen atomic.Int64
	address := rawServer(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for i := 0; ; i++ {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if req.URL.Path == "/die" {
				seen.Add(1)
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	u := upstreamFor(t, nil, "http://"+address, "http://"+address)
	g := newGateway(t, u, nil)
	for _, method := range []string{"GET", "PUT"} {
		seen.Store(0)
		wantContains(t, get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n"), "200") // there is an idle connection
		wantContains(t, get(t, g, method+" /die HTTP/1.1\r\nHost: a\r\n"), "502")
		if n := seen.Load(); n != 1 {
			t.Errorf("%s was sent %d times", method, n)
		}
	}
}

func TestFailover(t *testing.T) {
	url, _ := echo(t)
	closed := closedAddress(t)
	u := upstreamFor(t, nil, "http://"+closed, url)
	g := newGateway(t, u, nil)
	for range 6 {
		wantContains(t, get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n"), "HTTP/1.1 200")
		wantContains(t, raw(t, g.address, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "HTTP/1.1 200", "abc")
	}
	if !u.production.servers[0].down(socket.Now()) {
		t.Error("the target that cannot be reached is not avoided")
	}
}

func closedAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestWeights(t *testing.T) {
	for _, test := range []struct {
		weights []uint32
		want    string
	}{
		{[]uint32{1}, "0"},
		{[]uint32{5, 1, 1}, "0010200"},
		{[]uint32{2, 2}, "01"},
		{[]uint32{100, 300}, "1011"},
		{[]uint32{0, 0}, ""},
	} {
		got := ""
		for _, i := range schedule(test.weights) {
			got += fmt.Sprint(i)
		}
		if got != test.want {
			t.Errorf("schedule(%v) = %s, want %s", test.weights, got, test.want)
		}
	}
	if n := len(schedule([]uint32{1, 4_000_000_000})); n > maxSchedule+2 {
		t.Errorf("a schedule of %d steps", n)
	}
}

func TestZeroWeightGetsNothing(t *testing.T) {
	url, _ := echo(t)
	zero := uint32(0)
	g := newGateway(t, upstreamFor(t, &pb.Upstream{Targets: []*pb.Target{{Url: "http://" + closedAddress(t), Weight: &zero}}}, url), nil)
	for range 4 {
		wantContains(t, get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n"), "200")
	}
}

// A connection on which more came than was asked for is not used again, even if
// all of it was read.
func TestSurplusBytesEndTheConnection(t *testing.T) {
	var connections atomic.Int64
	address := rawServer(t, func(c net.Conn) { connections.Add(1); poisoner(c) })
	g := newGateway(t, upstreamFor(t, nil, "http://"+address), nil)
	for range 3 {
		wantContains(t, get(t, g, "GET /x HTTP/1.1\r\nHost: a\r\nX-At-Once: 1\r\n"), "200")
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

func testCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.StartTLS()
	defer s.Close()
	return s.TLS.Certificates[0]
}

func TestTLSUpstream(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "secure "+r.RemoteAddr)
	}))
	t.Cleanup(s.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	for name, test := range map[string]struct {
		tls  *pb.UpstreamTls
		want string
	}{
		"trusted":       {&pb.UpstreamTls{CaPem: ca, ServerName: "example.com"}, "200 OK"},
		"skip":          {&pb.UpstreamTls{InsecureSkipVerify: true}, "200 OK"},
		"untrusted":     {nil, "502"},
		"another name":  {&pb.UpstreamTls{CaPem: ca, ServerName: "other.test"}, "502"},
		"system's only": {&pb.UpstreamTls{ServerName: "example.com"}, "502"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, upstreamFor(t, &pb.Upstream{Tls: test.tls}, s.URL), nil)
			first := get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n")
			wantContains(t, first, test.want)
			if test.want != "200 OK" {
				return
			}
			if _, from, _ := strings.Cut(first, "secure "); !strings.Contains(get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n"), from) {
				t.Error("the connection was not used again")
			}
		})
	}
}

// An upstream that answers before it has read the body is heard.
func TestEarlyAnswer(t *testing.T) {
	address := rawServer(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop")
		if tc, ok := c.(*net.TCPConn); ok {
			_ = tc.CloseWrite()
			_ = tc.CloseRead()
		}
		time.Sleep(200 * time.Millisecond)
	})
	g := newGateway(t, upstreamFor(t, &pb.Upstream{ResponseTimeout: durationpb.New(3 * time.Second)}, "http://"+address), nil)
	body := strings.Repeat("x", 4<<20)
	c, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	line, _ := bufio.NewReader(c).ReadString('\n')
	if !strings.Contains(line, "403") && !strings.Contains(line, "502") {
		t.Errorf("got %q", line)
	}
}

func TestClientThatGoesAwayEndsTheUpstreamRequest(t *testing.T) {
	ended := make(chan error, 1)
	address := rawServer(t, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil {
			_, err = io.Copy(io.Discard, req.Body)
		}
		ended <- err
	})
	g := newGateway(t, upstreamFor(t, nil, "http://"+address), nil)
	c, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc")
	time.Sleep(50 * time.Millisecond)
	_ = c.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the upstream was told that the truncated body is complete")
		}
	case <-time.After(5 * time.Second):
		t.Error("the upstream still waits")
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	url, _ := echo(t)
	u := upstreamFor(t, nil, url)
	g := newGateway(t, u, nil)
	get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n")
	target := u.production.servers[0].target
	target.mu.Lock()
	for _, c := range target.idle {
		c.idleSince -= int64(maxIdleTime)
	}
	n := len(target.idle)
	target.mu.Unlock()
	target.closeIdle()
	if n != 1 || len(target.idle) != 0 || target.open != 0 {
		t.Errorf("had %d idle connections, now %d; open: %d", n, len(target.idle), target.open)
	}
}

// The time that connecting to a dead target takes is not taken from the others.
func TestResponseTimeoutBeginsAfterConnecting(t *testing.T) {
	url, _ := echo(t)
	silent := rawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }) // no TLS handshake ever ends
	g := newGateway(t, upstreamFor(t, &pb.Upstream{
		ConnectTimeout: durationpb.New(300 * time.Millisecond), ResponseTimeout: durationpb.New(200 * time.Millisecond),
	}, "https://"+silent, url), nil)
	for range 2 { // one of them begins with the silent one
		wantContains(t, get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n"), "HTTP/1.1 200")
	}
}

// Requests that end their client's connection in all ways leave the target's
// count of connections right.
func TestConnectionCount(t *testing.T) {
	url, _ := echo(t)
	u := upstreamFor(t, nil, url)
	g := newGateway(t, u, nil)
	for range 3 {
		get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n")
		raw(t, g.address, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxx\r\n")
	}
	target := u.production.servers[0].target
	target.mu.Lock()
	defer target.mu.Unlock()
	if target.open != len(target.idle) {
		t.Errorf("%d open, %d idle", target.open, len(target.idle))
	}
}
