package rules

import (
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Code says what sort of problem it is.
type Code string

// The sorts of problems.
const (
	// Invalid: a field's value breaks a rule of the schema.
	Invalid Code = "invalid"
	// NotFound: the resource that is asked for does not exist.
	NotFound Code = "not_found"
	// Exists: a resource of this id exists already.
	Exists Code = "exists"
	// Conflict: another resource holds what must be unique.
	Conflict Code = "conflict"
	// Dangling: a reference leads nowhere.
	Dangling Code = "dangling_reference"
	// InUse: other resources refer to what shall be removed.
	InUse Code = "in_use"
	// Lifecycle: the step is not allowed from here.
	Lifecycle Code = "lifecycle"
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

// Error is "plan/gold: jwt.issuers[0]: no issuer "acme" (hint: …)".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Ref.String())
	if p.Field != "" {
		b.WriteString(": ")
		b.WriteString(p.Field)
	}
	b.WriteString(": ")
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (hint: ")
		b.WriteString(p.Hint)
		b.WriteString(")")
	}
	return b.String()
}

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
