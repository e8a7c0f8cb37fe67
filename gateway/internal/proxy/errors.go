package proxy

import "errors"

var (
	// errNotSent says that not one byte of a request reached the upstream, so
	// that it may be sent again elsewhere.
	errNotSent     = errors.New("nothing was sent")
	errBodyRefused = errors.New("the upstream takes no more of the request body")
	errTooMany     = errors.New("too many connections")
	errTruncated   = errors.New("the request body ended early")
	errTooLarge    = errors.New("the request body is too large")
	errSwitched    = errors.New("the upstream switched protocols unasked")
	errInterim     = errors.New("too many interim responses")
	errTooLong     = errors.New("the response body is too long for an HTTP/1.0 client")
)
