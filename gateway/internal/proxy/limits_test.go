package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// trickle sends text in pieces with pauses, and returns the answer and how long it took.
func trickle(t *testing.T, address, head, body string, piece int, pause time.Duration) (string, time.Duration) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	answered := make(chan string, 1)
	go func() {
		_ = c.SetReadDeadline(start.Add(5 * time.Second))
		b, _ := io.ReadAll(c)
		answered <- string(b)
	}()
	_, _ = io.WriteString(c, head)
	for i := 0; i < len(body); i += piece {
		_, _ = io.WriteString(c, body[i:min(i+piece, len(body))])
		select {
		case got := <-answered:
			return got, time.Since(start)
		case <-time.After(pause):
		}
	}
	return <-answered, time.Since(start)
}

func TestSlowBodies(t *testing.T) {
	var complete atomic.Int64
	address := rawServer(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		complete.Add(1)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	u := upstreamFor(t, nil, "http://"+address)
	u.patience = patience{stall: 300 * time.Millisecond, rate: 80_000}
	g := newGateway(t, u, nil)
	chunked := "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
	long := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", 40_000)
	for name, test := range map[string]struct {
		head, body string
		piece      int
		pause      time.Duration
		want       string
		within     time.Duration
	}{
		"stalls":        {chunked, "5\r\nhello\r\n", 100, time.Second, "request_timeout", 900 * time.Millisecond},
		"stalls, long":  {long, strings.Repeat("x", 20_000), 20_000, time.Second, "request_timeout", 900 * time.Millisecond},
		"trickles":      {chunked, strings.Repeat("1\r\nx\r\n", 100), 6, 50 * time.Millisecond, "request_timeout", 900 * time.Millisecond},
		"fast enough":   {long, strings.Repeat("x", 40_000), 20_000, 20 * time.Millisecond, "200 OK", 3 * time.Second},
		"long, at rate": {long, strings.Repeat("x", 40_000), 5_000, 70 * time.Millisecond, "200 OK", 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			before := complete.Load()
			answer, took := trickle(t, g.address, test.head, test.body, test.piece, test.pause)
			if !strings.Contains(answer, test.want) || took > test.within {
				t.Errorf("after %v, want %q within %v:\n%s", took, test.want, test.within, answer)
			}
			if through := complete.Load() > before; through != (test.want == "200 OK") {
				t.Errorf("the upstream got all of it: %v", through)
			}
		})
	}
}

// A client that does not take its answer loses it, and the upstream's connection
// is free again.
func TestSlowReaders(t *testing.T) {
	ended := make(chan struct{})
	address := rawServer(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 1<<30)
		piece := make([]byte, 1<<20)
		for {
			if _, err := c.Write(piece); err != nil {
				close(ended)
				return
			}
		}
	})
	u := upstreamFor(t, nil, "http://"+address)
	u.patience.stall = 200 * time.Millisecond
	g := newGateway(t, u, nil)
	c, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(3 * time.Second):
		t.Error("the upstream is still sending")
	}
}

// What an upstream sends has its bounds, too.
func TestAnswersOutOfBounds(t *testing.T) {
	answers := map[string]string{
		"/header":  "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", responseHeaderSize) + "\r\nContent-Length: 2\r\n\r\nok",
		"/interim": strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim+1) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"/few":     strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim-1) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"/old":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("100000\r\n"+strings.Repeat("x", 1<<20)+"\r\n", 9) + "0\r\n\r\n",
		"/trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: " + strings.Repeat("a", maxTrailer+10) + "\r\n\r\n",
	}
	address := rawServer(t, func(c net.Conn) {
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, answers[r.URL.Path])
		}
	})
	g := newGateway(t, upstreamFor(t, &pb.Upstream{}, "http://"+address), nil)
	for path, want := range map[string]string{"header": "upstream_unreachable", "interim": "upstream_unreachable", "few": "\r\n\r\nok"} {
		wantContains(t, get(t, g, "GET /"+path+" HTTP/1.1\r\nHost: a\r\n"), want)
	}
	wantContains(t, raw(t, g.address, "GET /old HTTP/1.0\r\n\r\n"), "upstream_unreachable")
	if got := get(t, g, "GET /trailer HTTP/1.1\r\nHost: a\r\n"); strings.HasSuffix(got, "0\r\n\r\n") {
		t.Errorf("it looks complete:\n%s", got)
	}
}

func TestSandboxTargets(t *testing.T) {
	production, _ := echo(t)
	sandbox, _ := echo(t)
	settings := &pb.Upstream{SandboxTargets: []*pb.Target{{Url: sandbox + "/sandbox"}}}
	u := upstreamFor(t, settings, production)
	inSandbox := false
	g := newGateway(t, u, func(f *Forward) { f.Sandbox = inSandbox })
	if !u.HasSandbox() || upstreamFor(t, nil, production).HasSandbox() {
		t.Error("HasSandbox")
	}
	for range 2 {
		got := get(t, g, "GET /x HTTP/1.1\r\nHost: a\r\n")
		want := "GET /x HTTP/1.1\r\nHost: " + strings.TrimPrefix(production, "http://")
		if inSandbox {
			want = "GET /sandbox/x HTTP/1.1\r\nHost: " + strings.TrimPrefix(sandbox, "http://")
		}
		wantContains(t, got, want)
		inSandbox = true
	}
}
