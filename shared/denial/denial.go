// Package denial holds every way in which the gateway refuses a request: its
// status, code, reason and the answer a client sees.
//
// A Denial is an immutable value, of which there is one for each cause: Because
// finds it. errors.Is takes those that differ in their cause only for the same, and
// so do clients, who are not told the cause. Its answers are
// rendered once, when the program starts, in each error format an Api may
// choose, so that refusing costs no allocation and no answer can ever carry
// something of the request or of the gateway's configuration.
//
// The answer's challenge (the WWW-Authenticate field) follows RFC 6750 section
// 3 for bearer tokens. For API keys, which no RFC defines, it is
// `ApiKey realm="portcullis"` in the general syntax of RFC 9110 section 11.6.1.
package denial

import (
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// Realm is the protection space that every challenge names.
const Realm = "portcullis"

// Denial is the refusal of a request. Denials are shared: do not change them.
type Denial struct { //nolint:errname // "denial.Denial" is the word of the glossary; it is an error only so that steps can return it
	of    *refusal
	cause cause.Cause
}

// refusal is what Denials have in common that differ in their cause only.
type refusal struct {
	answers [formats]Answer
	spec    spec
	because []Denial // by cause; nil: they are made when they are asked for
}

// Answer is a refusal as the client gets it. Its slices are shared: do not write to them.
type Answer struct {
	// Status is the HTTP status code.
	Status int
	// ContentType belongs to Body.
	ContentType string
	Body        []byte
	// Text is the body for a client that accepts no JSON, with content type
	// TextContentType; nil if the format has none.
	Text []byte
	// Challenge is the WWW-Authenticate field; empty: none.
	Challenge string
	// RetryAfter is the Retry-After field in seconds when the decision has no better one; empty: none.
	RetryAfter string
}

// TextContentType is the content type of Answer.Text.
const TextContentType = "text/plain; charset=utf-8"

// Error returns the reason.
func (d *Denial) Error() string { return d.of.spec.reason }

// Status returns the HTTP status code in our own format; 0 never occurs.
func (d *Denial) Status() int { return d.of.spec.status }

// Code returns the numeric code that clients of older gateways know; 0: none.
func (d *Denial) Code() int { return d.of.spec.code }

// Reason returns the stable name of the refusal, which is also its metric label.
func (d *Denial) Reason() string { return d.of.spec.reason }

// Cause returns why this request is refused, for operators.
func (d *Denial) Cause() cause.Cause { return d.cause }

// Because returns the same refusal for another cause. For those of this package it
// does not allocate.
func (d *Denial) Because(c cause.Cause) *Denial {
	if int(c) < len(d.of.because) {
		return &d.of.because[c]
	}
	return &Denial{of: d.of, cause: c}
}

// Answer returns the prebuilt answer in format; an unknown format gets ours.
// It does not allocate.
func (d *Denial) Answer(format pb.Api_ErrorFormat) Answer {
	if format < 0 || int(format) >= formats {
		format = pb.Api_PROBLEM
	}
	return d.of.answers[format]
}

// WithScope returns a copy of d whose challenge names the scopes that are
// needed (RFC 6750 section 3), separated by blanks. It renders again: call it
// when a plan is compiled, not for a request. Scopes with a character that
// RFC 6749 section 3.3 forbids are left out of the challenge altogether.
// The copy is equal to d for errors.Is.
func (d *Denial) WithScope(scopes string) *Denial {
	if scopes == "" || !isScope(scopes) {
		return d
	}
	s := d.of.spec
	s.scope = scopes
	return &Denial{of: prepare(s), cause: d.cause}
}

// WithDPoP returns a copy of d whose challenge also asks for DPoP (RFC 9449
// section 7.1) or, if only is true, for that instead of a bearer token. Like
// WithScope it renders again. The copy is equal to d for errors.Is.
func (d *Denial) WithDPoP(only bool) *Denial {
	s := d.of.spec
	s.scheme |= dpop
	if only {
		s.bearerless, s.scheme = s.scheme&bearer != 0, s.scheme&^bearer
	}
	return &Denial{of: prepare(s), cause: d.cause}
}

// Is reports whether target is the same refusal, whatever its cause and its scopes; for errors.Is.
func (d *Denial) Is(target error) bool {
	t, ok := target.(*Denial)
	return ok && (t.of == d.of || t.of.spec.is(d.of.spec))
}

func isScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
