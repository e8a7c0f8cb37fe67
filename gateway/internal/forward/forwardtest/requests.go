package forwardtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/header"
)

func (s suite) plainRequestGoesThrough(t *testing.T) {
	url, _ := Echo(t)
	g := s.gateway(t, nil, url)
	got := g.Get(t, "GET /a/b?x=1&y HTTP/1.1\r\nHost: api.example\r\nX-Own: 1\r\nX-Own: 2\r\n")
	wantContains(t, got, "HTTP/1.1 200", "GET /a/b?x=1&y HTTP/1.1\r\n", "Host: "+strings.TrimPrefix(url, "http://"),
		"X-Own: 1\r\nX-Own: 2\r\n", "X-Forwarded-For: 192.0.2.7\r\n", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Host: api.example\r\n", "X-Request-Id: r1\r\n")
	wantMissing(t, got, "user-agent", "content-type", "content-length: 0", "connection: keep-alive")
}

func (s suite) bodies(t *testing.T) {
	url, _ := Echo(t)
	g := s.gateway(t, &pb.Upstream{MaxRequestBody: &pb.ByteSize{Bytes: 100_000}}, url)
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
			got := g.Send(t, test.request)
			wantContains(t, got, test.want)
			wantMissing(t, got, "x-trailer", "x=y")
		})
	}
}

func (s suite) headersOfTheClientThatMustNotPass(t *testing.T) {
	url, _ := Echo(t)
	g := NewGateway(s.upstream(t, nil, url), func(f *exchange.Forward) {
		f.Strip = header.NewNames("X-User-Id")
		f.Credential = compile.Location{Header: "Authorization"}
		f.Set = []exchange.HeaderValue{{Name: "X-Tenant", Value: "acme"}, {Name: "X-Odd", Value: "a\r\nEvil: ü%"}}
	})
	got := g.Get(t, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\nX-User-Id: root\r\nX_User_Id: root\r\nx-user-id: root\r\n"+
		"X-Tenant: evil\r\nX-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: gopher\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: mine\r\nX-Real-IP: 6.6.6.6\r\n"+
		"X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX-Rewrite-Url: /admin\r\nx-envoy-original-path: /admin\r\nX-Jwt-Assertion: forged\r\n"+
		"Keep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: Basic x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nExpect: \r\nTrailer: X-T\r\nX-Hop: 1\r\nConnection: X-Hop, upgrade\r\n")
	wantContains(t, got, "X-Tenant: acme\r\n", "X-Odd: a%0D%0AEvil: %C3%BC%25\r\n", "X-Forwarded-For: 192.0.2.7\r\n", "X-Request-Id: r1\r\n")
	wantMissing(t, got, "authorization", "root", "evil\r\n", "6.6.6.6", "gopher", "mine", "/admin", "forged", "keep-alive", "te:", "basic",
		"h2c", "http2-settings", "expect", "trailer", "x-hop", "upgrade")
}

func (s suite) connectionMustNotNameAProtectedField(t *testing.T) {
	url, _ := Echo(t)
	g := NewGateway(s.upstream(t, nil, url), func(f *exchange.Forward) {
		f.Strip = header.NewNames("X-User-Id")
		f.Set = []exchange.HeaderValue{{Name: "X-Tenant", Value: "acme"}}
		f.Credential = compile.Location{Header: "X-Api-Key"}
	})
	for _, name := range []string{"X-User-Id", "x-tenant", "X-Forwarded-For", "Host", "content-length", "Authorization", "x-api-key", "X-Request-Id"} {
		got := g.Get(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: "+name+"\r\n")
		if !strings.Contains(got, "HTTP/1.1 400") {
			t.Errorf("Connection: %s: %s", name, got)
		}
	}
}

func (s suite) credentialIsTakenOut(t *testing.T) {
	url, _ := Echo(t)
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
			g := NewGateway(s.upstream(t, nil, url), func(f *exchange.Forward) { f.Credential = test.credential })
			got := g.Get(t, test.request)
			wantContains(t, got, test.want)
			wantMissing(t, got, test.unexpected)
		})
	}
}

func (s suite) paths(t *testing.T) {
	url, _ := Echo(t)
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
		g := NewGateway(s.upstream(t, &pb.Upstream{StripContextPath: test.strip}, url+test.base), func(f *exchange.Forward) { f.Rest = test.rest })
		got := g.Get(t, "GET "+test.path+" HTTP/1.1\r\nHost: a\r\n")
		wantContains(t, got, test.want)
	}
}

