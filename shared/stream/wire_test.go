package stream_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// wire is a TCP connection that can lose what it carries.
type wire struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu      sync.Mutex
	ends    []net.Conn
	holding [2]bool  // what goes to the server, what comes from it
	sent    []byte   // what clients have sent
	client  net.Conn // the latest
}

func newWire(tb testing.TB, target string) *wire {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	w := &wire{listener: listener, target: target}
	w.wg.Go(w.accept)
	tb.Cleanup(func() {
		_ = listener.Close()
		w.cut()
		w.wg.Wait()
	})
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.ends = append(w.ends, client, server)
		w.client = client
		w.mu.Unlock()
		w.wg.Go(func() { w.carry(0, server, client) })
		w.wg.Go(func() { w.carry(1, client, server) })
	}
}

// carry copies until an end is closed. What it holds back is lost.
func (w *wire) carry(direction int, to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		w.mu.Lock()
		held := w.holding[direction]
		if direction == 0 {
			w.sent = append(w.sent, buf[:n]...)
		}
		w.mu.Unlock()
		if held {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// hold begins to lose what goes to the server or what comes from it.
func (w *wire) hold(toServer, fromServer bool) {
	w.mu.Lock()
	w.holding = [2]bool{toServer, fromServer}
	w.mu.Unlock()
}

// upstream returns what clients have sent so far.
func (w *wire) upstream() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.sent)
}

// inject lets the client hear what the server has not said. The server must be
// silent at the moment.
func (w *wire) inject(tb testing.TB, text string) {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := io.WriteString(w.client, text); err != nil {
		tb.Fatal(err)
	}
}

// cut closes all connections, and lets new ones through.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range w.ends {
		_ = end.Close()
	}
	w.ends, w.holding = nil, [2]bool{}
}

// raw gives a test what the package does not offer: JetStream itself.
func raw(tb testing.TB, url string) jetstream.JetStream {
	tb.Helper()
	conn, err := nats.Connect(url, nats.Timeout(patience))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

func deleteStream(tb testing.TB, url string, log *stream.Log) {
	tb.Helper()
	if err := raw(tb, url).DeleteStream(tb.Context(), log.Identity().Stream); err != nil {
		tb.Fatal(err)
	}
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("%s did not happen in time", what)
		}
	}
}
