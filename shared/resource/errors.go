package resource

import (
	"fmt"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// maxFaults bounds what is reported of one input; the rest is only counted, and
// one more fault at the end says how many there are.
const maxFaults = 100

// faults collects what is wrong with one input.
type faults struct {
	list  fault.List
	total int
}

func (f *faults) add(e fault.Fault) {
	f.total++
	if len(f.list) < maxFaults {
		f.list = append(f.list, e)
	}
}

// full reports whether further faults are only counted, so that their text need not be made.
func (f *faults) full() bool { return len(f.list) >= maxFaults }

// err is nil if there are no faults.
func (f *faults) err() error {
	if f.total == 0 {
		return nil
	}
	if f.total > len(f.list) {
		last := f.list[len(f.list)-1]
		f.list = append(f.list, fault.Fault{
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
