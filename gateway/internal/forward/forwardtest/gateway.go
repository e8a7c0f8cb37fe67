// Package forwardtest is what every forwarder must pass: what of a request reaches
// the upstream and what of the answer comes back, faults of either side, the guard
// of connections, the order of targets, and limits of time and size.
package forwardtest

import (
	"bufio"
	"bytes"
	"errors"
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

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// Forwarder makes Upstreams, which share its connections.
type Forwarder interface {
	Prepare(settings *compile.Upstream) exchange.Upstream
	Close()
}

// suite is the tests of one forwarder.
type suite struct{ open func() Forwarder }

// Run tests the forwarder that open makes.
func Run(t *testing.T, open func() Forwarder) {
	t.Helper()
	s := suite{open}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a plain request goes through", s.plainRequestGoesThrough},
		{"bodies", s.bodies},
		{"headers of the client that must not pass", s.headersOfTheClientThatMustNotPass},
		{"Connection must not name a protected field", s.connectionMustNotNameAProtectedField},
		{"the credential is taken out", s.credentialIsTakenOut},
		{"paths", s.paths},
		{"the host is preserved", s.preserveHost},
		{"answers", s.answers},
		{"truncated streams are cut", s.truncatedStreamsAreCut},
		{"answers out of bounds", s.answersOutOfBounds},
		{"timeouts", s.timeouts},
		{"answers that stall", s.answersThatStall},
		{"unreachable", s.unreachable},
		{"sandbox targets", s.sandboxTargets},
		{"no answer reaches another request", s.noAnswerReachesAnotherRequest},
		{"stale connections", s.staleConnections},
		{"no blind retry", s.noBlindRetry},
		{"failover", s.failover},
		{"zero weight gets nothing", s.zeroWeightGetsNothing},
		{"TLS", s.tLSUpstream},
		{"early answer", s.earlyAnswer},
		{"a client that goes away ends the upstream's request", s.clientThatGoesAwayEndsTheUpstreamRequest},
		{"the response timeout begins after connecting", s.responseTimeoutBeginsAfterConnecting},
	} {
		t.Run(test.name, test.run)
	}
}

// Gateway forwards what it is given as text, to one Upstream.
type Gateway struct {
	upstream exchange.Upstream
	shape    func(*exchange.Forward)
	// Truncated: the client goes away after what was sent of its body.
	truncated bool
}

// NewGateway makes a Gateway. shape changes what is decided about requests; nil:
// nothing.
func NewGateway(u exchange.Upstream, shape func(*exchange.Forward)) *Gateway {
	return &Gateway{upstream: u, shape: shape}
}

var errGone = errors.New("the client is gone")

// Get sends a request without body, of which text lacks the final empty line.
func (g *Gateway) Get(t testing.TB, text string) string {
	t.Helper()
	return g.Send(t, text+"\r\n")
}

// Send sends a request and returns the answer as text: as it would be on HTTP/1.1,
// with a body that is not in chunks, and with Cut at its end if it is not complete.
func (g *Gateway) Send(t testing.TB, text string) string {
	t.Helper()
	line, rest, _ := strings.Cut(text, "\r\n")
	head, _, _ := strings.Cut(rest, "\r\n\r\n")
	method, target, _ := strings.Cut(line, " ")
	target, _, _ = strings.Cut(target, " ")
	var block request.Block
	if err := block.Parse([]byte(head + "\r\n")); err != nil {
		t.Fatal(err)
	}
	path, query, err := request.Canonical(nil, []byte(target))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	answer := &recorder{head: method == "HEAD"}
	x := &exchange.Exchange{
		Request: request.Request{Method: []byte(method), Path: path, Query: query, Header: &block, Address: netip.MustParseAddr("192.0.2.7")},
		Fields:  &block, Protocol: exchange.HTTP11, Length: exchange.NoBody, ID: []byte("r1"), Answer: answer,
	}
	switch {
	case block.Count(request.TransferEncoding) > 0:
		x.Length, x.Body = exchange.UnknownLength, parsed.Body
	case block.Count(request.ContentLength) > 0:
		x.Length, x.Body = parsed.ContentLength, parsed.Body
	}
	if g.truncated {
		x.Body = io.MultiReader(io.LimitReader(x.Body, 3), brokenReader{})
	}
	f := &exchange.Forward{To: g.upstream, Path: path, Query: query}
	if g.shape != nil {
		g.shape(f)
	}
	return answer.text(t, g.upstream.Send(x, f))
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errGone }

