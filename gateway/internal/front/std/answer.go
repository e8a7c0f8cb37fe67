package std

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
)

// answer is the exchange.Answer of net/http.
type answer struct {
	w        http.ResponseWriter
	r        *http.Request
	call     *front.Call
	draining func() bool
	// closing: the connection ends with this answer.
	closing bool

	head exchange.Head // but for its fields, which are in w
	// committed: the head was sent, or the connection was given away.
	committed bool
	// cut: the body ended early, and so must the connection.
	cut bool
}

// reset takes back a head that was not sent.
func (a *answer) reset() {
	clear(a.w.Header())
	a.head = exchange.Head{}
}

// Head implements exchange.Answer.
func (a *answer) Head(head *exchange.Head) {
	a.head = exchange.Head{Status: head.Status, Length: head.Length}
	h := a.w.Header()
	// What is not there must not be made up by net/http.
	h["Date"], h["Content-Type"] = nil, nil
	for i := range head.Fields {
		name := string(head.Fields[i].Name) // goes on as it came
		h[name] = append(h[name], string(head.Fields[i].Value))
	}
	if head.Length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(head.Length, 10))
	}
	h.Set(front.IDHeader, string(a.call.ID()))
}

// send sends the head.
func (a *answer) send() {
	if a.closing || a.draining() {
		a.w.Header().Set("Connection", "close")
	}
	a.committed = true
	a.w.WriteHeader(a.head.Status)
}

// finish sends a head that no body followed.
func (a *answer) finish() {
	if !a.committed {
		a.send()
	}
}

// Bytes implements exchange.Answer.
func (a *answer) Bytes(body []byte) {
	a.send()
	if _, err := a.w.Write(body); err != nil && a.r.Method != http.MethodHead {
		a.cut = true
	}
}

// Stream implements exchange.Answer.
func (a *answer) Stream(body io.ReadCloser) error {
	body = a.call.Watch(body)
	defer body.Close()
	if a.head.Length < 0 && !a.r.ProtoAtLeast(1, 1) {
		whole, err := front.Collect(body)
		if err != nil {
			return err
		}
		a.w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
		a.Bytes(whole)
		return nil
	}
	a.send()
	n, err := io.Copy(a.pieces(), body)
	a.cut = err != nil || a.head.Length >= 0 && n != a.head.Length
	return nil
}

// pieces writes to the client: at once what has no known end.
func (a *answer) pieces() io.Writer {
	if a.head.Length >= 0 {
		return a.w
	}
	return flushing{a.w, http.NewResponseController(a.w)}
}

// flushing sends every piece at once.
type flushing struct {
	io.Writer
	control *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}

// Hijack implements exchange.Answer.
func (a *answer) Hijack(serve func(net.Conn)) error {
	c, buffered, err := http.NewResponseController(a.w).Hijack()
	if err != nil {
		return fmt.Errorf("%w: %w", exchange.ErrNoHijack, err)
	}
	defer c.Close()
	a.committed = true
	_, _ = fmt.Fprintf(buffered, "HTTP/1.1 %d %s\r\n", a.head.Status, http.StatusText(a.head.Status))
	h := a.w.Header().Clone()
	delete(h, "Date")
	delete(h, "Content-Type")
	_ = h.Write(buffered)
	_, _ = buffered.WriteString("\r\n")
	if buffered.Flush() != nil {
		return nil // the client is gone
	}
	serve(hijacked{c, buffered.Reader})
	return nil
}

// hijacked is a client's connection with what was read from it already.
type hijacked struct {
	net.Conn
	buffered *bufio.Reader
}

// Read implements io.Reader.
func (h hijacked) Read(p []byte) (int, error) { return h.buffered.Read(p) }
