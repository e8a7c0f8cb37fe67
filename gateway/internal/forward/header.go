package forward

import (
	"bytes"
	"slices"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// Check refuses a request that must not go upstream, before anything of its body
// was read: with denial.BadRequest one whose Connection field names a field that
// the gateway sets or relies on, with denial.RequestTooLarge one that announces a
// longer body than the upstream takes.
func (s Settings) Check(x *exchange.Exchange, f *exchange.Forward) error {
	if err := checkConnection(x.Fields, f); err != nil {
		return err
	}
	if x.Length > s.MaxRequestBody {
		return denial.RequestTooLarge
	}
	return nil
}

// checkConnection refuses a Connection field that names a field which the
// gateway sets or relies on: a hop that removed it would undo what was
// decided here.
func checkConnection(b *request.Block, f *exchange.Forward) error {
	if b.Count(request.Connection) == 0 {
		return nil
	}
	for _, line := range b.Lines() {
		if line.Kind != request.Connection {
			continue
		}
		for value := line.Value; len(value) > 0; {
			var name []byte
			name, value = cutToken(value)
			if isProtected(name, f) {
				return denial.BadRequest.Because(cause.ConnectionField)
			}
		}
	}
	return nil
}

func isProtected(name []byte, f *exchange.Forward) bool {
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

// AppendTarget appends the path and query that a target with this path prefix gets.
func (s Settings) AppendTarget(dst []byte, prefix string, f *exchange.Forward) []byte {
	start := len(dst)
	dst = append(dst, prefix...)
	path := f.Path
	if s.StripContextPath {
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

// Preview returns the path that a target gets behind the prefix of its own URL,
// without the query.
func (s Settings) Preview(f *exchange.Forward) string {
	asked := *f
	asked.Query = nil
	return string(s.AppendTarget(nil, "", &asked))
}

// AppendHost appends what the Host field of a request to t says.
func (s Settings) AppendHost(dst []byte, t *compile.Target, x *exchange.Exchange) []byte {
	if s.PreserveHost {
		if host := x.Fields.First(request.Host); len(host) > 0 {
			return append(dst, host...)
		}
	}
	return append(dst, t.Host...)
}

// AppendFields appends the header lines that go upstream, but for Host and the
// one that frames the body: what may pass of the client's, then the gateway's own.
func AppendFields(dst []byte, x *exchange.Exchange, f *exchange.Forward) []byte {
	dst = appendClientFields(dst, x, f)
	dst = appendForwarding(dst, x)
	for i := range f.Set {
		dst = append(dst, f.Set[i].Name...)
		dst = append(dst, ':', ' ')
		dst = appendValue(dst, f.Set[i].Value)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// appendClientFields appends what of the client's header goes upstream: only
// plain fields that are neither named by Connection, nor set by the gateway on
// this Api, nor the credential.
func appendClientFields(dst []byte, x *exchange.Exchange, f *exchange.Forward) []byte {
	b := x.Fields
	connection := b.Count(request.Connection) > 0
	lines := b.Lines()
	for i := range lines {
		line := &lines[i]
		if line.Kind != request.Plain || isTaken(line.Name, f) || x.Traceparent != nil && isTraceContext(line.Name) {
			continue
		}
		if connection && namedByConnection(b, line.Name) {
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

// isTraceContext tells the fields of W3C Trace Context.
func isTraceContext(name []byte) bool {
	return equalFold(name, "traceparent") || equalFold(name, "tracestate")
}

// isTaken reports whether a client's field has to make room for the gateway's,
// or is the credential.
func isTaken(name []byte, f *exchange.Forward) bool {
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

func appendForwarding(dst []byte, x *exchange.Exchange) []byte {
	if client := x.Request.Address; client.IsValid() {
		dst = append(dst, "X-Forwarded-For: "...)
		dst = client.AppendTo(dst)
		for _, proxy := range slices.Backward(x.Via) {
			dst = append(dst, ',', ' ')
			dst = proxy.AppendTo(dst)
		}
		dst = append(dst, '\r', '\n')
	}
	if x.Request.Secure {
		dst = append(dst, "X-Forwarded-Proto: https\r\n"...)
	} else {
		dst = append(dst, "X-Forwarded-Proto: http\r\n"...)
	}
	if clientHost := x.Fields.First(request.Host); len(clientHost) > 0 {
		dst = append(dst, "X-Forwarded-Host: "...)
		dst = append(dst, clientHost...)
		dst = append(dst, '\r', '\n')
	}
	dst = append(dst, "X-Request-Id: "...)
	dst = append(dst, x.ID...)
	dst = append(dst, '\r', '\n')
	if x.Traceparent == nil {
		return dst
	}
	dst = append(dst, "traceparent: "...)
	dst = append(dst, x.Traceparent...)
	dst = append(dst, '\r', '\n')
	if len(x.Tracestate) > 0 {
		dst = append(dst, "tracestate: "...)
		dst = append(dst, x.Tracestate...)
		dst = append(dst, '\r', '\n')
	}
	return dst
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

// Clean takes out of an answer's fields what must not pass: those that end at each
// hop, those that Connection names, those that frame the body, and what only the
// gateway says. It works in place.
func Clean(fields []exchange.Field) []exchange.Field {
	named := false
	for i := range fields {
		named = named || request.Classify(fields[i].Name) == request.Connection
	}
	kept := fields[:0]
	for i := range fields {
		if passes(fields[i].Name) && !(named && namedInAnswer(fields, fields[i].Name)) {
			fields[i], fields[len(kept)] = fields[len(kept)], fields[i]
			kept = fields[:len(kept)+1]
		}
	}
	return kept
}

func passes(name []byte) bool {
	switch request.Classify(name) {
	case request.Connection, request.ContentLength, request.TransferEncoding, request.HopByHop:
		return false
	case request.Reserved:
		return !equalFold(name, "x-request-id")
	default:
		return true
	}
}

// namedInAnswer reports whether a Connection field names this field, and may: not
// what describes the message whatever the upstream says.
func namedInAnswer(fields []exchange.Field, name []byte) bool {
	if equalFold(name, "content-type") {
		return false
	}
	for i := range fields {
		if request.Classify(fields[i].Name) != request.Connection {
			continue
		}
		for value := fields[i].Value; len(value) > 0; {
			var token []byte
			token, value = cutToken(value)
			if len(token) > 0 && bytes.EqualFold(token, name) {
				return true
			}
		}
	}
	return false
}
