package fast

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/feed"
	forwardfast "github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/otlp"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/header"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// benchHead is what an API client sends: 9 fields, one of them a token of 629 bytes.
const benchHead = "GET /orders/1?expand=lines HTTP/1.1\r\nHost: api.example\r\nUser-Agent: client/1.0\r\nAccept: application/json\r\n" +
	"Accept-Encoding: gzip\r\nX-Correlation: 4711\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nAuthorization: Bearer "

// BenchmarkForward compares what a request costs a proxy process: bare, which is
// fasthttp passing everything straight through; ours, where nobody decides; and
// token, where a plan does (a repeated token, its subscription, a claim to a
// header). The figures named gateway- are those of that process: its processor
// time, what it allocated, its system calls that read and write. Interleave, and
// compare medians:
//
//	go test -run - -bench Forward -benchtime 50000x -count 6 ./gateway/internal/front/fast
func BenchmarkForward(b *testing.B) {
	upstream := listen(b, &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.SetContentType("application/json")
			ctx.Response.SetBodyString(benchAnswer)
		},
	})
	collector := listen(b, &fasthttp.Server{Handler: func(*fasthttp.RequestCtx) {}})
	for _, kind := range []string{"bare", "ours", "token", "traced/0", "traced/0.01", "traced/1"} {
		b.Run(kind, func(b *testing.B) {
			p := start(b, kind, upstream+" "+collector)
			clients := dial(b, p.address)
			before := p.spent(b)
			flood(b, clients)
			b.StopTimer()
			after := p.spent(b)
			for i, unit := range units {
				b.ReportMetric(float64(after[i]-before[i])/float64(b.N), unit)
			}
		})
	}
}

// units are of what a process has spent, in the order in which it tells.
var units = []string{"gateway-cpu-ns/op", "gateway-allocs/op", "gateway-B/op", "gateway-reads/op", "gateway-writes/op"}

const benchEnv = "PORTCULLIS_BENCH"

