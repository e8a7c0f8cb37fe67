// Package exchange is what the parts of a request's way through the gateway hand
// to each other: a front makes an exchange of what its HTTP stack received, the
// pipeline decides about the request, and a forwarder sends it on and answers it.
//
// It knows no HTTP stack, so that each of them can be another one.
package exchange

import "github.com/portcullis-gateway/portcullis/shared/compile"

// Upstream is where an Api's requests go, prepared by a forwarder for its
// settings. For the pipeline it is a handle: who sends knows what is behind it.
type Upstream interface {
	// HasSandbox reports whether there are sandbox targets.
	HasSandbox() bool
	// Preview returns the path that the upstream gets, without the path of its own
	// URL and without the query.
	Preview(f *Forward) string
}

// Prepare makes an Upstream of compiled settings.
type Prepare func(settings *compile.Upstream) Upstream
