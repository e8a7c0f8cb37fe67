package request

import "bytes"

// Canonical brings an origin-form request target (RFC 9112 section 3.2.1) into
// the one form that is matched and forwarded, and returns its path and its
// query (without '?'; nil: there was no '?').
//
// In the path: runs of '/' are one '/'; percent-encodings of characters that
// mean the same unencoded are decoded, all others have upper-case digits;
// characters that should have been encoded (like '{') are. Refused are raw
// control, space, 8-bit and '\' bytes, '#', broken percent-encodings, encoded
// '/', '\' and control characters, double encodings of those, overlong UTF-8,
// and '.' and '..' segments in every spelling, with ';' parameters too, as well as
// segments that are nothing but parameters.
// A trailing '/' is kept, and so are ';' parameters.
//
// The query is left as it is; refused are control, space, 8-bit, '\' and '#'
// bytes and broken percent-encodings.
//
// The results share memory with rawTarget where the path is canonical already
// (the usual case), and with dst, which is appended to, where it is not.
func Canonical(dst, rawTarget []byte) (path, query []byte, err error) {
	if len(rawTarget) == 0 || rawTarget[0] != '/' {
		return nil, nil, ErrTargetForm
	}
	i, plain := scanPlain(rawTarget)
	path = rawTarget[:i]
	if i < len(rawTarget) && rawTarget[i] == '?' {
		query = rawTarget[i+1:]
		if err := checkQuery(query); err != nil {
			return nil, nil, err
		}
	} else if i < len(rawTarget) {
		return nil, nil, ErrCharacter
	}
	if !plain {
		path, err = rewritePath(dst, path)
		if err != nil {
			return nil, nil, err
		}
	}
	return path, query, nil
}

// What a byte of a raw path is.
const (
	bytePlain  = iota // stands for itself
	bytePct           // '%'
	byteEncode        // to be percent-encoded
	byteEnd           // '?', or a byte that is refused
)

// byteClass classifies a byte outside a percent-encoding.
//
//nolint:gochecknoglobals // a constant table
var byteClass = func() (t [256]byte) {
	for c := range t {
		switch {
		case c <= ' ' || c >= 0x7f || c == '#' || c == '\\' || c == '?':
			t[c] = byteEnd
		case c == '%':
			t[c] = bytePct
		case bytes.IndexByte([]byte("\"<>[]^`{|}"), byte(c)) >= 0:
			t[c] = byteEncode
		default:
			t[c] = bytePlain
		}
	}
	return t
}()

// scanPlain returns the end of the path, and whether it is canonical as it stands.
func scanPlain(target []byte) (end int, plain bool) {
	plain = true
	previous := byte(0)
	for i, c := range target {
		switch byteClass[c] {
		case byteEnd:
			return i, plain
		case bytePlain:
			if previous == '/' && (c == '/' || c == '.' || c == ';') {
				plain = false
			}
		default:
			plain = false
		}
		previous = c
	}
	return len(target), plain
}

// rewritePath appends the canonical form of path to dst and returns it.
func rewritePath(dst, path []byte) ([]byte, error) {
	start := len(dst)
	segment := start // where the current segment begins
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case byteClass[c] == bytePct:
			var err error
			if dst, err = appendEscape(dst, path[i:]); err != nil {
				return nil, err
			}
			i += 2
		case byteClass[c] == byteEncode:
			dst = appendEncoded(dst, c)
		case c != '/':
			dst = append(dst, c)
		case isDots(dst[segment:]):
			return nil, ErrDotSegment
		case len(dst) == start || dst[len(dst)-1] != '/':
			dst = append(dst, c)
			segment = len(dst)
		}
	}
	if isDots(dst[segment:]) {
		return nil, ErrDotSegment
	}
	if isDoublyEncoded(dst[start:]) {
		return nil, ErrEscape
	}
	return dst[start:], nil
}

// isDots reports whether a segment without its parameters is "." or "..", or
// nothing, which a server that cuts parameters off might leave out. An encoded
// ';' counts: there are servers that decode before they cut.
func isDots(segment []byte) bool {
	n := 0
	for n < len(segment) && n < 3 && segment[n] == '.' {
		n++
	}
	rest := segment[n:]
	if len(rest) == 0 {
		return n == 1 || n == 2
	}
	return n < 3 && (rest[0] == ';' || bytes.HasPrefix(rest, []byte("%3B")))
}

// appendEscape appends the canonical form of the percent-encoding that rest begins with.
func appendEscape(dst, rest []byte) ([]byte, error) {
	c, ok := unhex(rest)
	if !ok {
		return nil, ErrEscape
	}
	switch {
	case c < ' ' || c == 0x7f || c == '/' || c == '\\':
		return nil, ErrEscape
	case c >= 0xc0 && isOverlong(c, rest[3:]):
		return nil, ErrEscape
	case isDecoded(c):
		return append(dst, c), nil
	}
	return appendEncoded(dst, c), nil
}

// isDecoded reports whether a percent-encoding of c is undone: c is unreserved
// (RFC 3986 section 2.3), or one of the reserved characters that mean the same
// either way in a path segment. ';' is not (it begins parameters), nor is '+'
// (some take it for a blank).
func isDecoded(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return bytes.IndexByte([]byte("-._~!$&'()*,=:@"), c) >= 0
}

// isDoublyEncoded reports whether a canonical path has an encoded '%' that makes
// a server which decodes twice see a character that is refused when encoded
// once, or again a '%'.
func isDoublyEncoded(path []byte) bool {
	for {
		_, rest, found := bytes.Cut(path, []byte("%25"))
		if !found || len(rest) < 2 {
			return false
		}
		hi, ok1 := hexValue(rest[0])
		lo, ok2 := hexValue(rest[1])
		c := hi<<4 | lo
		if ok1 && ok2 && (c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == '.' || c == '%') {
			return true
		}
		path = rest
	}
}

// isOverlong reports whether lead and the percent-encoding after it begin an
// overlong form of UTF-8 (RFC 3629 section 3), in which old servers find '/' and '.'.
func isOverlong(lead byte, rest []byte) bool {
	next, ok := unhex(rest)
	if !ok || next < 0x80 || next > 0xbf {
		return false
	}
	return lead <= 0xc1 || lead == 0xe0 && next < 0xa0 || lead == 0xf0 && next < 0x90
}

func checkQuery(query []byte) error {
	for i, c := range query {
		switch {
		case c == '?':
		case byteClass[c] == byteEnd:
			return ErrCharacter
		case c == '%':
			if _, ok := unhex(query[i:]); !ok {
				return ErrEscape
			}
		}
	}
	return nil
}

// unhex decodes the percent-encoding at the start of b.
func unhex(b []byte) (byte, bool) {
	if len(b) < 3 || b[0] != '%' {
		return 0, false
	}
	hi, ok1 := hexValue(b[1])
	lo, ok2 := hexValue(b[2])
	return hi<<4 | lo, ok1 && ok2
}

func hexValue(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func appendEncoded(dst []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}