// Cut is at the end of an answer that is not complete.
const Cut = "(cut)"

// recorder writes an answer down.
type recorder struct {
	head bool
	bytes.Buffer
	answered bool
	length   int64
}

func (r *recorder) Head(h *exchange.Head) {
	r.answered, r.length = true, h.Length
	fmt.Fprintf(r, "HTTP/1.1 %d %s\r\n", h.Status, http.StatusText(h.Status))
	switch {
	case h.Length >= 0:
		fmt.Fprintf(r, "Content-Length: %d\r\n", h.Length)
	case h.Length == exchange.UnknownLength:
		r.WriteString("Transfer-Encoding: chunked\r\n")
	}
	for _, f := range h.Fields {
		fmt.Fprintf(r, "%s: %s\r\n", f.Name, f.Value)
	}
	r.WriteString("\r\n")
}

func (r *recorder) Bytes(body []byte) { r.Write(body) }

func (r *recorder) Stream(body io.ReadCloser) error {
	n, err := io.Copy(&r.Buffer, body)
	if err != nil || r.length >= 0 && n != r.length {
		r.WriteString(Cut)
	}
	return body.Close()
}

func (r *recorder) Hijack(func(net.Conn)) error { return exchange.ErrNoHijack }

// text is the answer, or the denial that err is.
func (r *recorder) text(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		if !r.answered {
			t.Error("there is neither an answer nor an error")
		}
		return r.String()
	}
	if r.answered {
		t.Errorf("an answer, and an error: %v", err)
	}
	d, ok := errors.AsType[*denial.Denial](err)
	if !ok {
		t.Fatalf("no denial: %v", err)
	}
	return fmt.Sprintf("HTTP/1.1 %d\r\n\r\n%s", d.Status(), d.Reason())
}

// upstream prepares settings with these targets.
func (s suite) upstream(t testing.TB, settings *pb.Upstream, urls ...string) exchange.Upstream {
	t.Helper()
	if settings == nil {
		settings = &pb.Upstream{}
	}
	for _, u := range urls {
		settings.Targets = append(settings.Targets, &pb.Target{Url: u})
	}
	forwarder := s.open()
	t.Cleanup(forwarder.Close)
	return forwarder.Prepare(Settings(t, settings))
}

// Settings compiles settings.
func Settings(t testing.TB, settings *pb.Upstream) *compile.Upstream {
	t.Helper()
	compiled, faults := compile.NewUpstream(settings)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return compiled
}

func (s suite) gateway(t testing.TB, settings *pb.Upstream, urls ...string) *Gateway {
	t.Helper()
	return NewGateway(s.upstream(t, settings, urls...), nil)
}

// Echo is a server that answers with the request as it came, headers and all.
func Echo(t testing.TB) (url string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	address := RawServer(t, func(c net.Conn) {
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

// RawServer serves each connection with handle, and closes it after.
func RawServer(t testing.TB, handle func(net.Conn)) (address string) {
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

func wantContains(t testing.TB, got string, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !strings.Contains(got, w) {
			t.Errorf("missing %q in\n%.2000s", w, got)
		}
	}
}

func wantMissing(t testing.TB, got string, unwanted ...string) {
	t.Helper()
	for _, w := range unwanted {
		if strings.Contains(strings.ToLower(got), strings.ToLower(w)) {
			t.Errorf("unwanted %q in\n%.2000s", w, got)
		}
	}
}

// within fails if something takes longer than a limit.
func within(t testing.TB, limit time.Duration, do func()) {
	t.Helper()
	start := time.Now()
	do()
	if took := time.Since(start); took > limit {
		t.Errorf("it took %v, more than %v", took, limit)
	}
}
