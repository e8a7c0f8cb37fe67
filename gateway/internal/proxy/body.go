package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/socket"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

const (
	// copySize is the size of the pieces in which bodies are passed on.
	copySize = 64 << 10
	// beforeChunk and afterChunk are the room in a piece for a chunk's size
	// line and for the CRLF behind it.
	beforeChunk, afterChunk = 10, 2
	// earlyAnswer is how long an upstream that stopped reading has to answer.
	earlyAnswer = time.Second
	// maxOldBody bounds a body of unknown length for an HTTP/1.0 client, which
	// cannot be told its end but by Content-Length.
	maxOldBody = 8 << 20
	// maxTrailer bounds a response's trailer section, which is dropped.
	maxTrailer = 8 << 10
)

// patience is what a client may take for a body.
type patience struct {
	// stall is how long it may take for the next piece, in either direction.
	stall time.Duration
	// rate is how many bytes per second of its own body it must send, on average,
	// beyond the first stall.
	rate int
}

func defaultPatience() patience { return patience{stall: 30 * time.Second, rate: 1 << 10} }

// readSmall appends the request's body of a known length to dst.
func readSmall(dst []byte, ctx *fasthttp.RequestCtx, length int) ([]byte, error) {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return append(dst, ctx.Request.Body()...), nil
	}
	if cap(dst) < length {
		dst = make([]byte, 0, smallBody)
	}
	dst = dst[:length]
	if _, err := io.ReadFull(stream, dst); err != nil {
		return dst[:0], errors.Join(errTruncated, err)
	}
	return dst, nil
}

// writeBody passes the request's body on to c as it comes.
func (u *Upstream) writeBody(c *conn, in *Inbound, length int) error {
	buf, _ := u.pool.blocks.Get().(*[copySize]byte)
	if buf == nil {
		buf = new([copySize]byte)
	}
	defer u.pool.blocks.Put(buf)
	piece := buf[beforeChunk : copySize-afterChunk]
	stream := in.Ctx.RequestBodyStream()
	start, total := time.Now(), 0
	for {
		if err := u.patience.await(in.Ctx.Conn(), start, total); err != nil {
			return clientFault(err)
		}
		n, err := stream.Read(piece)
		total += n
		if int64(total) > u.maxBody {
			return clientFault(errTooLarge)
		}
		if err := u.writePiece(c, buf, n, length == -1); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			return u.endBody(c, length, total)
		case err != nil:
			return clientFault(err)
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
	if err := c.setDue(socket.Now() + int64(u.responseTimeout)); err != nil {
		return sendFault(true, err)
	}
	if _, err := c.Write(piece); err != nil {
		return fmt.Errorf("%w: %w", errBodyRefused, sendFault(true, err))
	}
	return nil
}

func (u *Upstream) endBody(c *conn, length, total int) error {
	if length >= 0 && total != length {
		return clientFault(errTruncated)
	}
	if length == -1 {
		if err := u.writeAll(c, []byte("0\r\n\r\n")); err != nil {
			return err
		}
	}
	if err := c.setDue(socket.Now() + int64(u.responseTimeout)); err != nil {
		return sendFault(true, err)
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

// await gives a client time for the next piece of its body: stall, but not more
// than a client at rate would need.
func (p patience) await(client net.Conn, start time.Time, total int) error {
	limit := start.Add(p.stall + time.Duration(float64(total)/float64(p.rate)*float64(time.Second)))
	if d := time.Now().Add(p.stall); d.Before(limit) {
		limit = d
	}
	return client.SetReadDeadline(limit)
}

// takeChunks takes a chunked body that has already arrived in full off br, so
// that it goes to the client in one piece with its length. False: it has not,
// and nothing was taken.
func takeChunks(br *bufio.Reader, resp *fasthttp.Response) bool {
	b, err := br.Peek(br.Buffered())
	if err != nil || !bytes.HasSuffix(b, []byte("0\r\n\r\n")) {
		return false
	}
	total := len(b)
	resp.ResetBody()
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
		resp.AppendBody(rest[:n])
		b = rest[n+2:]
	}
	resp.ResetBody()
	return false
}

// stream makes the answer's body one that is read from c while it is written
// to the client, and hands c and br over to it.
func (u *Upstream) stream(br *bufio.Reader, s *server, c *conn, in *Inbound, length int, reusable bool) error {
	body := &responseBody{
		upstream: u, server: s, conn: c, reader: br, client: in.Ctx.Conn(),
		left: int64(length), reusable: reusable,
	}
	if length == -1 {
		body.chunks = httputil.NewChunkedReader(br)
	}
	resp := &in.Ctx.Response
	if length >= 0 || in.Ctx.Request.Header.IsHTTP11() {
		resp.ImmediateHeaderFlush = length < 0
		resp.SetBodyStream(body, max(length, -1))
		return nil
	}
	whole, err := io.ReadAll(io.LimitReader(body, maxOldBody+1))
	if err == nil && len(whole) > maxOldBody {
		err = errTooLong
	}
	if err != nil {
		resp.Reset()
		return fmt.Errorf("read the answer: %w: %w", denial.UpstreamUnreachable, err)
	}
	resp.SetBodyRaw(whole)
	return body.CloseWithError(nil)
}

// responseBody reads an answer's body from the upstream. It is closed by the
// server, with an error if the client did not get all of it.
type responseBody struct {
	upstream *Upstream
	server   *server
	conn     *conn
	reader   *bufio.Reader
	client   net.Conn
	chunks   io.Reader // of a chunked body
	left     int64     // of a body of known length; negative: until close, or chunked
	reusable bool
	done     bool
	err      error // the first error of a Read; the following ones return it, too
	closed   bool
}

// Read implements io.Reader. An early end is an error, so that the client sees
// a cut connection and not a complete answer.
func (b *responseBody) Read(p []byte) (int, error) {
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
func (b *responseBody) WriteTo(w io.Writer) (total int64, err error) {
	buf, _ := b.upstream.pool.blocks.Get().(*[copySize]byte)
	if buf == nil {
		buf = new([copySize]byte)
	}
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

func (b *responseBody) next(p []byte) (int, error) {
	if err := b.client.SetWriteDeadline(time.Now().Add(b.upstream.patience.stall)); err != nil {
		return 0, err
	}
	if b.reader.Buffered() == 0 {
		if err := b.conn.socket.SetReadDue(socket.Now() + int64(b.upstream.responseTimeout)); err != nil {
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

// CloseWithError gives the connection back, or closes it.
func (b *responseBody) CloseWithError(err error) error {
	if b.closed {
		return nil
	}
	b.closed = true
	if err == nil && b.done {
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
