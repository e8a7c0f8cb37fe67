package std

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward"
)

const (
	// smallBody is how long a request body may be to be read before a connection is
	// chosen.
	smallBody = 16 << 10
	// smallAnswer is how long an answer's body may be to be read at once.
	smallAnswer = 64 << 10
)

// Send implements exchange.Upstream. The request is tried on another target only
// if nothing of it was sent before.
func (u *Upstream) Send(x *exchange.Exchange, f *exchange.Forward) error {
	if err := u.Check(x, f); err != nil {
		return err
	}
	body := &requestBody{from: x.Body, length: x.Length, limit: u.MaxRequestBody}
	if 0 < x.Length && x.Length <= smallBody {
		small := make([]byte, x.Length)
		if _, err := io.ReadFull(body, small); err != nil {
			return forward.ClientFault(errors.Join(forward.ErrTruncated, err))
		}
		body = &requestBody{from: bytes.NewReader(small), length: x.Length, limit: u.MaxRequestBody}
	}
	defer body.stop()
	targets := &u.production
	if f.Sandbox {
		targets = &u.sandbox
	}
	err := forward.ErrNotSent
	targets.Order(func(s *server) bool {
		err = u.try(s, x, f, body)
		return errors.Is(err, forward.ErrNotSent)
	})
	return err
}

// try sends the request to one server, and answers it.
func (u *Upstream) try(s *server, x *exchange.Exchange, f *exchange.Forward, body *requestBody) error {
	ctx, cancel := context.WithCancel(context.Background())
	interim := 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
		if interim++; interim >= forward.MaxInterim {
			return forward.ErrInterim
		}
		return nil
	}})
	x.Asked = exchange.Asked{Target: s.Address, At: time.Now()}
	request := u.request(ctx, s, x, f, body)
	answer, err := s.transport.RoundTrip(request)
	if err != nil {
		cancel()
		return s.fault(err, body)
	}
	given, err := u.answer(answer, x, cancel)
	if !given {
		_ = answer.Body.Close()
		cancel()
	}
	return err
}

// fault is what err, of a request that was not answered, is to the client.
func (s *server) fault(err error, body *requestBody) error {
	if dial, ok := errors.AsType[*dialError](err); ok {
		until := time.Now().Add(downTime)
		s.downUntil.Store(&until)
		return forward.Unreachable(dial)
	}
	if client := body.fault(); client != nil {
		return forward.ClientFault(client)
	}
	return forward.AnswerFault(err)
}

// request makes what net/http sends.
func (u *Upstream) request(ctx context.Context, s *server, x *exchange.Exchange, f *exchange.Forward, body *requestBody) *http.Request {
	target := &url.URL{Scheme: "http", Host: s.Address, Opaque: string(u.AppendTarget(nil, s.Prefix, f))}
	if s.Secure {
		target.Scheme = "https"
	}
	// The path goes on exactly as it was matched. An Opaque that began with "//" would
	// name a host; a canonical path does not.
	r := (&http.Request{
		Method: string(x.Request.Method), URL: target, Host: string(u.AppendHost(nil, s.Target, x)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header(x, f),
	}).WithContext(ctx)
	switch {
	case x.Length == exchange.UnknownLength:
		r.Body, r.ContentLength = body, -1
	case x.Length > 0:
		r.Body, r.ContentLength = body, x.Length
	}
	return r
}

// header makes an http.Header of what goes upstream.
func header(x *exchange.Exchange, f *exchange.Forward) http.Header {
	h := http.Header{}
	for line := range bytes.SplitSeq(forward.AppendFields(nil, x, f), []byte("\r\n")) {
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok {
			h.Add(string(name), string(value))
		}
	}
	if h["User-Agent"] == nil {
		h["User-Agent"] = []string{""} // net/http adds none then
	}
	return h
}

// answer gives the answer to the exchange. given: its body has been given away,
// with cancel.
func (u *Upstream) answer(answer *http.Response, x *exchange.Exchange, cancel context.CancelFunc) (given bool, err error) {
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return false, forward.AnswerFault(forward.ErrSwitched)
	}
	head := &exchange.Head{Status: answer.StatusCode, Length: exchange.NoBody, Fields: fields(answer.Header)}
	body := &answerBody{from: answer.Body, timeout: u.ResponseTimeout, cancel: cancel}
	switch length := answer.ContentLength; {
	case bytes.Equal(x.Request.Method, []byte("HEAD")), answer.StatusCode == http.StatusNoContent, answer.StatusCode == http.StatusNotModified:
		if answer.Header.Get("Content-Length") != "" {
			head.Length = max(length, exchange.NoBody)
		}
		x.Answer.Head(head)
		return false, nil
	case 0 <= length && length <= smallAnswer:
		whole := make([]byte, length)
		if _, err := io.ReadFull(body, whole); err != nil {
			return false, forward.AnswerFault(err)
		}
		head.Length = length
		x.Answer.Head(head)
		x.Answer.Bytes(whole)
		return false, nil
	default:
		head.Length = max(length, exchange.UnknownLength)
		x.Answer.Head(head)
		if err := x.Answer.Stream(body); err != nil {
			return true, forward.AnswerFault(err)
		}
		return true, nil
	}
}

// fields are the answer's fields that pass, sorted by name.
func fields(h http.Header) []exchange.Field {
	var list []exchange.Field
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			list = append(list, exchange.Field{Name: []byte(name), Value: []byte(value)})
		}
	}
	return forward.Clean(list)
}

// requestBody is a request's body as net/http reads it, in a goroutine of its own.
type requestBody struct {
	from   io.Reader
	length int64
	limit  int64

	mu      sync.Mutex
	stopped bool
	total   int64
	err     error // the client's fault
}

var errStopped = errors.New("the request has been answered")

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return 0, errStopped
	}
	n, err := b.from.Read(p)
	b.total += int64(n)
	switch {
	case b.total > b.limit:
		err = forward.ErrTooLarge
	case errors.Is(err, io.EOF) && b.length >= 0 && b.total < b.length:
		err = forward.ErrTruncated
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// Close implements io.Closer.
func (b *requestBody) Close() error { return nil }

// stop returns when nobody reads the body any more: it is the front's.
func (b *requestBody) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
}

// fault is why the client's body ended early; nil: it did not.
func (b *requestBody) fault() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// answerBody is an answer's body, of which each piece has its time.
type answerBody struct {
	from    io.ReadCloser
	timeout time.Duration
	cancel  context.CancelFunc
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.timeout, b.cancel)
	n, err := b.from.Read(p)
	late := !timer.Stop()
	if late && err != nil && !errors.Is(err, io.EOF) {
		err = errors.Join(context.DeadlineExceeded, err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *answerBody) Close() error {
	defer b.cancel()
	return b.from.Close()
}
