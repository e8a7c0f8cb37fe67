package fast

import (
	"bufio"
	"net/netip"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/forwardtest"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/header"
)

// benchBlock is what an API client sends: 8 fields, one of them a token of 629 bytes.
var benchBlock = "Host: api.example\r\nUser-Agent: client/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n" +
	"Cookie: theme=dark; session=7f9c2b6e11aa4fd3; consent=all\r\nX-Correlation: 4711\r\n" +
	"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nAuthorization: Bearer " + strings.Repeat("t", 629) + "\r\n\r\n"

// BenchmarkHead builds the request line and header section for the upstream.
func BenchmarkHead(b *testing.B) {
	pool := NewPool()
	defer pool.Close()
	u := pool.Upstream(forwardtest.Settings(b, &pb.Upstream{Targets: []*pb.Target{{Url: "http://10.0.0.7:8080/backend"}}}))
	bearer := compile.Location{Header: "Authorization"}
	set := []exchange.HeaderValue{{Name: "X-User-Id", Value: "user-4711"}, {Name: "X-Org", Value: "Acme Ltd"}, {Name: "X-Jwt-Assertion", Value: strings.Repeat("j", 700)}}
	for _, c := range []struct {
		name, extra string
		forward     exchange.Forward
	}{
		{"bearer token", "", exchange.Forward{Credential: bearer}},
		{"headers set", "", exchange.Forward{Credential: bearer, Set: set, Strip: header.NewNames("X-User-Id", "X-Org", "X-Jwt-Assertion")}},
		{"key in the query", "", exchange.Forward{Credential: compile.Location{Query: "api_key"}}},
		{"token in a cookie", "", exchange.Forward{Credential: compile.Location{Cookie: "session"}}},
		{"connection names a field", "Connection: x-correlation\r\n", exchange.Forward{Credential: bearer}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var block request.Block
			if err := block.Parse([]byte(c.extra + benchBlock)); err != nil {
				b.Fatal(err)
			}
			x := &exchange.Exchange{
				Request: request.Request{Method: []byte("GET"), Address: netip.MustParseAddr("192.0.2.7")},
				Fields:  &block, Length: exchange.NoBody, ID: []byte("0123456789abcdef01234567"),
			}
			f := c.forward
			f.Path, f.Rest, f.Query = []byte("/orders/v1/items/4711"), len("/orders"), []byte("expand=lines&api_key=7f9c2b6e")
			dst := make([]byte, 0, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				if err := u.Check(x, &f); err != nil {
					b.Fatal(err)
				}
				dst = u.appendHead(dst[:0], u.production.Targets()[0], x, &f)
			}
		})
	}
}

// BenchmarkAnswer reads an upstream's header section and cleans it. Reading is
// fasthttp's, and part of it because cleaning undoes what it has read.
func BenchmarkAnswer(b *testing.B) {
	const plain = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Fri, 15 Mar 2030 10:00:00 GMT\r\nServer: app/7\r\n" +
		"Cache-Control: private\r\nETag: \"4711\"\r\nX-Powered-By: app\r\nContent-Length: 0\r\n"
	for _, c := range []struct{ name, head string }{
		{"plain", plain + "\r\n"},
		{"keep-alive", plain + "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n"},
		{"connection names a field", plain + "Connection: x-powered-by\r\n\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			text := strings.NewReader(c.head)
			br := bufio.NewReader(text)
			m := new(scratch)
			read := func() {
				text.Reset(c.head)
				br.Reset(text)
				if err := readHeader(br, &m.header); err != nil {
					b.Fatal(err)
				}
				m.head.Fields = m.cleanFields()
				if m.header.ConnectionClose() || len(m.head.Fields) == 0 {
					b.Fatal("not reusable, or empty")
				}
			}
			read()
			b.ReportAllocs()
			for b.Loop() {
				read()
			}
		})
	}
}

// BenchmarkOrder chooses among weighted targets.
func BenchmarkOrder(b *testing.B) {
	pool := NewPool()
	defer pool.Close()
	u := pool.Upstream(forwardtest.Settings(b, &pb.Upstream{Targets: []*pb.Target{{Url: "http://10.0.0.7"}, {Url: "http://10.0.0.8"}, {Url: "http://10.0.0.9"}}}))
	b.ReportAllocs()
	for b.Loop() {
		u.production.Order(func(*server) bool { return false })
	}
}
