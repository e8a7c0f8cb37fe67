package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/proxy"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// benchHead is what an API client sends: 9 fields, one of them a token of 629 bytes.
const benchHead = "GET /orders/1?expand=lines HTTP/1.1\r\nHost: api.example\r\nUser-Agent: client/1.0\r\nAccept: application/json\r\n" +
	"Accept-Encoding: gzip\r\nX-Correlation: 4711\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nAuthorization: Bearer "

// BenchmarkForward compares a Server whose requests are decided by nobody with a
// proxy that fasthttp passes everything straight through. Both run as processes
// of their own; gateway-cpu-ns/op is what their process took. Interleave, and
// compare medians:
//
//	go test -run - -bench Forward -benchtime 50000x -count 6 ./gateway/internal/edge
func BenchmarkForward(b *testing.B) {
	upstream := listen(b, &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.SetContentType("application/json")
			ctx.Response.SetBodyString(answer)
		},
	})
	for _, kind := range []string{"bare", "ours"} {
		b.Run(kind, func(b *testing.B) {
			address, stop := process(b, kind, upstream)
			benchmark(b, address)
			b.StopTimer()
			b.ReportMetric(float64(stop())/float64(b.N), "gateway-cpu-ns/op")
		})
	}
}

const benchEnv = "PORTCULLIS_BENCH"

// TestServeForBenchmark is the process of a proxy in BenchmarkForward.
func TestServeForBenchmark(t *testing.T) {
	kind, upstream, ok := strings.Cut(os.Getenv(benchEnv), " ")
	if !ok {
		t.Skip("only as a part of BenchmarkForward")
	}
	server := bareProxy(upstream)
	if kind == "ours" {
		server = benchServer(t, "http://"+upstream)
	}
	fmt.Println(listen(t, server))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// process starts a proxy as a process; stop ends it and returns its processor time.
func process(b *testing.B, kind, upstream string) (address string, stop func() time.Duration) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run", "^TestServeForBenchmark$")
	cmd.Env = append(os.Environ(), benchEnv+"="+kind+" "+upstream, "GOMAXPROCS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	address, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(address), func() time.Duration {
		_ = in.Close()
		_ = cmd.Wait()
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
}

func bareProxy(upstream string) *fasthttp.Server {
	hc := &fasthttp.HostClient{
		Addr: upstream, DisablePathNormalizing: true, NoDefaultUserAgentHeader: true, MaxIdemponentCallAttempts: 1,
	}
	return &fasthttp.Server{
		NoDefaultServerHeader: true, NoDefaultContentType: true, NoDefaultDate: true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			if err := hc.Do(&ctx.Request, &ctx.Response); err != nil {
				ctx.SetStatusCode(fasthttp.StatusBadGateway)
			}
		},
	}
}

func benchServer(t testing.TB, upstream string) *fasthttp.Server {
	t.Helper()
	pool := proxy.NewPool()
	t.Cleanup(pool.Close)
	u, err := pool.Upstream(&pb.Upstream{Targets: []*pb.Target{{Url: upstream}}})
	if err != nil {
		t.Fatal(err)
	}
	api := &pipeline.Api{ID: "orders", Upstream: u}
	strip := proxy.NewNames("X-User-Id", "X-Tenant")
	s, err := New(Config{
		Registry: prometheus.NewRegistry(),
		Decide: func(r *request.Request, d *pipeline.Decision) error {
			d.Api = api
			d.Forward = proxy.Forward{Path: r.Path, Query: r.Query, Rest: len("/orders"), Strip: strip, Credential: proxy.Credential{Header: "Authorization"}}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.http
}

const answer = `{"id":1,"state":"shipped","lines":[{"sku":"A-1","count":2},{"sku":"B-7","count":1}],"total":"41.90"}`

func listen(b testing.TB, server *fasthttp.Server) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = server.Serve(ln); close(done) }()
	b.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

func benchmark(b *testing.B, address string) {
	b.Helper()
	head := []byte(benchHead + strings.Repeat("t", 629) + "\r\n\r\n")
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		br := bufio.NewReader(c)
		for pb.Next() {
			if _, err := c.Write(head); err != nil {
				b.Error(err)
				return
			}
			for { // the header section
				line, err := br.ReadSlice('\n')
				if err != nil {
					b.Error(err)
					return
				}
				if len(line) == 2 {
					break
				}
			}
			if _, err := br.Discard(len(answer)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