// TestServeForBenchmark is the process of a proxy in BenchmarkForward. It tells
// what it has spent for each line that it reads.
func TestServeForBenchmark(t *testing.T) {
	asked := strings.Fields(os.Getenv(benchEnv))
	if len(asked) != 3 {
		t.Skip("only as a part of BenchmarkForward")
	}
	kind, upstream := asked[0], asked[1]
	if kind == "bare" {
		fmt.Println(listen(t, bareProxy(upstream)))
	} else {
		s := benchServer(t, "http://"+upstream, kind != "ours")
		if share, ok := strings.CutPrefix(kind, "traced/"); ok {
			s.core.Config.Tracing = tracing(t, asked[2], share)
		}
		fmt.Println(listen(t, s.http, func(ln net.Listener) net.Listener { return s.core.Listen(ln) }))
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			t.Fatal(err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		var reads, writes uint64 // stay 0 where the kernel does not count them
		if io, err := os.ReadFile("/proc/self/io"); err == nil {
			_, _ = fmt.Sscanf(string(io), "rchar: %d\nwchar: %d\nsyscr: %d\nsyscw: %d", new(int), new(int), &reads, &writes)
		}
		fmt.Println(usage.Utime.Nano()+usage.Stime.Nano(), m.Mallocs, m.TotalAlloc, reads, writes)
	}
}

// child is a proxy in a process of its own.
type child struct {
	address string
	in      io.Writer
	out     *bufio.Reader
}

func start(b *testing.B, kind, upstream string) *child {
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
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	c := &child{in: in, out: bufio.NewReader(out)}
	c.address = c.line(b)
	return c
}

func (c *child) line(b *testing.B) string {
	b.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// spent asks what the process has spent so far, in the order of units.
func (c *child) spent(b *testing.B) (figures [5]int64) {
	b.Helper()
	if _, err := io.WriteString(c.in, "\n"); err != nil {
		b.Fatal(err)
	}
	f := &figures
	if _, err := fmt.Sscan(c.line(b), &f[0], &f[1], &f[2], &f[3], &f[4]); err != nil {
		b.Fatal(err)
	}
	return figures
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

// benchServer decides by a plan for tokens, or lets everything through.
func benchServer(t testing.TB, upstream string, decide bool) *Server {
	t.Helper()
	pool := forwardfast.NewPool()
	t.Cleanup(pool.Close)
	config := front.Config{Registry: prometheus.NewRegistry(), Decide: passing(t, pool, upstream)}
	if decide {
		config.Decide = deciding(t, pool, upstream)
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tracing sends to a collector, until the test ends, the share of requests that is written so.
func tracing(t *testing.T, collector, share string) *front.Tracing {
	t.Helper()
	part, err := strconv.ParseFloat(share, 64)
	if err != nil {
		t.Fatal(err)
	}
	e, err := otlp.New(t.Context(), otlp.Config{
		Endpoint: &url.URL{Scheme: "http", Host: collector}, Attributes: map[string]string{"service.name": "bench"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { e.Run(ctx); close(done) }()
	t.Cleanup(func() { end(); <-done })
	return &front.Tracing{Share: part, Record: e.Record}
}

func passing(t testing.TB, pool *forwardfast.Pool, upstream string) func(*request.Request, *pipeline.Decision) error {
	t.Helper()
	settings, faults := compile.NewUpstream(&pb.Upstream{Targets: []*pb.Target{{Url: upstream}}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	u := pool.Upstream(settings)
	api := &pipeline.Api{ID: "orders", Upstream: u}
	strip := header.NewNames("X-User-Id", "X-Tenant")
	return func(r *request.Request, d *pipeline.Decision) error {
		d.Api = api
		d.Forward = exchange.Forward{To: u, Path: r.Path, Query: r.Query, Rest: len("/orders"), Strip: strip, Credential: compile.Location{Header: "Authorization"}}
		return nil
	}
}

const benchSecret = "a secret of thirty-two bytes or more"

// deciding decides as a node does whose only resources are an Api and what a
// subscribed application needs to call it.
func deciding(t testing.TB, pool *forwardfast.Pool, upstream string) func(*request.Request, *pipeline.Decision) error {
	t.Helper()
	docs, err := resource.DecodeYAML("bench.yaml", []byte(`
{kind: Issuer, id: acme, issuer: "https://acme.test", keys: {hmac_secrets: [{value: "`+benchSecret+`"}]}}
---
{kind: Api, id: orders, name: Orders, context_path: /orders, upstream: {targets: [{url: "`+upstream+`"}]}}
---
{kind: Plan, id: gold, api: orders, security: JWT, jwt: {issuers: [acme], claims_to_headers: [{claim: sub, header: X-User-Id}]}}
---
{kind: Application, id: mobile, name: Mobile, clients: [{issuer: acme, client_id: mobile-app}]}
---
{kind: Subscription, id: s, application: mobile, plan: gold}
`))
	if err != nil {
		t.Fatal(err)
	}
	var all []catalog.Resource
	for _, d := range docs {
		all = append(all, d.Resource)
	}
	state, err := rules.FromResources(all, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	view, faults := (&feed.Compiler{Upstreams: pool.Prepare}).Compile(state, nil, nil)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	p := pipeline.New(authn.New(authn.Config{}), restrict.NewStore(0))
	return func(r *request.Request, d *pipeline.Decision) error { return p.Decide(view, r, d) }
}

// benchToken is a token of 629 bytes that the plan lets through.
func benchToken(t testing.TB) string {
	t.Helper()
	for pad := ""; ; pad += "x" {
		compact, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
			"iss": "https://acme.test", "sub": "user-4711", "azp": "mobile-app", "exp": time.Now().Unix() + 3600, "pad": pad,
		}).SignedString([]byte(benchSecret))
		if err != nil {
			t.Fatal(err)
		}
		if len(compact) >= 629 {
			return compact
		}
	}
}

const benchAnswer = `{"id":1,"state":"shipped","lines":[{"sku":"A-1","count":2},{"sku":"B-7","count":1}],"total":"41.90"}`

func listen(b testing.TB, server *fasthttp.Server, wrap ...func(net.Listener) net.Listener) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := ln
	for _, w := range wrap {
		served = w(ln)
	}
	done := make(chan struct{})
	go func() { _ = server.Serve(served); close(done) }()
	b.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// dial opens connections and sends a hundred requests over each, so that nothing
// is left that is done but once.
func dial(b *testing.B, address string) chan *client {
	b.Helper()
	head := []byte(benchHead + benchToken(b) + "\r\n\r\n")
	n := 8 * runtime.GOMAXPROCS(0)
	all := make(chan *client, n)
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		c := &client{conn, bufio.NewReader(conn), head}
		for range 100 {
			if err := c.call(); err != nil {
				b.Fatal(err)
			}
		}
		all <- c
	}
	return all
}

// client is a connection that calls again and again.
type client struct {
	net.Conn
	answers *bufio.Reader
	head    []byte
}

func (c *client) call() error {
	if _, err := c.Write(c.head); err != nil {
		return err
	}
	line, err := c.answers.ReadSlice('\n')
	if err == nil && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("got %s", line)
	}
	for err == nil && len(line) > 2 { // the rest of the header section
		line, err = c.answers.ReadSlice('\n')
	}
	if err != nil {
		return err
	}
	_, err = c.answers.Discard(len(benchAnswer))
	return err
}

func flood(b *testing.B, clients chan *client) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c := <-clients
		for pb.Next() {
			if err := c.call(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// endless is a connection over which one request comes again and again, as long as
// the benchmark runs. What is answered is thrown away.
type endless struct {
	b       *testing.B
	request []byte
	warm    int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.warm > 0 {
		e.warm--
	} else if !e.b.Loop() {
		return 0, io.EOF
	}
	return copy(p, e.request), nil
}

func (e *endless) Write(p []byte) (int, error)      { return len(p), nil }
func (e *endless) Close() error                     { return nil }
func (e *endless) LocalAddr() net.Addr              { return e.RemoteAddr() }
func (e *endless) RemoteAddr() net.Addr             { return &benchAddr }
func (e *endless) SetDeadline(time.Time) error      { return nil }
func (e *endless) SetReadDeadline(time.Time) error  { return nil }
func (e *endless) SetWriteDeadline(time.Time) error { return nil }

var benchAddr = net.TCPAddr{IP: net.IPv4(192, 0, 2, 7).To4(), Port: 4711}

// single is a listener with one connection.
type single struct {
	net.Listener
	conn net.Conn
}

func (l single) Accept() (net.Conn, error) { return l.conn, nil }

// accepted is a connection as it comes from the front's listener.
func accepted(b *testing.B, s *Server, conn net.Conn) net.Conn {
	b.Helper()
	c, err := s.core.Listen(single{conn: conn}).Accept()
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkServe is everything that happens on a connection, but for the network
// and the upstream: nothing is what fasthttp alone takes.
func BenchmarkServe(b *testing.B) {
	head := benchHead + benchToken(b)
	page := &pipeline.Page{ContentType: "application/json", Body: []byte(benchAnswer)}
	for _, c := range []struct {
		name   string
		decide func(*request.Request, *pipeline.Decision) error
	}{
		{"nothing", nil},
		{"page", func(r *request.Request, d *pipeline.Decision) error { return d.Serve(page, r.Method) }},
		{"refused", func(*request.Request, *pipeline.Decision) error { return denial.InvalidToken }},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, err := New(front.Config{Decide: c.decide})
			if err != nil {
				b.Fatal(err)
			}
			if c.name == "nothing" {
				s.http.Handler = func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusNoContent) }
			}
			conn := &endless{b, []byte(head + "\r\n\r\n"), 10}
			b.ReportAllocs()
			if err := s.http.ServeConn(accepted(b, s, conn)); err != nil {
				b.Fatal(err)
			}
		})
	}
}
