package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Precondition is what a caller asks of the present version before it changes
// it (If-Match and If-None-Match, RFC 9110 section 13.1). The zero value asks nothing.
type Precondition struct {
	// Versions: the present version must be one of these.
	Versions []Version
	// Exists: the resource must exist (If-Match: *).
	Exists bool
	// Absent: the resource must not exist (If-None-Match: *).
	Absent bool
}

// PreconditionError says that a resource is not as the caller believes.
type PreconditionError struct {
	Ref catalog.Ref
	// Version is the present one; zero: the resource does not exist.
	Version Version
	// If is what was asked.
	If Precondition
}

func (e *PreconditionError) Error() string {
	switch {
	case e.If.Absent:
		return fmt.Sprintf("%s exists already, at version %d", e.Ref, e.Version.Number)
	case e.Version.Number == 0:
		return fmt.Sprintf("%s does not exist", e.Ref)
	}
	want := make([]string, len(e.If.Versions))
	for i, v := range e.If.Versions {
		want[i] = v.String()
	}
	if slices.ContainsFunc(e.If.Versions, func(v Version) bool { return v.Made != 0 && v.Made != e.Version.Made }) {
		return fmt.Sprintf("%s is %s, not %s: it was removed and created again (hint: read it again, and repeat the change on what you find)",
			e.Ref, e.Version, strings.Join(want, " or "))
	}
	return fmt.Sprintf("%s is at version %d, not at %s (hint: read it again, and repeat the change on what you find)",
		e.Ref, e.Version.Number, strings.Join(want, " or "))
}

func (p Precondition) check(s *catalog.State, ref catalog.Ref) error {
	if !p.Absent && !p.Exists && len(p.Versions) == 0 {
		return nil
	}
	var present Version
	record, exists := s.Get(ref.Kind, ref.ID)
	if exists {
		present = VersionOf(record)
	}
	switch {
	case p.Absent && exists,
		p.Exists && !exists,
		len(p.Versions) > 0 && !slices.ContainsFunc(p.Versions, present.is):
		return &PreconditionError{Ref: ref, Version: present, If: p}
	}
	return nil
}
