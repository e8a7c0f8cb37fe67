package resource

import (
	"fmt"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// maxFaults bounds what is reported of one input; the rest is only counted.
const maxFaults = 100

// Error is one fault in a text, written for the person who has to mend it.
type Error struct {
	// File is the name given by the caller; empty: the fault has no place in a text.
	File string
	// Line and Column count from 1; 0: unknown. Columns count bytes.
	Line, Column int
	// Ref is the resource the fault is in, as far as it is known.
	Ref catalog.Ref
	// Path is the field, like "upstream.targets[0].url"; empty: the whole document.
	Path    string
	Message string
	// Hint is the cure, if there is an obvious one.
	Hint string
}

// Error is "file:line: api/orders upstream.targets[0].url: message (hint: …)", on one line.
func (e Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		b.WriteByte(':')
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "%d:", e.Line)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	where := e.Path
	if e.Ref != (catalog.Ref{}) {
		where = strings.TrimSpace(strings.TrimSuffix(e.Ref.String(), "/") + " " + e.Path)
	}
	if where != "" {
		b.WriteString(where)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(" (hint: ")
		b.WriteString(e.Hint)
		b.WriteByte(')')
	}
	return b.String()
}

// Errors are all faults of an input, in the order of their lines; never empty
// when returned as an error. Of more than a hundred the first hundred are kept
// and the last element tells how many there are.
type Errors []Error

// Error has one line for each fault.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// faults collects what is wrong with one input.
type faults struct {
	list  Errors
	total int
}

func (f *faults) add(e Error) {
	f.total++
	if len(f.list) < maxFaults {
		f.list = append(f.list, e)
	}
}

// full tells that further faults are only counted, so that nobody spends time on their text.
func (f *faults) full() bool { return len(f.list) >= maxFaults }

// err is nil if there are no faults.
func (f *faults) err() error {
	if f.total == 0 {
		return nil
	}
	if f.total > len(f.list) {
		last := f.list[len(f.list)-1]
		f.list = append(f.list, Error{
			File: last.File, Line: last.Line,
			Message: fmt.Sprintf("%d faults in all; the first %d are shown", f.total, maxFaults),
		})
		f.total = len(f.list)
	}
	return f.list
}

// quote shows a piece of the input in a message: quoted, on one line, and not longer than is readable.
func quote(s string) string {
	const longest = 60
	if len(s) > longest {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:longest], ""))
	}
	return fmt.Sprintf("%q", s)
}
