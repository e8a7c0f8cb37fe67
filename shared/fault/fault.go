package fault

import (
	"strconv"
	"strings"
	"unicode"
)

// Fault is one thing that is wrong with what a person or a program wrote. Every
// member but Message may be empty: a check fills what it knows (mostly Field), and
// its callers add the resource and the position. It never holds a secret.
//
// In JSON it is an element of a problem document's `errors`.
type Fault struct { //nolint:errname // one of a List, and the name that the REST API gives it
	// File is the file's name, or what else the text came from: "flag --listen".
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0: unknown. Columns count bytes.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Kind and ID name the resource, as its document does: "Plan", "gold".
	Kind string `json:"kind,omitempty"`
	ID   string `json:"id,omitempty"`
	// Field is a path like "upstream.targets[0].url", or a setting's name; empty:
	// the fault is that of the whole resource or text.
	Field string `json:"field,omitempty"`
	// Code is the sort of fault; empty: the text cannot be read as what it should be.
	Code    Code   `json:"code,omitempty"`
	Message string `json:"message"`
	// Hint is the cure, if there is an obvious one.
	Hint string `json:"hint,omitempty"`
}

// Code is a sort of fault, for programs. Its words never change their meaning.
type Code string

// The sorts of faults.
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

// Error is "orders.yaml:7: plan/gold: jwt.issuers[0]: message (hint: …)", on one
// line; what is empty is left out.
func (f Fault) Error() string {
	var b strings.Builder
	for _, part := range []string{f.position(), f.resource(), f.Field} {
		if part != "" {
			b.WriteString(part)
			b.WriteString(": ")
		}
	}
	b.WriteString(f.Message)
	if f.Hint != "" {
		b.WriteString(" (hint: ")
		b.WriteString(f.Hint)
		b.WriteByte(')')
	}
	return b.String()
}

// position is "orders.yaml:7". A line of a text without a name is "line 7".
func (f Fault) position() string {
	switch {
	case f.Line <= 0:
		return f.File
	case f.File == "":
		return "line " + strconv.Itoa(f.Line)
	}
	return f.File + ":" + strconv.Itoa(f.Line)
}

// resource is "plan/gold", or "plan" while the id is unknown.
func (f Fault) resource() string {
	var b strings.Builder
	for i, r := range f.Kind {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-') // KeySet is key-set in addresses
		}
		b.WriteRune(unicode.ToLower(r))
	}
	if f.ID != "" {
		b.WriteByte('/')
		b.WriteString(f.ID)
	}
	return b.String()
}

// List is all faults of one input; as an error it is never empty.
type List []Fault //nolint:errname // a fault.List reads as what it is

// Error has one line for each fault.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, f := range l {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns the list as an error; nil if it is empty.
func (l List) Err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// Has reports whether one of the faults is of a sort.
func (l List) Has(c Code) bool {
	for _, f := range l {
		if f.Code == c {
			return true
		}
	}
	return false
}
