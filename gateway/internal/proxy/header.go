package proxy

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// Inbound is a client's request as the edge took it in.
type Inbound struct {
	// Ctx has the request's body and takes the answer.
	Ctx *fasthttp.RequestCtx
	// Block is the request's header section.
	Block *request.Block
	// Client is the client's address; the zero Addr: not known.
	Client netip.Addr
	// Via are the trusted proxies between the client and us, from the one next to
	// us to the one next to the client.
	Via []netip.Addr
	// Secure: the client speaks TLS.
	Secure bool
	// RequestID is what X-Request-Id is to say.
	RequestID []byte

	// Ended is set by Send: when the whole answer was there, by socket.Now; 0: not yet.
	Ended int64
}

// checkConnection refuses a Connection field that names a field which the
// gateway sets or relies on: whoever removed it on the way would undo what was
// decided here.
func checkConnection(in *Inbound, f *Forward) error {
	if in.Block.Count(request.Connection) == 0 {
		return nil
	}
	for _, line := range in.Block.Lines() {
		if line.Kind != request.Connection {
			continue
		}
		for value := line.Value; len(value) > 0; {
			var name []byte
			name, value = cutToken(value)
			if isProtected(name, f) {
				return denial.BadRequest
			}
		}
	}
	return nil
}

func isProtected(name []byte, f *Forward) bool {
	switch request.Classify(name) {
	case request.Host, request.ContentLength, request.TransferEncoding, request.Reserved, request.Forwarding:
		return true
	default:
	}
	if f.Strip.Has(name) || equalFold(name, f.Credential.Header) {
		return true
	}
	for i := range f.Set {
		if equalFold(name, f.Set[i].Name) {
			return true
		}
	}
	return equalFold(name, "authorization") || equalFold(name, "cookie") || equalFold(name, "content-type")
}

// cutToken takes the first element off a comma-separated list.
func cutToken(value []byte) (token, rest []byte) {
	token, rest, _ = bytes.Cut(value, []byte{','})
	return bytes.Trim(token, " \t"), rest
}

// namedByConnection reports whether a Connection field names this field.
func namedByConnection(b *request.Block, name []byte) bool {
	for _, line := range b.Lines() {
		if line.Kind != request.Connection {
			continue
		}
		for value := line.Value; len(value) > 0; {
			var token []byte
			token, value = cutToken(value)
			if len(token) == len(name) && bytes.EqualFold(token, name) {
				return true
			}
		}
	}
	return false
}

// appendHead appends the request line and header section for s. Length is the
// body's: -1 chunked, -2 none.
func (u *Upstream) appendHead(dst []byte, s *server, in *Inbound, f *Forward, length int) []byte {
	dst = append(dst, in.Ctx.Method()...)
	dst = append(dst, ' ')
	dst = u.appendTarget(dst, s, f)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	clientHost := in.Block.First(request.Host)
	if u.preserveHost && len(clientHost) > 0 {
		dst = append(dst, clientHost...)
	} else {
		dst = append(dst, s.host...)
	}
	dst = append(dst, '\r', '\n')
	dst = appendClientFields(dst, in, f)
	switch {
	case length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(length), 10)
		dst = append(dst, '\r', '\n')
	case length == -1:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	dst = appendForwarding(dst, in, clientHost)
	for i := range f.Set {
		dst = append(dst, f.Set[i].Name...)
		dst = append(dst, ':', ' ')
		dst = appendValue(dst, f.Set[i].Value)
		dst = append(dst, '\r', '\n')
	}
	return append(dst, '\r', '\n')
}

// appendTarget appends the path and query that s gets.
func (u *Upstream) appendTarget(dst []byte, s *server, f *Forward) []byte {
	start := len(dst)
	dst = append(dst, s.prefix...)
	path := f.Path
	if u.strip {
		path = path[f.Rest:]
	}
	if len(path) > 0 && path[0] != '/' {
		dst = append(dst, '/')
	}
	dst = append(dst, path...)
	if len(dst) == start {
		dst = append(dst, '/')
	}
	query := f.Query
	if query == nil {
		return dst
	}
	mark := len(dst)
	dst = append(dst, '?')
	if f.Credential.Query == "" {
		return append(dst, query...)
	}
	dst = request.AppendWithout(dst, query, '&', f.Credential.Query)
	if len(dst) == mark+1 {
		dst = dst[:mark] // the credential was all there was
	}
	return dst
}

