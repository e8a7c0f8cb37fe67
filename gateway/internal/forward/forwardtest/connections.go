package forwardtest

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
func (s suite) noAnswerReachesAnotherRequest(t *testing.T) {
	certificate := testCertificate(t)
	plain := RawServer(t, poisoner)
	secure := RawServer(t, func(c net.Conn) { poisoner(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}})) })
	for name, url := range map[string]string{"plain": "http://" + plain, "tls": "https://" + secure} {
		t.Run(name, func(t *testing.T) {
			u := s.upstream(t, &pb.Upstream{Tls: &pb.UpstreamTls{InsecureSkipVerify: true}}, url)
			g := NewGateway(u, nil)
			poisoned := 0
			for i := range 50 {
				body := strings.Repeat("x", 10+i%2*20_000) // armed, and streamed
				at := ""
				if i%3 == 0 {
					at = "X-At-Once: 1\r\n"
				}
				got := g.Send(t, fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", i, at, len(body), body))
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
func (s suite) staleConnections(t *testing.T) {
	var served atomic.Int64
	address := RawServer(t, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		served.Add(1)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	g := s.gateway(t, nil, "http://"+address)
	for i := range 50 {
		body := strings.Repeat("x", 10+i%2*20_000)
		got := g.Send(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body))
		wantContains(t, got, "HTTP/1.1 200")
		time.Sleep(time.Millisecond) // let the end arrive
	}
	if n := served.Load(); n != 50 {
		t.Errorf("upstream served %d requests, want 50", n)
	}
}

// A request of which something was sent is never sent again.
func (s suite) noBlindRetry(t *testing.T) {
	var seen atomic.Int64
	address := RawServer(t, func(c net.Conn) {
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
	u := s.upstream(t, nil, "http://"+address, "http://"+address)
	g := NewGateway(u, nil)
	for _, method := range []string{"GET", "PUT"} {
		seen.Store(0)
		wantContains(t, g.Get(t, "GET / HTTP/1.1\r\nHost: a\r\n"), "200") // there is an idle connection
		wantContains(t, g.Get(t, method+" /die HTTP/1.1\r\nHost: a\r\n"), "502")
		if n := seen.Load(); n != 1 {
			t.Errorf("%s was sent %d times", method, n)
		}
	}
}

func (s suite) failover(t *testing.T) {
	url, _ := Echo(t)
	closed := closedAddress(t)
	u := s.upstream(t, nil, "http://"+closed, url)
	g := NewGateway(u, nil)
	for range 6 {
		wantContains(t, g.Get(t, "GET / HTTP/1.1\r\nHost: a\r\n"), "HTTP/1.1 200")
		wantContains(t, g.Send(t, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "HTTP/1.1 200", "abc")
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

func (s suite) zeroWeightGetsNothing(t *testing.T) {
	url, _ := Echo(t)
	zero := uint32(0)
	g := s.gateway(t, &pb.Upstream{Targets: []*pb.Target{{Url: "http://" + closedAddress(t), Weight: &zero}}}, url)
	for range 4 {
		wantContains(t, g.Get(t, "GET / HTTP/1.1\r\nHost: a\r\n"), "200")
	}
}

func testCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.StartTLS()
	defer s.Close()
	return s.TLS.Certificates[0]
}

func (s suite) tLSUpstream(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "secure")
	}))
	t.Cleanup(server.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
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
			g := s.gateway(t, &pb.Upstream{Tls: test.tls}, server.URL)
			for range 2 {
				wantContains(t, g.Get(t, "GET / HTTP/1.1\r\nHost: a\r\n"), test.want)
			}
		})
	}
}

// An upstream that answers before it has read the body is heard.
func (s suite) earlyAnswer(t *testing.T) {
	address := RawServer(t, func(c net.Conn) {
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
	g := s.gateway(t, &pb.Upstream{ResponseTimeout: durationpb.New(3 * time.Second)}, "http://"+address)
	body := strings.Repeat("x", 4<<20)
	got := g.Send(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	if !strings.Contains(got, "403") && !strings.Contains(got, "502") {
		t.Errorf("got %q", got)
	}
}

func (s suite) clientThatGoesAwayEndsTheUpstreamRequest(t *testing.T) {
	ended := make(chan error, 1)
	address := RawServer(t, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil {
			_, err = io.Copy(io.Discard, req.Body)
		}
		ended <- err
	})
	g := s.gateway(t, nil, "http://"+address)
	g.truncated = true
	wantContains(t, g.Send(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc"), "400")
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the upstream was told that the truncated body is complete")
		}
	case <-time.After(5 * time.Second):
		t.Error("the upstream still waits")
	}
}

// The time that connecting to a dead target takes is not taken from the others.
func (s suite) responseTimeoutBeginsAfterConnecting(t *testing.T) {
	url, _ := Echo(t)
	silent := RawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }) // no TLS handshake ever ends
	g := NewGateway(s.upstream(t, &pb.Upstream{
		ConnectTimeout: durationpb.New(300 * time.Millisecond), ResponseTimeout: durationpb.New(200 * time.Millisecond),
	}, "https://"+silent, url), nil)
	for range 2 { // one of them begins with the silent one
		wantContains(t, g.Get(t, "GET / HTTP/1.1\r\nHost: a\r\n"), "HTTP/1.1 200")
	}
}