func (s suite) preserveHost(t *testing.T) {
	url, _ := Echo(t)
	g := s.gateway(t, &pb.Upstream{PreserveHost: true}, url)
	wantContains(t, g.Get(t, "GET / HTTP/1.1\r\nHost: Api.Example:8080\r\n"), "Host: Api.Example:8080\r\n")
}

func (s suite) answers(t *testing.T) {
	long := strings.Repeat("0123456789", 20_000)
	for name, test := range map[string]struct {
		answer     string
		want       []string
		unexpected string
		method     string
	}{
		"until close":                  {answer: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", want: []string{"Transfer-Encoding: chunked", "\r\n\r\nabc"}},
		"old upstream":                 {answer: "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", want: []string{"HTTP/1.1 200 OK", "\r\n\r\nabc"}},
		"chunked":                      {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", want: []string{"\r\n\r\nabcde"}},
		"with trailer":                 {answer: "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n", want: []string{"\r\n\r\nabc"}, unexpected: "x-t"},
		"long":                         {answer: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(long), long), want: []string{long}},
		"interim":                      {answer: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", want: []string{"HTTP/1.1 201 Created"}, unexpected: "early"},
		"no content":                   {answer: "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", want: []string{"HTTP/1.1 204 No Content", "X-A: 1"}, unexpected: "content-length"},
		"not modified":                 {answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nEtag: \"x\"\r\n\r\n", want: []string{"304 Not Modified", `"x"`}},
		"head":                         {method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", want: []string{"Content-Length: 99\r\n"}},
		"hop by hop":                   {answer: "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\nX-Request-Id: theirs\r\nX-B: 1\r\nContent-Length: 0\r\n\r\n", want: []string{"X-B: 1"}, unexpected: "hop"},
		"hop by hop, in small letters": {answer: "HTTP/1.1 200 OK\r\nconnection: x-HOP\r\nX-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-authenticate: hop\r\nupgrade: hop\r\nx-request-id: hop\r\ntrailer: hop\r\ncontent-length: 1\r\n\r\nx", want: []string{"Content-Length: 1\r\n"}, unexpected: "hop"},
		"date and type":                {answer: "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 1\r\n\r\nx", want: []string{"Date: Thu, 01 Jan 1970"}, unexpected: "content-type"},
		"cookies":                      {answer: "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", want: []string{"Set-Cookie: a=1; Path=/\r\n", "Set-Cookie: b=2\r\n"}},
		"switching":                    {answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", want: []string{"HTTP/1.1 502", "upstream_unreachable"}},
		"garbage":                      {answer: "SSH-2.0-OpenSSH\r\n", want: []string{"HTTP/1.1 502", "upstream_unreachable"}, unexpected: "ssh"},
		"nothing":                      {answer: "", want: []string{"HTTP/1.1 502", "upstream_unreachable"}},
		"half a header":                {answer: "HTTP/1.1 200 OK\r\nContent-", want: []string{"HTTP/1.1 502"}},
		"short body":                   {answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", want: []string{"HTTP/1.1 502"}, unexpected: "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			address := RawServer(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, test.answer)
				}
			})
			g := s.gateway(t, nil, "http://"+address)
			method := test.method
			if method == "" {
				method = "GET"
			}
			got := g.Get(t, method+" / HTTP/1.1\r\nHost: a\r\n")
			wantContains(t, got, test.want...)
			if test.unexpected != "" {
				wantMissing(t, got, test.unexpected)
			}
		})
	}
}

// A streamed body that ends early must not look complete.
func (s suite) truncatedStreamsAreCut(t *testing.T) {
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
	} {
		address := RawServer(t, func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, answer)
			}
		})
		g := s.gateway(t, nil, "http://"+address)
		got := g.Send(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if !strings.HasSuffix(got, Cut) && !strings.Contains(got, "502") {
			t.Errorf("%s: the client was told that the body is complete:\n%s", name, got)
		}
	}
}

func (s suite) timeouts(t *testing.T) {
	address := RawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	g := s.gateway(t, &pb.Upstream{ResponseTimeout: durationpb.New(50 * time.Millisecond)}, "http://"+address)
	start := time.Now()
	wantContains(t, g.Get(t, "GET / HTTP/1.1\r\nHost: a\r\n"), "HTTP/1.1 504", "upstream_timeout")
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

func (s suite) unreachable(t *testing.T) {
	g := s.gateway(t, nil, "http://127.0.0.1:1")
	got := g.Get(t, "GET / HTTP/1.1\r\nHost: a\r\n")
	wantContains(t, got, "HTTP/1.1 502", "upstream_unreachable")
	wantMissing(t, got, "127.0.0.1")
}