// appendClientFields appends what of the client's header goes upstream: only
// plain fields that are neither named by Connection, nor set by the gateway on
// this Api, nor the credential.
func appendClientFields(dst []byte, in *Inbound, f *Forward) []byte {
	connection := in.Block.Count(request.Connection) > 0
	lines := in.Block.Lines()
	for i := range lines {
		line := &lines[i]
		if line.Kind != request.Plain || isTaken(line.Name, f) {
			continue
		}
		if connection && namedByConnection(in.Block, line.Name) {
			continue
		}
		value := line.Value
		mark := len(dst)
		dst = append(dst, line.Name...)
		dst = append(dst, ':', ' ')
		if f.Credential.Cookie != "" && equalFold(line.Name, "cookie") {
			before := len(dst)
			dst = request.AppendWithout(dst, value, ';', f.Credential.Cookie)
			if len(dst) == before {
				dst = dst[:mark]
				continue
			}
		} else {
			dst = append(dst, value...)
		}
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// isTaken reports whether a client's field has to make room for the gateway's,
// or is the credential.
func isTaken(name []byte, f *Forward) bool {
	if f.Credential.Header != "" && equalFold(name, f.Credential.Header) || f.Strip.Has(name) {
		return true
	}
	for i := range f.Set {
		if equalFold(name, f.Set[i].Name) {
			return true
		}
	}
	return false
}

func appendForwarding(dst []byte, in *Inbound, clientHost []byte) []byte {
	if in.Client.IsValid() {
		dst = append(dst, "X-Forwarded-For: "...)
		dst = in.Client.AppendTo(dst)
		for _, proxy := range slices.Backward(in.Via) {
			dst = append(dst, ',', ' ')
			dst = proxy.AppendTo(dst)
		}
		dst = append(dst, '\r', '\n')
	}
	if in.Secure {
		dst = append(dst, "X-Forwarded-Proto: https\r\n"...)
	} else {
		dst = append(dst, "X-Forwarded-Proto: http\r\n"...)
	}
	if len(clientHost) > 0 {
		dst = append(dst, "X-Forwarded-Host: "...)
		dst = append(dst, clientHost...)
		dst = append(dst, '\r', '\n')
	}
	dst = append(dst, "X-Request-Id: "...)
	dst = append(dst, in.RequestID...)
	return append(dst, '\r', '\n')
}

// appendValue appends a field value that comes from a token: visible ASCII and
// inner blanks as they are; if there is anything else, that and '%' are
// percent-encoded, so that no claim can end the field or be read in two ways.
func appendValue(dst []byte, v string) []byte {
	if isFieldValue(v) {
		return append(dst, v...)
	}
	const digits = "0123456789ABCDEF"
	for i := range len(v) {
		c := v[i]
		edge := c == ' ' && (i == 0 || i == len(v)-1)
		if c < ' ' || c > '~' || c == '%' || edge {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

func isFieldValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return v == "" || v[0] != ' ' && v[len(v)-1] != ' '
}

func equalFold(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}

// cleanResponse removes hop-by-hop fields from an upstream's answer, and those
// that it names in Connection, and what only the gateway says. It returns
// whether the upstream's connection can be used again.
func cleanResponse(h *fasthttp.ResponseHeader) (reusable bool) {
	reusable = !h.ConnectionClose()
	var drop [8][]byte // which stay as they are until fields are set
	found := drop[:0]
	for name, value := range h.All() {
		switch request.Classify(name) {
		case request.Connection:
			found = appendNamed(append(found, name), h, value)
		case request.TransferEncoding, request.HopByHop:
			found = append(found, name)
		case request.Reserved:
			if equalFold(name, "x-request-id") {
				found = append(found, name)
			}
		default:
		}
	}
	for _, name := range found {
		h.DelBytes(name)
	}
	h.ResetConnectionClose()
	return reusable
}

// appendNamed appends the names of the fields that a Connection field names, but for
// those that frame or describe the message whatever the upstream says.
func appendNamed(names [][]byte, h *fasthttp.ResponseHeader, connection []byte) [][]byte {
	for len(connection) > 0 {
		var token []byte
		token, connection = cutToken(connection)
		switch {
		case len(token) == 0, equalFold(token, "close"), equalFold(token, "keep-alive"),
			equalFold(token, "content-length"), equalFold(token, "content-type"):
			continue
		}
		for name := range h.All() {
			if bytes.EqualFold(name, token) {
				names = append(names, name)
			}
		}
	}
	return names
}
