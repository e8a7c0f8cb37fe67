package front

import (
	"io"
	"time"
)

// streamed is an answer's body that the client gets while it comes. It belongs to one
// goroutine, which may close it before or after the request's handler has returned.
type streamed struct {
	io.ReadCloser
	sent   int64
	closed time.Time // zero: it is not yet
	done   func(sent int64, at time.Time)
}

// Watch returns body as one whose end the call knows. A front streams what it returns.
func (call *Call) Watch(body io.ReadCloser) io.ReadCloser {
	call.body = &streamed{ReadCloser: body}
	return call.body
}

// whenDone calls done when the body was closed: at once if it was already, or if there
// is none, with zeros then.
func (s *streamed) whenDone(done func(sent int64, at time.Time)) {
	switch {
	case s == nil:
		done(0, time.Time{})
	case !s.closed.IsZero():
		done(s.sent, s.closed)
	default:
		s.done = done
	}
}

// Read implements io.Reader.
func (s *streamed) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.sent += int64(n)
	return n, err
}

// WriteTo implements io.WriterTo as the body does, for larger pieces.
func (s *streamed) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, s.ReadCloser)
	s.sent += n
	return n, err
}

// Close implements io.Closer.
func (s *streamed) Close() error {
	err := s.ReadCloser.Close()
	if s.closed.IsZero() {
		s.closed = time.Now()
		if s.done != nil {
			s.done(s.sent, s.closed)
		}
	}
	return err
}
