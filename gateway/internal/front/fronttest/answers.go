package fronttest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
)

// tracked counts when it is closed.
type tracked struct {
	io.Reader
	u *upstream
}

func (b tracked) Close() error {
	b.u.closed.Add(1)
	return nil
}

func (u *upstream) body(r io.Reader) io.ReadCloser { return tracked{r, u} }

// fields makes header fields of "Name: value" texts.
func fields(lines ...string) []exchange.Field {
	list := make([]exchange.Field, 0, len(lines))
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		list = append(list, exchange.Field{Name: []byte(name), Value: []byte(value)})
	}
	return list
}

var errBroken = errors.New("broken on purpose")

const long = 200_000

// answer answers in one of the ways of exchange.Answer.
func (u *upstream) answer(x *exchange.Exchange, kind string) error {
	a := x.Answer
	head := func(length int64, lines ...string) {
		a.Head(&exchange.Head{Status: http.StatusOK, Length: length, Fields: fields(lines...)})
	}
	switch kind {
	case "fields":
		head(2, "X-Two: 1", "X-Two: 2", "x-lower: 1", "ETag: \"a\"", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "Server: up/1",
			"Set-Cookie: a=1; Path=/", "Set-Cookie: b=2", "Content-Encoding: br", "Content-Type: a/b")
		a.Bytes([]byte("ok"))
	case "typeless":
		head(2)
		a.Bytes([]byte("ok"))
	case "no content":
		a.Head(&exchange.Head{Status: http.StatusNoContent, Length: exchange.NoBody, Fields: fields("X-A: 1")})
	case "not modified":
		a.Head(&exchange.Head{Status: http.StatusNotModified, Length: 99, Fields: fields(`ETag: "x"`)})
	case "head":
		head(99)
	case "empty":
		head(0)
		a.Bytes(nil)
	case "stream":
		head(exchange.UnknownLength)
		return a.Stream(u.body(strings.NewReader(strings.Repeat("0123456789", long/10))))
	case "stream of known length":
		head(long)
		return a.Stream(u.body(strings.NewReader(strings.Repeat("0123456789", long/10))))
	case "short":
		head(long)
		return a.Stream(u.body(io.MultiReader(strings.NewReader("abc"), brokenReader{io.ErrUnexpectedEOF})))
	case "broken":
		head(exchange.UnknownLength)
		return a.Stream(u.body(io.MultiReader(strings.NewReader("abc"), brokenReader{errBroken})))
	case "huge":
		head(exchange.UnknownLength)
		return a.Stream(u.body(io.LimitReader(zeros{}, 9<<20)))
	case "endless":
		head(1 << 40)
		return a.Stream(u.body(zeros{}))
	case "hijack":
		a.Head(&exchange.Head{Status: http.StatusSwitchingProtocols, Length: exchange.NoBody, Fields: fields("Upgrade: echo", "Connection: Upgrade")})
		return a.Hijack(func(c net.Conn) { _, _ = io.Copy(c, c) })
	}
	return nil
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// get asks for an answer and returns all that comes back.
func (n *node) get(t *testing.T, kind, method, version string) string {
	t.Helper()
	return n.send(t, method+" /?answer="+strings.ReplaceAll(kind, " ", "+")+" HTTP/"+version+"\r\nHost: a\r\n"+token+end)
}

func (s suite) answers(t *testing.T) {
	n := s.node(t, nil)
	whole := strings.Repeat("0123456789", long/10)
	for name, test := range map[string]struct {
		kind, method, version string
		want                  []string
		unwanted              string // in small letters
	}{
		"fields": {"fields", "GET", "1.1", []string{
			"200 OK\r\n", "X-Two: 1\r\n", "X-Two: 2\r\n", "x-lower: 1\r\n", "ETag: \"a\"\r\n", "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "Server: up/1\r\n",
			"Set-Cookie: a=1; Path=/\r\n", "Set-Cookie: b=2\r\n", "Content-Encoding: br\r\n", "Content-Type: a/b\r\n", "Content-Length: 2\r\n", "\r\n\r\nok",
		}, "transfer-encoding"},
		"nothing is added":       {"typeless", "GET", "1.1", []string{"Content-Length: 2\r\n"}, "content-type"},
		"no date is made up":     {"typeless", "GET", "1.1", []string{"Content-Length: 2\r\n"}, "\r\ndate"},
		"no content":             {"no content", "GET", "1.1", []string{"204 No Content\r\n", "X-A: 1\r\n"}, "content-length"},
		"not modified":           {"not modified", "GET", "1.1", []string{"304 Not Modified\r\n", "ETag: \"x\"\r\n"}, "chunked"},
		"head":                   {"head", "HEAD", "1.1", []string{"Content-Length: 99\r\n"}, "chunked"},
		"empty":                  {"empty", "GET", "1.1", []string{"Content-Length: 0\r\n"}, "chunked"},
		"stream":                 {"stream", "GET", "1.1", []string{"Transfer-Encoding: chunked\r\n", "\r\n0\r\n\r\n"}, "content-length"},
		"stream of known length": {"stream of known length", "GET", "1.1", []string{fmt.Sprintf("Content-Length: %d\r\n", long), whole}, "chunked"},
		"stream to an old one":   {"stream", "GET", "1.0", []string{whole}, "chunked"},
	} {
		t.Run(name, func(t *testing.T) {
			got := n.get(t, test.kind, test.method, test.version)
			for _, want := range append(test.want, "X-Request-Id: ") {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%.500s", want, got)
				}
			}
			if strings.Contains(strings.ToLower(got), test.unwanted) {
				t.Errorf("unwanted %q in\n%.500s", test.unwanted, got)
			}
			if test.method == "HEAD" && !strings.HasSuffix(got, "\r\n\r\n") {
				t.Errorf("an answer to HEAD has a body:\n%.500s", got)
			}
		})
	}
	n.wantClosed(t, 3)
}

