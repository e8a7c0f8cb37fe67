// Package proxy sends a request that was let through to its upstream, and
// brings the answer back.
//
// It owns three things: which target a request goes to and over which
// connection (Pool, Upstream), what of the client's header goes with it, and
// when a request may be sent a second time: only if nothing of it was sent.
package proxy

import "github.com/portcullis-gateway/portcullis/gateway/internal/exchange"

type (
	// Forward is what was decided about a request.
	Forward = exchange.Forward
	// HeaderValue is one field that the gateway adds.
	HeaderValue = exchange.HeaderValue
)
