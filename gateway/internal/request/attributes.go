package request

import (
	"bytes"

	"github.com/portcullis-gateway/portcullis/shared/header"
)

// QueryValue returns the decoded value of the first parameter with this name,
// and how many parameters have it. Parameters are separated by '&'; names are
// compared after decoding, so that an encoded spelling is not another name.
func QueryValue(query []byte, name string) (value string, count int) {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte{'&'})
		key, v, _ := bytes.Cut(pair, []byte{'='})
		if !decodedEqual(key, name) {
			continue
		}
		if count == 0 {
			value = string(appendDecoded(nil, v))
		}
		count++
	}
	return value, count
}

// AppendWithout appends a query (separator '&') or the value of a Cookie field
// (separator ';') to dst without the parameters or cookies of this name.
func AppendWithout(dst, list []byte, separator byte, name string) []byte {
	start := len(dst)
	for len(list) > 0 {
		var pair []byte
		pair, list, _ = bytes.Cut(list, []byte{separator})
		key, _, _ := bytes.Cut(pair, []byte{'='})
		if separator == ';' {
			pair, key = bytes.Trim(pair, " \t"), bytes.Trim(key, " \t")
			if len(pair) == 0 || string(key) == name {
				continue
			}
		} else if decodedEqual(key, name) {
			continue
		}
		if len(dst) > start {
			dst = append(dst, separator)
			if separator == ';' {
				dst = append(dst, ' ')
			}
		}
		dst = append(dst, pair...)
	}
	return dst
}

// CookieValue returns the value of the first cookie with this name in a Cookie
// header (RFC 6265 section 4.2.1), and how many cookies have it. Quotes around
// the value are taken off.
func CookieValue(cookie []byte, name string) (value string, count int) {
	for len(cookie) > 0 {
		var pair []byte
		pair, cookie, _ = bytes.Cut(cookie, []byte{';'})
		key, v, _ := bytes.Cut(pair, []byte{'='})
		if string(bytes.Trim(key, " \t")) != name {
			continue
		}
		if count == 0 {
			v = bytes.Trim(v, " \t")
			if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			value = string(v)
		}
		count++
	}
	return value, count
}

// decodedEqual reports whether a query parameter's name decodes to name.
func decodedEqual(key []byte, name string) bool {
	if bytes.IndexByte(key, '%') < 0 && bytes.IndexByte(key, '+') < 0 {
		return string(key) == name
	}
	return string(appendDecoded(nil, key)) == name
}

// appendDecoded decodes application/x-www-form-urlencoded; a broken encoding stands for itself.
func appendDecoded(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if d, ok := unhex(b[i:]); ok {
				c = d
				i += 2
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// Attributes shows a Request to expressions. It parses only what is asked for.
// It is not safe for concurrent use, and lives no longer than its Request.
type Attributes struct {
	request   *Request
	ambiguous bool
}

// Attributes returns r as expressions see it.
func (r *Request) Attributes() *Attributes { return &Attributes{request: r} }

// Ambiguous reports whether something that was asked for occurs more than once
// in the request. Another server might choose another occurrence, so a
// credential that was found this way must be refused.
func (a *Attributes) Ambiguous() bool { return a.ambiguous }

// Method returns the method as sent.
func (a *Attributes) Method() string { return string(a.request.Method) }

// Path returns the canonical path.
func (a *Attributes) Path() string { return string(a.request.Path) }

// Host returns the canonical host.
func (a *Attributes) Host() string { return string(a.request.Host) }

// ClientIP returns the client's address in text, or "" if it is not known.
func (a *Attributes) ClientIP() string {
	if !a.request.Address.IsValid() {
		return ""
	}
	return a.request.Address.String()
}

// Header returns the first field with this name, in any case.
func (a *Attributes) Header(name string) (string, bool) {
	if a.request.Header == nil {
		return "", false
	}
	value, count := a.request.Header.Get(header.Canonical(name))
	return a.found(string(value), count)
}

// Query returns the first query parameter with this name, decoded.
func (a *Attributes) Query(name string) (string, bool) {
	return a.found(QueryValue(a.request.Query, name))
}

// Cookie returns the first cookie with this name.
func (a *Attributes) Cookie(name string) (string, bool) {
	if a.request.Header == nil {
		return "", false
	}
	cookie, headers := a.request.Header.Get("Cookie")
	if headers > 1 {
		a.ambiguous = true
	}
	return a.found(CookieValue(cookie, name))
}

func (a *Attributes) found(value string, count int) (string, bool) {
	if count > 1 {
		a.ambiguous = true
	}
	return value, count > 0
}
