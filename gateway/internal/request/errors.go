package request

import "errors"

// Why a request's target or host is refused.
var (
	ErrTargetForm  = errors.New("the request target is neither a path nor an http URL")
	ErrCharacter   = errors.New("the request target has a character that must be percent-encoded")
	ErrEscape      = errors.New("the request target has a broken or forbidden percent-encoding")
	ErrDotSegment  = errors.New("the path has a dot segment, or one of parameters alone")
	ErrHeader      = errors.New("the header section is malformed")
	ErrHost        = errors.New("the host is malformed")
	ErrHostDiffers = errors.New("the request target and the Host header name different hosts")
)
