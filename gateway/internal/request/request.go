// Package request is an HTTP request as the steps of the pipeline see it, free
// of any HTTP stack.
//
// A front fills a Request from whatever stack it serves, after it has brought
// the target and the host into the one canonical form of this package: what is
// matched is what is forwarded, so a target that could be read in two ways is
// refused (Canonical), not repaired.
package request

import (
	"crypto/x509"
	"net/netip"
)

// Request is a request's metadata. Its bytes belong to the connection and are
// overwritten when the request has been answered: copy what must live longer.
type Request struct {
	// Method as sent; methods are case-sensitive (RFC 9110 section 9.1).
	Method []byte
	// Host in the form that CanonicalHost gives: lower case, no port.
	Host []byte
	// Port is the authority's port; 0: the scheme's default.
	Port uint16
	// Secure: the client speaks TLS, to us or to a trusted proxy that says so.
	Secure bool
	// Path and Query in the form that Canonical gives; Query has no leading '?'.
	Path, Query []byte
	Header      Header
	// Address is the client's: that of the connection's other end, or the one that a
	// trusted proxy names; the zero Addr: there is none.
	Address netip.Addr
	// Certificate is one whose key the client has proven to hold, to us or to a
	// trusted proxy; nil: none. Its dates and its issuer have not been checked.
	Certificate *x509.Certificate
	// Chain are the certificates that came behind Certificate, as the client chose them.
	Chain []*x509.Certificate
	// Now is the time of the request in seconds since 1970: one for all steps.
	Now int64
}

// Header gives access to header fields. An HTTP stack's adapter and Fields implement it.
type Header interface {
	// Get returns the value of the first field with this name, and how many
	// fields have it; a name that occurs twice must not be trusted. The name
	// is in canonical form: "X-Api-Key". It does not allocate.
	Get(name string) (value []byte, count int)
}

// Field is one header field.
type Field struct{ Name, Value string }

// Fields is a Header kept as a list, for requests that did not come by HTTP:
// explanations and tests. Names are compared without regard to case.
type Fields []Field

// Get implements Header.
func (f Fields) Get(name string) (value []byte, count int) {
	for i := range f {
		if !equalFold(f[i].Name, name) {
			continue
		}
		if count == 0 {
			value = []byte(f[i].Value)
		}
		count++
	}
	return value, count
}

func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
