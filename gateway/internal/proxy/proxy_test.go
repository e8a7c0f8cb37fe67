package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/header"
)

// gateway serves requests by sending each to u, with the Forward that shape makes.
type gateway struct {
	address string
	lastErr atomic.Value
}

func newGateway(t testing.TB, u *Upstream, shape func(*Forward)) *gateway {
	t.Helper()
	g := &gateway{}
	server := &fasthttp.Server{
		StreamRequestBody: true, MaxRequestBodySize: 1, DisablePreParseMultipartForm: true,
		NoDefaultServerHeader: true, NoDefaultContentType: true, NoDefaultDate: true,
		Logger: quietLogger{},
		Handler: func(ctx *fasthttp.RequestCtx) {
			var block request.Block
			if err := block.Parse(ctx.Request.Header.RawHeaders()); err != nil {
				ctx.SetStatusCode(400)
				return
			}
			f := &Forward{}
			path, query, err := request.Canonical(nil, ctx.Request.Header.RequestURI())
			if err != nil {
				ctx.SetStatusCode(400)
				return
			}
			f.Path, f.Query = path, query
			if shape != nil {
				shape(f)
			}
			in := &Inbound{Ctx: ctx, Block: &block, Client: netip.MustParseAddr("192.0.2.7"), RequestID: []byte("r1")}
			if err := u.Send(in, f); err != nil {
				g.lastErr.Store(err.Error())
				var d *denial.Denial
				if !asDenial(err, &d) {
					panic("no denial: " + err.Error())
				}
				ctx.SetStatusCode(d.Status())
				ctx.SetBodyString(d.Reason())
			}
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = ln.Addr().String()
	done := make(chan struct{})
	go func() { _ = server.Serve(ln); close(done) }()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return g
}

type quietLogger struct{}

func (quietLogger) Printf(string, ...any) {}

func upstreamFor(t testing.TB, settings *pb.Upstream, urls ...string) *Upstream {
	t.Helper()
	if settings == nil {
		settings = &pb.Upstream{}
	}
	for _, u := range urls {
		settings.Targets = append(settings.Targets, &pb.Target{Url: u})
	}
	pool := NewPool()
	t.Cleanup(pool.Close)
	return pool.Upstream(compiled(t, settings))
}

func compiled(t testing.TB, settings *pb.Upstream) *compile.Upstream {
	t.Helper()
	u, faults := compile.NewUpstream(settings)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return u
}

// raw sends bytes to address and returns all that comes back until the end or a pause.
func raw(t testing.TB, address, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b, _ := io.ReadAll(c)
	return string(b)
}

// echo answers with the request as it came, headers and all.
func echo(t testing.TB) (url string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	address := rawServer(t, func(c net.Conn) {
		connections.Add(1)
		br := bufio.NewReader(c)
		for {
			var text strings.Builder
			req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(oneByOne{br}, &text)))
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", text.Len(), text.String())
		}
	})
	return "http://" + address, connections
}

