package fast

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
)

//nolint:gochecknoglobals // a constant
var idHeader = []byte(front.IDHeader)

// answer is the exchange.Answer of fasthttp, which writes the response after the
// request's handler has returned.
type answer struct {
	ctx    *fasthttp.RequestCtx
	call   *front.Call
	length int64
	err    error // why there can be no such head
}

// reset takes back what was answered so far.
func (a *answer) reset() {
	resp := &a.ctx.Response
	closing := resp.ConnectionClose()
	resp.Reset()
	if closing {
		resp.SetConnectionClose()
	}
}

// Head implements exchange.Answer.
func (a *answer) Head(head *exchange.Head) {
	resp := &a.ctx.Response
	closing := resp.ConnectionClose()
	a.length = head.Length
	a.err = parseHead(&resp.Header, head)
	resp.Header.ResetConnectionClose() // which the parser sets without a length
	if closing {
		resp.SetConnectionClose()
	}
	resp.SkipBody = a.ctx.IsHead() || head.Status == fasthttp.StatusNotModified
}

// headParser lets fasthttp parse a head. Only what it has parsed it leaves as it is:
// it spells the names of other fields in its own way, and takes no Date.
type headParser struct {
	text []byte
	from bytes.Reader
	br   *bufio.Reader
}

// maxHead bounds an answer's head in bytes: forwarders accept half of it.
const maxHead = 32 << 10

//nolint:gochecknoglobals // memory that is used again
var headParsers = sync.Pool{New: func() any { return &headParser{br: bufio.NewReaderSize(nil, maxHead)} }}

func parseHead(h *fasthttp.ResponseHeader, head *exchange.Head) error {
	p, ok := headParsers.Get().(*headParser)
	if !ok {
		return errors.New("BUG: there is nothing else in the pool")
	}
	defer headParsers.Put(p)
	p.text = appendHead(p.text[:0], head)
	p.from.Reset(p.text)
	p.br.Reset(&p.from)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	if err := h.Read(p.br); err != nil {
		return fmt.Errorf("the head of the answer: %w", err)
	}
	h.SetProtocol(nil) // the client's
	return nil
}

func appendHead(dst []byte, head *exchange.Head) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(head.Status), 10)
	dst = append(dst, ' ')
	dst = append(append(dst, head.Reason...), '\r', '\n')
	if head.Length >= 0 {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, head.Length, 10)
		dst = append(dst, '\r', '\n')
	}
	for i := range head.Fields {
		f := &head.Fields[i]
		dst = append(append(dst, f.Name...), ':', ' ')
		dst = append(append(dst, f.Value...), '\r', '\n')
	}
	return append(dst, '\r', '\n')
}

// Bytes implements exchange.Answer.
func (a *answer) Bytes(body []byte) { a.ctx.Response.SetBody(body) }

// Stream implements exchange.Answer.
func (a *answer) Stream(body io.ReadCloser) error {
	resp := &a.ctx.Response
	if a.length >= 0 || a.ctx.Request.Header.IsHTTP11() {
		resp.ImmediateHeaderFlush = a.length < 0
		resp.SetBodyStream(a.call.Watch(body), int(max(a.length, -1)))
		return nil
	}
	defer body.Close()
	whole, err := front.Collect(body)
	if err != nil {
		return err
	}
	a.length = int64(len(whole))
	resp.SetBodyRaw(whole)
	return nil
}

// Hijack implements exchange.Answer. serve is called when the head was sent.
func (a *answer) Hijack(serve func(net.Conn)) error {
	a.ctx.Hijack(serve)
	return nil
}
