package front

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// benchFields is what an API client sends: 9 fields, one of them a token of 629 bytes.
var benchFields = "Host: api.example\r\nUser-Agent: client/1.0\r\nAccept: application/json\r\n" +
	"Accept-Encoding: gzip\r\nX-Correlation: 4711\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n" +
	"Authorization: Bearer " + strings.Repeat("t", 629) + "\r\n"

// BenchmarkParse brings what an HTTP stack has read into the form that is decided on.
func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name, more string
		trusted    []netip.Prefix
		want       error
	}{
		{"client", "", nil, nil},
		{"trusted proxy", "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil},
		{"refused", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", nil, denial.BadRequest},
	} {
		b.Run(c.name, func(b *testing.B) {
			core, err := NewCore(Config{Trusted: c.trusted})
			if err != nil {
				b.Fatal(err)
			}
			raw := &Raw{
				Protocol: exchange.HTTP11, Method: []byte("GET"), Target: []byte("/orders/1?expand=lines"),
				Header: []byte(benchFields + c.more), Address: netip.MustParseAddr("192.0.2.7"),
			}
			call := new(Call)
			once := func() {
				core.Begin(call)
				if err := core.Parse(call, raw); !errors.Is(err, c.want) {
					b.Fatal(err)
				}
				core.End(call)
			}
			once()
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}

// discard is an answer to nobody.
type discard struct{}

func (discard) Head(*exchange.Head)         {}
func (discard) Bytes([]byte)                {}
func (discard) Stream(io.ReadCloser) error  { return nil }
func (discard) Hijack(func(net.Conn)) error { return nil }

// BenchmarkDenial makes a denial the answer, in each format.
func BenchmarkDenial(b *testing.B) {
	write := func(name string, d *denial.Denial, decision pipeline.Decision) {
		b.Run(name, func(b *testing.B) {
			call := &Call{Decision: decision}
			call.Exchange.Answer = discard{}
			writeDenial(call, d)
			b.ReportAllocs()
			for b.Loop() {
				writeDenial(call, d)
			}
		})
	}
	for number, name := range pb.Api_ErrorFormat_name {
		write(name, denial.InvalidToken, pipeline.Decision{Api: &pipeline.Api{Format: pb.Api_ErrorFormat(number)}})
	}
	write("with metadata", denial.MissingCredentials, pipeline.Decision{Api: &pipeline.Api{ResourceMetadata: "https://api.example/.well-known/x"}})
	write("method not allowed", denial.MethodNotAllowed, pipeline.Decision{Allow: []string{"GET", "HEAD"}})
}

// BenchmarkMetrics counts an answer.
func BenchmarkMetrics(b *testing.B) {
	m := newMetrics(nil)
	api := &pipeline.Api{ID: "orders"}
	m.answered(api, http.StatusOK, time.Millisecond)
	m.refuse(nil, denial.InvalidToken)
	b.Run("answered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.answered(api, http.StatusOK, time.Millisecond)
		}
	})
	b.Run("denied", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.refuse(nil, denial.InvalidToken)
		}
	})
	b.Run("answered parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				m.answered(api, http.StatusOK, time.Millisecond)
			}
		})
	})
}

func BenchmarkRequestID(b *testing.B) {
	ids, id := newIDs(), [idLength]byte{}
	b.ReportAllocs()
	for b.Loop() {
		ids.next(&id)
	}
}
