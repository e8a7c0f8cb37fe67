package exchange

import (
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/header"
)

// Forward is what was decided about a request that goes upstream: what of it
// goes on, and what is added. It is plain data, valid as long as its request.
type Forward struct {
	// To is where the request goes.
	To Upstream
	// Path is the canonical path, exactly as it was matched.
	Path []byte
	// Rest is the offset in Path of what follows the Api's context path.
	Rest int
	// Query is the canonical query; nil: none.
	Query []byte
	// Sandbox: the request goes to the sandbox targets, of which there must be some.
	Sandbox bool
	// Credential is what to take out of the request; the zero value: nothing.
	Credential compile.Location
	// Strip holds the header names that a client must not send on this Api; nil: none.
	// What the gateway itself always sets or refuses is stripped anyway.
	Strip *header.Names
	// Set are the headers to add, after everything else was stripped. A name
	// that is listed here need not be in Strip.
	Set []HeaderValue
}

// HeaderValue is one field that the gateway adds. A value with anything but
// visible ASCII and inner blanks is sent percent-encoded.
type HeaderValue struct {
	Name  string
	Value string
}
