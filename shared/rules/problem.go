package rules

import (
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// Code says what sort of problem it is.
type Code = fault.Code

// The sorts of problems, see package fault.
const (
	Invalid   = fault.Invalid
	NotFound  = fault.NotFound
	Exists    = fault.Exists
	Conflict  = fault.Conflict
	Dangling  = fault.Dangling
	InUse     = fault.InUse
	Lifecycle = fault.Lifecycle
)

// Problem is one reason why a proposal is refused, written for the person who made it.
type Problem struct { //nolint:errname // a list of problems is an error, and one is a part of it
	Ref catalog.Ref
	// Field is a path like "upstream.targets[0].url"; empty: the whole resource.
	Field   string
	Code    Code
	Message string
	// Hint is the cure, if there is an obvious one.
	Hint string
}

// Fault is the problem without a place in a text.
func (p Problem) Fault() fault.Fault {
	return fault.Fault{
		Kind: catalog.KindName(p.Ref.Kind), ID: p.Ref.ID, Field: p.Field,
		Code: p.Code, Message: p.Message, Hint: p.Hint,
	}
}

// Error is "plan/gold: jwt.issuers[0]: no issuer "acme" (hint: …)".
func (p Problem) Error() string { return p.Fault().Error() }

// Problems are all reasons at once; never empty when returned as an error.
type Problems []Problem //nolint:errname // the plural of Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Has reports whether one of the problems is of the given sort.
func (ps Problems) Has(c Code) bool {
	for _, p := range ps {
		if p.Code == c {
			return true
		}
	}
	return false
}
