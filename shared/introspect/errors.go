package introspect

import (
	"errors"

	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// Outcome is how a question ended; it is meant as a metric label.
type Outcome string

// The outcomes.
const (
	Active       Outcome = "active"
	Inactive     Outcome = "inactive"
	Unreachable  Outcome = "unreachable"  // no connection, or TLS failed
	Timeout      Outcome = "timeout"      // no whole answer in time
	BadStatus    Outcome = "bad_status"   // not 200; a redirect, too
	Unauthorized Outcome = "unauthorized" // the server does not accept the gateway: 401 or 403
	TooLarge     Outcome = "too_large"    // more than 64 KiB
	Invalid      Outcome = "invalid"      // not an answer as RFC 7662 section 2.2 has it
	Undiscovered Outcome = "undiscovered" // the provider's metadata cannot be had or used
	Busy         Outcome = "busy"         // too many questions wait
	Open         Outcome = "circuit_open" // the server has failed too often to be asked
)

// Outcomes lists all of them.
func Outcomes() []Outcome {
	return []Outcome{Active, Inactive, Unreachable, Timeout, BadStatus, Unauthorized, TooLarge, Invalid, Undiscovered, Busy, Open}
}

// Error says that nothing could be found out about a token. It holds nothing of
// the token and no secret.
type Error struct {
	Outcome Outcome
	// Lasting: the same token would get the same again, so it need not be asked
	// about at once.
	Lasting bool

	message string
	// counts: it speaks against the server's health.
	counts bool
}

// Error returns what happened, for operators.
func (e *Error) Error() string { return e.message }

// Cause returns what an operator's metrics call it.
func (e *Error) Cause() cause.Cause {
	switch e.Outcome {
	case Timeout:
		return cause.IntrospectionTimeout
	case BadStatus:
		return cause.IntrospectionStatus
	case Unauthorized:
		return cause.IntrospectionUnauthorized
	case TooLarge, Invalid:
		return cause.IntrospectionAnswer
	case Undiscovered:
		return cause.IntrospectionUndiscovered
	case Busy:
		return cause.IntrospectionBusy
	case Open:
		return cause.IntrospectionCircuit
	case Unreachable, Active, Inactive:
	}
	return cause.IntrospectionUnreachable
}

// ErrInactive: the server says that the token is not active.
var ErrInactive = errors.New("the introspection server says that the token is not active")

func fault(outcome Outcome, message string) *Error {
	return &Error{Outcome: outcome, message: message, counts: true}
}

// ofToken is a fault that may well be this token's doing.
func ofToken(outcome Outcome, message string) *Error {
	return &Error{Outcome: outcome, message: message, Lasting: true}
}
