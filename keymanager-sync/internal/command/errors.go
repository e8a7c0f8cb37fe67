package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Precondition is what a caller asks of the present version before it changes
// it (If-Match and If-None-Match, RFC 9110 section 13.1). The zero value asks nothing.
type Precondition struct {
	// Versions: the present version must be one of these.
	Versions []uint64
	// Exists: the resource must exist (If-Match: *).
	Exists bool
	// Absent: the resource must not exist (If-None-Match: *).
	Absent bool
}

// PreconditionError says that a resource is not as the caller believes.
type PreconditionError struct {
	Ref catalog.Ref
	// Version is the present one; 0: the resource does not exist.
	Version uint64
	// If is what was asked.
	If Precondition
}

func (e *PreconditionError) Error() string {
	switch {
	case e.If.Absent:
		return fmt.Sprintf("%s exists already, at version %d", e.Ref, e.Version)
	case e.Version == 0:
		return fmt.Sprintf("%s does not exist", e.Ref)
	}
	want := make([]string, len(e.If.Versions))
	for i, v := range e.If.Versions {
		want[i] = strconv.FormatUint(v, 10)
	}
	return fmt.Sprintf("%s is at version %d, not at %s (hint: read it again, and repeat the change on what you find)",
		e.Ref, e.Version, strings.Join(want, " or "))
}

func (p Precondition) check(s *catalog.State, ref catalog.Ref) error {
	var version uint64
	if record, ok := s.Get(ref.Kind, ref.ID); ok {
		version = record.Version()
	}
	switch {
	case p.Absent && version != 0,
		p.Exists && version == 0,
		len(p.Versions) > 0 && !slices.Contains(p.Versions, version):
		return &PreconditionError{Ref: ref, Version: version, If: p}
	}
	return nil
}
