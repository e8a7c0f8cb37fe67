package forwardtest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// What an upstream sends has its bounds, too.
func (s suite) answersOutOfBounds(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	answers := map[string]string{
		"/header":  "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 2*forward.MaxHeader) + "\r\nContent-Length: 2\r\n\r\nok",
		"/interim": strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", forward.MaxInterim+1) + ok,
		"/few":     strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", forward.MaxInterim-1) + ok,
		"/trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: " + strings.Repeat("a", 9<<10) + "\r\n\r\n",
	}
	address := RawServer(t, func(c net.Conn) {
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, answers[r.URL.Path])
		}
	})
	g := s.gateway(t, nil, "http://"+address)
	for path, want := range map[string]string{"header": "upstream_unreachable", "interim": "upstream_unreachable", "few": "\r\n\r\nok"} {
		wantContains(t, g.Get(t, "GET /"+path+" HTTP/1.1\r\nHost: a\r\n"), want)
	}
	if got := g.Get(t, "GET /trailer HTTP/1.1\r\nHost: a\r\n"); !strings.HasSuffix(got, Cut) && !strings.Contains(got, "502") {
		t.Errorf("it looks complete:\n%.200s", got)
	}
}

// An upstream may stall neither within a short body nor within a long one.
func (s suite) answersThatStall(t *testing.T) {
	address := RawServer(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		head := "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
		if r.URL.Path == "/long" {
			head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc"
		}
		_, _ = io.WriteString(c, head)
		_, _ = io.Copy(io.Discard, c)
	})
	g := s.gateway(t, &pb.Upstream{ResponseTimeout: durationpb.New(100 * time.Millisecond)}, "http://"+address)
	within(t, 2*time.Second, func() {
		wantContains(t, g.Get(t, "GET /short HTTP/1.1\r\nHost: a\r\n"), "504", "upstream_timeout")
		wantContains(t, g.Get(t, "GET /long HTTP/1.1\r\nHost: a\r\n"), "200", Cut)
	})
}

func (s suite) sandboxTargets(t *testing.T) {
	production, _ := Echo(t)
	sandbox, _ := Echo(t)
	u := s.upstream(t, &pb.Upstream{SandboxTargets: []*pb.Target{{Url: sandbox + "/sandbox"}}}, production)
	inSandbox := false
	g := NewGateway(u, func(f *exchange.Forward) { f.Sandbox = inSandbox })
	if !u.HasSandbox() || s.upstream(t, nil, production).HasSandbox() {
		t.Error("HasSandbox")
	}
	for range 2 {
		got := g.Get(t, "GET /x HTTP/1.1\r\nHost: a\r\n")
		want := "GET /x HTTP/1.1\r\nHost: " + strings.TrimPrefix(production, "http://")
		if inSandbox {
			want = "GET /sandbox/x HTTP/1.1\r\nHost: " + strings.TrimPrefix(sandbox, "http://")
		}
		wantContains(t, got, want)
		inSandbox = true
	}
}
