package request

import (
	"bytes"
	"strconv"
)

// SplitTarget splits a raw request target into its authority and its origin
// form (RFC 9112 section 3.2). An origin-form target has no authority (nil). Of
// an absolute-form target, which must be an http or https URL, the origin form
// is what follows the authority; "/" if nothing does, with a query if there is one.
func SplitTarget(raw []byte) (scheme string, authority, origin []byte, err error) {
	if len(raw) > 0 && raw[0] == '/' {
		return "", nil, raw, nil
	}
	var rest []byte
	switch {
	case hasPrefixFold(raw, "http://"):
		scheme, rest = "http", raw[len("http://"):]
	case hasPrefixFold(raw, "https://"):
		scheme, rest = "https", raw[len("https://"):]
	default:
		return "", nil, nil, ErrTargetForm
	}
	i := bytes.IndexAny(rest, "/?#")
	switch {
	case i < 0:
		return scheme, rest, []byte("/"), nil
	case rest[i] == '/':
		return scheme, rest[:i], rest[i:], nil
	case rest[i] == '?':
		return scheme, rest[:i], append([]byte("/"), rest[i:]...), nil
	}
	return "", nil, nil, ErrCharacter
}

// CanonicalHost checks the value of a Host header or an authority, and returns
// its host as routes are matched: lower case, without port and trailing dot; an
// IPv6 literal keeps its brackets. Port is 0 if there is none.
//
// The result shares memory with raw where that is canonical already, and with
// dst, which is appended to, where it is not.
func CanonicalHost(dst, raw []byte) (host []byte, port uint16, err error) {
	host, port, err = splitPort(raw)
	if err != nil {
		return nil, 0, err
	}
	if len(host) > 0 && host[0] == '[' {
		return canonicalLiteral(dst, host, port)
	}
	if host, err = canonicalName(dst, host); err != nil {
		return nil, 0, err
	}
	return host, port, nil
}

// canonicalName checks a host that is a name or an IPv4 address.
func canonicalName(dst, host []byte) ([]byte, error) {
	if n := len(host); n > 0 && host[n-1] == '.' {
		host = host[:n-1]
	}
	if len(host) == 0 || len(host) > 253 || host[len(host)-1] == '.' {
		return nil, ErrHost
	}
	upper := false
	for i, c := range host {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case 'A' <= c && c <= 'Z':
			upper = true
		case c == '.' && i > 0 && host[i-1] != '.':
		default:
			return nil, ErrHost
		}
	}
	if upper {
		host = appendLower(dst, host)
	}
	return host, nil
}

// SameAuthority reports whether a target's authority agrees with the Host
// header: same host, and same port after the scheme's default is filled in.
func SameAuthority(scheme string, hostA []byte, portA uint16, hostB []byte, portB uint16) bool {
	standard := uint16(80)
	if scheme == "https" {
		standard = 443
	}
	if portA == 0 {
		portA = standard
	}
	if portB == 0 {
		portB = standard
	}
	return portA == portB && bytes.Equal(hostA, hostB)
}

// splitPort takes the port off; 0: there is none.
func splitPort(raw []byte) (host []byte, port uint16, err error) {
	i := bytes.LastIndexByte(raw, ':')
	if i < 0 || bytes.IndexByte(raw[i:], ']') >= 0 {
		return raw, 0, nil // no colon, or one inside an IPv6 literal
	}
	if i+1 < len(raw) {
		port, err = parsePort(raw[i+1:])
	}
	return raw[:i], port, err
}

func parsePort(digits []byte) (uint16, error) {
	if len(digits) > 5 || digits[0] == '+' || digits[0] == '-' {
		return 0, ErrHost
	}
	n, err := strconv.ParseUint(string(digits), 10, 16)
	if err != nil || n == 0 {
		return 0, ErrHost
	}
	return uint16(n), nil
}

// canonicalLiteral checks an IPv6 literal loosely: it is only ever compared.
func canonicalLiteral(dst, host []byte, port uint16) ([]byte, uint16, error) {
	if len(host) < 4 || host[len(host)-1] != ']' {
		return nil, 0, ErrHost
	}
	upper := false
	for _, c := range host[1 : len(host)-1] {
		if _, hex := hexValue(c); !hex && c != ':' && c != '.' {
			return nil, 0, ErrHost
		}
		upper = upper || 'A' <= c && c <= 'Z'
	}
	if upper {
		host = appendLower(dst, host)
	}
	return host, port, nil
}

func appendLower(dst, b []byte) []byte {
	start := len(dst)
	for _, c := range b {
		dst = append(dst, lower(c))
	}
	return dst[start:]
}

func hasPrefixFold(b []byte, prefix string) bool {
	if len(b) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(b[i]) != prefix[i] {
			return false
		}
	}
	return true
}