// wantClosed waits until so many answer bodies were closed.
func (n *node) wantClosed(t *testing.T, want int64) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Second); n.upstream.closed.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d answer bodies were closed, want %d", n.upstream.closed.Load(), want)
		}
	}
	if got := n.upstream.closed.Load(); got != want {
		t.Errorf("%d answer bodies were closed, want %d", got, want)
	}
}

// A body that ends early must not look complete, whatever the client speaks.
func (s suite) brokenAnswersAreCut(t *testing.T) {
	n := s.node(t, nil)
	for _, kind := range []string{"short", "broken"} {
		// On a connection that would have been kept.
		got := n.send(t, "GET /?answer="+kind+" HTTP/1.1\r\nHost: a\r\n"+token+"\r\n")
		if strings.HasSuffix(got, "0\r\n\r\n") || strings.Count(got, "HTTP/1.1") > 1 {
			t.Errorf("%s: it looks complete:\n%s", kind, got)
		}
	}
	for _, kind := range []string{"broken", "huge"} { // the second is more than is collected
		if got := n.get(t, kind, "GET", "1.0"); status(got) == "200" {
			t.Errorf("%s: an HTTP/1.0 client cannot tell that it is not complete:\n%.500s", kind, got)
		}
	}
	n.wantClosed(t, 4)
}

// slowBodies: a client may neither stall nor trickle with its body.
func (s suite) slowBodies(t *testing.T) {
	n := s.node(t, func(c *front.Config) {
		c.ReadTimeout, c.Patience = 400*time.Millisecond, front.Patience{Stall: 300 * time.Millisecond, Rate: 1000}
	})
	chunked := "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + token + "Transfer-Encoding: chunked\r\n\r\n"
	short := "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + token + "Content-Length: 100\r\n\r\n"
	for name, test := range map[string]struct {
		head, body string
		piece      int
		pause      time.Duration
		want       string
		within     time.Duration
	}{
		"stalls":      {chunked, "5\r\nhello\r\n", 100, time.Second, "request_timeout", 900 * time.Millisecond},
		"trickles":    {chunked, strings.Repeat("1\r\nx\r\n", 100), 6, 50 * time.Millisecond, "request_timeout", 900 * time.Millisecond},
		"fast enough": {chunked, "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", 10, 100 * time.Millisecond, `"hellohello"`, 3 * time.Second},
		// Longer than ReadTimeout, which a long body moves on.
		"at rate":         {chunked, strings.Repeat("96\r\n"+strings.Repeat("x", 150)+"\r\n", 6) + "0\r\n\r\n", 156, 120 * time.Millisecond, strings.Repeat("x", 900), 3 * time.Second},
		"short, trickles": {short, strings.Repeat("x", 100), 1, 50 * time.Millisecond, "request_timeout", 900 * time.Millisecond},
		"short":           {short, strings.Repeat("x", 100), 50, 50 * time.Millisecond, "xxx", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			answer, took := trickle(t, n.address, test.head, test.body, test.piece, test.pause)
			if !strings.Contains(answer, test.want) || took > test.within {
				t.Errorf("after %v, want %q within %v:\n%s", took, test.want, test.within, answer)
			}
		})
	}
}

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

// slowReaders: a client that does not take its answer loses it.
func (s suite) slowReaders(t *testing.T) {
	n := s.node(t, func(c *front.Config) { c.WriteTimeout = 200 * time.Millisecond })
	c, _ := n.talk(t)
	if _, err := io.WriteString(c, "GET /?answer=endless HTTP/1.1\r\nHost: a\r\n"+token+"\r\n"); err != nil {
		t.Fatal(err)
	}
	n.wantClosed(t, 1)
}

// hijack: after a head with status 101 the connection is the upstream's.
func (s suite) hijack(t *testing.T) {
	n := s.node(t, nil)
	c, br := n.talk(t)
	// What is behind the request belongs to the other protocol already.
	if _, err := io.WriteString(c, "GET /?answer=hijack HTTP/1.1\r\nHost: a\r\n"+token+"\r\nfirst "); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != "echo" || res.Header.Get("X-Request-Id") == "" {
		t.Fatalf("got %s %v", res.Status, res.Header)
	}
	if _, err := io.WriteString(c, "second"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("first second"))
	if _, err := io.ReadFull(br, got); err != nil || string(got) != "first second" {
		t.Errorf("got %q, %v", got, err)
	}
	if tc, ok := c.(*net.TCPConn); ok {
		_ = tc.CloseWrite()
	}
	if rest, err := io.ReadAll(bufio.NewReader(br)); err != nil || len(rest) > 0 {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}