// oneByOne reads single bytes, so that nothing of the next request is taken.
type oneByOne struct{ r io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// rawServer serves each connection with handle, and closes it after.
func rawServer(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				handle(c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

func get(t testing.TB, g *gateway, request string) string {
	t.Helper()
	return raw(t, g.address, request+"Connection: close\r\n\r\n")
}

func wantContains(t *testing.T, got string, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !strings.Contains(got, w) {
			t.Errorf("missing %q in\n%s", w, got)
		}
	}
}

func wantMissing(t *testing.T, got string, unwanted ...string) {
	t.Helper()
	for _, w := range unwanted {
		if strings.Contains(strings.ToLower(got), strings.ToLower(w)) {
			t.Errorf("unwanted %q in\n%s", w, got)
		}
	}
}

func TestPlainRequestGoesThrough(t *testing.T) {
	url, _ := echo(t)
	g := newGateway(t, upstreamFor(t, nil, url), nil)
	got := get(t, g, "GET /a/b?x=1&y HTTP/1.1\r\nHost: api.example\r\nX-Own: 1\r\nX-Own: 2\r\n")
	wantContains(t, got, "HTTP/1.1 200", "GET /a/b?x=1&y HTTP/1.1\r\n", "Host: "+strings.TrimPrefix(url, "http://"),
		"X-Own: 1\r\nX-Own: 2\r\n", "X-Forwarded-For: 192.0.2.7\r\n", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Host: api.example\r\n", "X-Request-Id: r1\r\n")
	wantMissing(t, got, "user-agent", "content-type", "content-length: 0", "connection: keep-alive")
}

func TestBodies(t *testing.T) {
	url, _ := echo(t)
	g := newGateway(t, upstreamFor(t, &pb.Upstream{MaxRequestBody: &pb.ByteSize{Bytes: 100_000}}, url), nil)
	big := strings.Repeat("abcdefgh", 8000)
	for name, test := range map[string]struct{ request, want string }{
		"small":     {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", "hello"},
		"none":      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "Content-Length: 0\r\n"},
		"large":     {fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(big), big), big},
		"chunked":   {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n", "Transfer-Encoding: chunked\r\n"},
		"too large": {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\nConnection: close\r\n\r\nx", "request_too_large"},
		"too large in chunks": {
			"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("fa00\r\n"+big+"\r\n", 2) + "0\r\n\r\n", "request_too_large",
		},
		"delete with body": {"DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", "\r\n\r\nhi"},
	} {
		t.Run(name, func(t *testing.T) {
			got := raw(t, g.address, test.request)
			wantContains(t, got, test.want)
			wantMissing(t, got, "x-trailer", "x=y")
		})
	}
}

func TestHeadersOfTheClientThatMustNotPass(t *testing.T) {
	url, _ := echo(t)
	g := newGateway(t, upstreamFor(t, nil, url), func(f *Forward) {
		f.Strip = header.NewNames("X-User-Id")
		f.Credential = compile.Location{Header: "Authorization"}
		f.Set = []HeaderValue{{Name: "X-Tenant", Value: "acme"}, {Name: "X-Odd", Value: "a\r\nEvil: ü%"}}
	})
	got := get(t, g, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\nX-User-Id: root\r\nX_User_Id: root\r\nx-user-id: root\r\n"+
		"X-Tenant: evil\r\nX-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: gopher\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: mine\r\nX-Real-IP: 6.6.6.6\r\n"+
		"X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX-Rewrite-Url: /admin\r\nx-envoy-original-path: /admin\r\nX-Jwt-Assertion: forged\r\n"+
		"Keep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: Basic x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nExpect: \r\nTrailer: X-T\r\nX-Hop: 1\r\nConnection: X-Hop, upgrade\r\n")
	wantContains(t, got, "X-Tenant: acme\r\n", "X-Odd: a%0D%0AEvil: %C3%BC%25\r\n", "X-Forwarded-For: 192.0.2.7\r\n", "X-Request-Id: r1\r\n")
	wantMissing(t, got, "authorization", "root", "evil\r\n", "6.6.6.6", "gopher", "mine", "/admin", "forged", "keep-alive", "te:", "basic",
		"h2c", "http2-settings", "expect", "trailer", "x-hop", "upgrade")
}

func TestConnectionMustNotNameAProtectedField(t *testing.T) {
	url, _ := echo(t)
	g := newGateway(t, upstreamFor(t, nil, url), func(f *Forward) {
		f.Strip = header.NewNames("X-User-Id")
		f.Set = []HeaderValue{{Name: "X-Tenant", Value: "acme"}}
		f.Credential = compile.Location{Header: "X-Api-Key"}
	})
	for _, name := range []string{"X-User-Id", "x-tenant", "X-Forwarded-For", "Host", "content-length", "Authorization", "x-api-key", "X-Request-Id"} {
		got := get(t, g, "GET / HTTP/1.1\r\nHost: a\r\nConnection: "+name+"\r\n")
		if !strings.Contains(got, "HTTP/1.1 400") {
			t.Errorf("Connection: %s: %s", name, got)
		}
	}
}

func TestCredentialIsTakenOut(t *testing.T) {
	url, _ := echo(t)
	for name, test := range map[string]struct {
		credential       compile.Location
		request          string
		want, unexpected string
	}{
		"query":        {compile.Location{Query: "api_key"}, "GET /p?a=1&api%5Fkey=s3cret&b=2 HTTP/1.1\r\nHost: a\r\n", "GET /p?a=1&b=2 HTTP/1.1", "s3cret"},
		"query alone":  {compile.Location{Query: "k"}, "GET /p?k=s3cret HTTP/1.1\r\nHost: a\r\n", "GET /p HTTP/1.1", "s3cret"},
		"cookie":       {compile.Location{Cookie: "t"}, "GET /p HTTP/1.1\r\nHost: a\r\nCookie: a=1; t=s3cret; b=2\r\n", "Cookie: a=1; b=2\r\n", "s3cret"},
		"cookie alone": {compile.Location{Cookie: "t"}, "GET /p HTTP/1.1\r\nHost: a\r\nCookie: t=s3cret\r\n", "GET /p HTTP/1.1", "cookie"},
		"header":       {compile.Location{Header: "X-Api-Key"}, "GET /p HTTP/1.1\r\nHost: a\r\nx-api-KEY: s3cret\r\n", "GET /p HTTP/1.1", "s3cret"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, upstreamFor(t, nil, url), func(f *Forward) { f.Credential = test.credential })
			got := get(t, g, test.request)
			wantContains(t, got, test.want)
			wantMissing(t, got, test.unexpected)
		})
	}
}

func TestPaths(t *testing.T) {
	url, _ := echo(t)
	no := false
	for _, test := range []struct {
		base  string
		strip *bool
		rest  int
		path  string
		want  string
	}{
		{"", nil, 4, "/api/x", "GET /x "},
		{"", nil, 4, "/api", "GET / "},
		{"/base/", nil, 4, "/api/x", "GET /base/x "},
		{"/base", nil, 4, "/api", "GET /base "},
		{"/base", &no, 4, "/api/x", "GET /base/api/x "},
		{"", nil, 0, "/api/x%20y", "GET /api/x%20y "},
		{"", nil, 4, "/api/", "GET / "},
		{"", nil, 1, "/x", "GET /x "},
	} {
		g := newGateway(t, upstreamFor(t, &pb.Upstream{StripContextPath: test.strip}, url+test.base), func(f *Forward) { f.Rest = test.rest })
		got := get(t, g, "GET "+test.path+" HTTP/1.1\r\nHost: a\r\n")
		wantContains(t, got, test.want)
	}
}

func TestPreserveHost(t *testing.T) {
	url, _ := echo(t)
	g := newGateway(t, upstreamFor(t, &pb.Upstream{PreserveHost: true}, url), nil)
	wantContains(t, get(t, g, "GET / HTTP/1.1\r\nHost: Api.Example:8080\r\n"), "Host: Api.Example:8080\r\n")
}

func TestAnswers(t *testing.T) {
	long := strings.Repeat("0123456789", 20_000)
	for name, test := range map[string]struct {
		answer         string
		want           []string
		unexpected     string
		method, client string
	}{
		"until close":                  {answer: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", want: []string{"Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"}},
		"old upstream":                 {answer: "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", want: []string{"HTTP/1.1 200 OK", "\r\n\r\nabc"}},
		"chunked":                      {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", want: []string{"Content-Length: 5\r\n", "\r\n\r\nabcde"}},
		"with trailer":                 {answer: "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n", want: []string{"3\r\nabc\r\n0\r\n\r\n"}, unexpected: "x-t"},
		"old client":                   {answer: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", client: "1.0", want: []string{"Content-Length: 3", "\r\n\r\nabc"}, unexpected: "chunked"},
		"long":                         {answer: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(long), long), want: []string{long}},
		"interim":                      {answer: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", want: []string{"HTTP/1.1 201 Created"}, unexpected: "early"},
		"no content":                   {answer: "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", want: []string{"HTTP/1.1 204 No Content", "X-A: 1"}, unexpected: "content-length"},
		"not modified":                 {answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nEtag: \"x\"\r\n\r\n", want: []string{"304 Not Modified", `"x"`}},
		"head":                         {method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", want: []string{"Content-Length: 99\r\n"}},
		"hop by hop":                   {answer: "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\nX-Request-Id: theirs\r\nX-B: 1\r\nContent-Length: 0\r\n\r\n", want: []string{"X-B: 1"}, unexpected: "hop"},
		"hop by hop, in small letters": {answer: "HTTP/1.1 200 OK\r\nconnection: x-HOP\r\nX-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-authenticate: hop\r\nupgrade: hop\r\nx-request-id: hop\r\ntrailer: hop\r\ncontent-length: 1\r\n\r\nx", want: []string{"Content-Length: 1\r\n"}, unexpected: "hop"},
		"spelling":                     {answer: "HTTP/1.1 200 OK\r\nx-lower: 1\r\nETag: a\r\nContent-Length: 0\r\n\r\n", want: []string{"x-lower: 1\r\n", "ETag: a\r\n"}},
		"date and type":                {answer: "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 1\r\n\r\nx", want: []string{"Date: Thu, 01 Jan 1970"}, unexpected: "content-type"},
		"cookies":                      {answer: "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", want: []string{"Set-Cookie: a=1; Path=/\r\n", "Set-Cookie: b=2\r\n"}},
		"switching":                    {answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", want: []string{"HTTP/1.1 502", "upstream_unreachable"}},
		"garbage":                      {answer: "SSH-2.0-OpenSSH\r\n", want: []string{"HTTP/1.1 502", "upstream_unreachable"}, unexpected: "ssh"},
		"nothing":                      {answer: "", want: []string{"HTTP/1.1 502", "upstream_unreachable"}},
		"half a header":                {answer: "HTTP/1.1 200 OK\r\nContent-", want: []string{"HTTP/1.1 502"}},
		"short body":                   {answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", want: []string{"HTTP/1.1 502"}, unexpected: "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			address := rawServer(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, test.answer)
				}
			})
			g := newGateway(t, upstreamFor(t, nil, "http://"+address), nil)
			method, version := test.method, test.client
			if method == "" {
				method = "GET"
			}
			if version == "" {
				version = "1.1"
			}
			got := get(t, g, method+" / HTTP/"+version+"\r\nHost: a\r\n")
			wantContains(t, got, test.want...)
			if test.unexpected != "" {
				wantMissing(t, got, test.unexpected)
			}
		})
	}
}

// A streamed body that ends early must not look complete.
func TestTruncatedStreamsAreCut(t *testing.T) {
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
	} {
		address := rawServer(t, func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, answer)
			}
		})
		g := newGateway(t, upstreamFor(t, nil, "http://"+address), nil)
		got := raw(t, g.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if strings.HasSuffix(got, "0\r\n\r\n") {
			t.Errorf("%s: the client was told that the body is complete:\n%s", name, got)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	url, connections := echo(t)
	pool := NewPool()
	defer pool.Close()
	settings := &pb.Upstream{Targets: []*pb.Target{{Url: url}}}
	for range 3 { // a recompiled Upstream keeps the connections
		g := newGateway(t, pool.Upstream(compiled(t, settings)), nil)
		for range 3 {
			wantContains(t, get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n"), "HTTP/1.1 200")
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestTimeouts(t *testing.T) {
	address := rawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	g := newGateway(t, upstreamFor(t, &pb.Upstream{ResponseTimeout: durationpb.New(50 * time.Millisecond)}, "http://"+address), nil)
	start := time.Now()
	wantContains(t, get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n"), "HTTP/1.1 504", "upstream_timeout")
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestUnreachable(t *testing.T) {
	g := newGateway(t, upstreamFor(t, nil, "http://127.0.0.1:1"), nil)
	got := get(t, g, "GET / HTTP/1.1\r\nHost: a\r\n")
	wantContains(t, got, "HTTP/1.1 502", "upstream_unreachable")
	wantMissing(t, got, "127.0.0.1")
}
