package fast

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"slices"
	"strconv"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward"
)

const (
	// copySize is the size of the pieces in which bodies are passed on.
	copySize = 64 << 10
	// beforeChunk and afterChunk are the room in a piece for a chunk's size
	// line and for the CRLF behind it.
	beforeChunk, afterChunk = 10, 2
	// earlyAnswer is how long an upstream that stopped reading has to answer.
	earlyAnswer = time.Second
	// maxTrailer bounds a response's trailer section, which is dropped.
	maxTrailer = 8 << 10
)

// readSmall appends the request's body of a known length to dst.
func readSmall(dst []byte, x *exchange.Exchange) ([]byte, error) {
	dst = slices.Grow(dst, int(x.Length))[:x.Length]
	if _, err := io.ReadFull(x.Body, dst); err != nil {
		return dst[:0], errors.Join(forward.ErrTruncated, err)
	}
	return dst, nil
}

// writeBody passes the request's body on to c as it comes.
func (u *Upstream) writeBody(c *conn, x *exchange.Exchange) error {
	buf := u.pool.block()
	defer u.pool.blocks.Put(buf)
	piece := buf[beforeChunk : copySize-afterChunk]
	total := int64(0)
	for {
		n, err := x.Body.Read(piece)
		total += int64(n)
		if total > u.MaxRequestBody {
			return forward.ClientFault(forward.ErrTooLarge)
		}
		if err := u.writePiece(c, buf, n, x.Length == exchange.UnknownLength); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			return u.endBody(c, x.Length, total)
		case err != nil:
			return forward.ClientFault(err)
		}
	}
}

// writePiece writes the n bytes of a piece in buf, as a chunk or as they are.
func (u *Upstream) writePiece(c *conn, buf *[copySize]byte, n int, chunked bool) error {
	if n == 0 {
		return nil
	}
	piece := buf[beforeChunk : beforeChunk+n]
	if chunked {
		piece = frameChunk(buf, n)
	}
	return u.writeAll(c, piece)
}

func (u *Upstream) writeAll(c *conn, piece []byte) error {
	if _, err := c.Write(piece); err != nil {
		return fmt.Errorf("%w: %w", errBodyRefused, forward.SendFault(true, err))
	}
	return nil
}

func (u *Upstream) endBody(c *conn, length, total int64) error {
	if length >= 0 && total != length {
		return forward.ClientFault(forward.ErrTruncated)
	}
	if length == exchange.UnknownLength {
		if err := u.writeAll(c, []byte("0\r\n\r\n")); err != nil {
			return err
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(u.ResponseTimeout)); err != nil {
		return forward.SendFault(true, err)
	}
	return nil
}

// frameChunk makes the n bytes at buf[beforeChunk:] a chunk, in place.
func frameChunk(buf *[copySize]byte, n int) []byte {
	var size [10]byte
	line := append(strconv.AppendUint(size[:0], uint64(n), 16), '\r', '\n')
	start := beforeChunk - len(line)
	copy(buf[start:], line)
	copy(buf[beforeChunk+n:], "\r\n")
	return buf[start : beforeChunk+n+afterChunk]
}

// takeChunks takes a chunked body that has already arrived in full off br into
// m.body, so that it goes to the client in one piece with its length. False: it has
// not, and nothing was taken.
func (m *scratch) takeChunks(br *bufio.Reader) bool {
	b, err := br.Peek(br.Buffered())
	if err != nil || !bytes.HasSuffix(b, []byte("0\r\n\r\n")) {
		return false
	}
	total := len(b)
	m.body = m.body[:0]
	for {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		n, err := strconv.ParseUint(string(line), 16, 31)
		if !ok || err != nil || line[0] == '+' || len(rest) < int(n)+2 || rest[n] != '\r' || rest[n+1] != '\n' {
			break // extensions, a trailer, a part only: the long way round
		}
		if n == 0 {
			if len(rest) != 2 {
				break
			}
			_, _ = br.Discard(total)
			return true
		}
		m.body = append(m.body, rest[:n]...)
		b = rest[n+2:]
	}
	return false
}

// stream makes the answer's body one that is read from c while it is written
// to the client, and hands c and br over to it.
func (u *Upstream) stream(br *bufio.Reader, s *server, c *conn, x *exchange.Exchange, length int64, reusable bool) error {
	body := &answerBody{upstream: u, server: s, conn: c, reader: br, left: length, reusable: reusable}
	if length == exchange.UnknownLength {
		body.chunks = httputil.NewChunkedReader(br)
	}
	if err := x.Answer.Stream(body); err != nil {
		return forward.AnswerFault(err)
	}
	return nil
}

// answerBody reads an answer's body from the upstream. It is closed by the
// front; if it was not read to its end by then, its connection is closed.
type answerBody struct {
	upstream *Upstream
	server   *server
	conn     *conn
	reader   *bufio.Reader
	chunks   io.Reader // of a chunked body
	left     int64     // of a body of known length; negative: until close, or chunked
	reusable bool
	done     bool
	err      error // the first error of a Read; the following ones return it, too
	closed   bool
}

// Read implements io.Reader. An early end is an error, so that the client sees
// a cut connection and not a complete answer.
func (b *answerBody) Read(p []byte) (int, error) {
	if b.err == nil && !b.done {
		n, err := b.next(p)
		b.err = err
		return n, err
	}
	if b.err != nil {
		return 0, b.err
	}
	return 0, io.EOF
}

// WriteTo implements io.WriterTo, for pieces larger than the server's own.
func (b *answerBody) WriteTo(w io.Writer) (total int64, err error) {
	buf := b.upstream.pool.block()
	defer b.upstream.pool.blocks.Put(buf)
	for {
		n, err := b.Read(buf[:])
		if n > 0 {
			written, failed := w.Write(buf[:n])
			total += int64(written)
			if failed != nil {
				return total, failed
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

func (b *answerBody) next(p []byte) (int, error) {
	if b.reader.Buffered() == 0 {
		if err := b.conn.SetReadDeadline(time.Now().Add(b.upstream.ResponseTimeout)); err != nil {
			return 0, err
		}
	}
	switch {
	case b.chunks != nil:
		n, err := b.chunks.Read(p)
		if errors.Is(err, io.EOF) {
			if err := skipTrailer(b.reader); err != nil {
				return n, err
			}
			b.done = true
		}
		return n, err
	case b.left < 0:
		n, err := b.reader.Read(p)
		b.done = errors.Is(err, io.EOF)
		return n, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.reader.Read(p)
	b.left -= int64(n)
	b.done = b.left == 0
	if errors.Is(err, io.EOF) && !b.done {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close gives the connection back, or closes it.
func (b *answerBody) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.done {
		b.upstream.finish(b.reader, b.server, b.conn, b.reusable)
		return nil
	}
	b.upstream.pool.release(b.reader)
	b.server.drop(b.conn)
	return nil
}

// skipTrailer reads the trailer section after the last chunk.
func skipTrailer(br *bufio.Reader) error {
	for total := 0; total < maxTrailer; {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		if len(line) == 2 && line[0] == '\r' {
			return nil
		}
		total += len(line)
	}
	return io.ErrUnexpectedEOF
}
