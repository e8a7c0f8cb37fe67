package restrict

import (
	"bytes"
	"slices"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// Filter says which resources below the context path a plan includes.
//
// Patterns are compared segment by segment with the canonical path: `*` is one
// segment, `**` any number of segments (none, too), and a `*` inside a segment
// any run of characters of it. A trailing slash of the path is not looked at.
// Comparison is exact, but for what a lenient upstream might overlook: a deny
// pattern also matches a segment with its ;parameters left away, be their ';'
// encoded or not, and a method in other letter case.
//
// The nil Filter includes everything.
type Filter struct {
	allow, deny []pattern
}

type pattern struct {
	segments []segment
	methods  []string // upper case; empty: every method
}

type segment struct {
	kind segmentKind
	text string // of literal and glob
}

type segmentKind uint8

const (
	literal segmentKind = iota
	glob                // a * among other characters
	one                 // *
	many                // **
)

// NewFilter compiles a resource filter whose patterns are sound; nil or empty gives
// the Filter that includes everything.
func NewFilter(f *pb.ResourceFilter) *Filter {
	if len(f.GetAllow()) == 0 && len(f.GetDeny()) == 0 {
		return nil
	}
	return &Filter{allow: patterns(f.GetAllow()), deny: patterns(f.GetDeny())}
}

func patterns(in []*pb.ResourcePattern) []pattern {
	out := make([]pattern, len(in))
	for i, p := range in {
		out[i].segments = segments(p.GetPath())
		for _, m := range p.GetMethods() {
			out[i].methods = append(out[i].methods, strings.ToUpper(m))
		}
	}
	return out
}

func segments(path string) []segment {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	var out []segment
	for text := range strings.SplitSeq(path, "/") {
		switch {
		case text == "**":
			if len(out) > 0 && out[len(out)-1].kind == many {
				continue
			}
			out = append(out, segment{kind: many})
		case text == "*":
			out = append(out, segment{kind: one})
		case strings.Contains(text, "*"):
			out = append(out, segment{kind: glob, text: text})
		default:
			out = append(out, segment{kind: literal, text: text})
		}
	}
	return out
}

// Permit decides whether the plan includes method on path, the canonical path
// below the context path. Its error is denial.ResourceForbidden or
// denial.MethodNotAllowed.
func (f *Filter) Permit(method, path []byte) error {
	if f == nil {
		return nil
	}
	if len(f.allow) > 0 {
		switch known, allowed := match(f.allow, method, path, false); {
		case !known:
			return denial.ResourceForbidden
		case !allowed:
			return denial.MethodNotAllowed.Because(cause.MethodFiltered)
		}
	}
	switch known, denied := match(f.deny, method, path, true); {
	case !known || !denied:
		return nil
	case f.closed(path), len(f.Methods(path)) == 0:
		return denial.ResourceForbidden
	default:
		return denial.MethodNotAllowed.Because(cause.MethodFiltered)
	}
}

// closed reports whether path is denied whatever the method.
func (f *Filter) closed(path []byte) bool {
	for i := range f.deny {
		if len(f.deny[i].methods) == 0 && f.deny[i].matches(path, true) {
			return true
		}
	}
	return false
}

// standardMethods are what a path without a list of methods is said to allow.
var standardMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} //nolint:gochecknoglobals // constant

// Methods lists what may be asked of path, for the Allow header (RFC 9110
// section 10.2.1). Only called after a refusal.
func (f *Filter) Methods(path []byte) []string {
	candidates := standardMethods
	if f == nil {
		return candidates
	}
	if len(f.allow) > 0 {
		candidates = nil
		for _, p := range f.allow {
			switch {
			case !p.matches(path, false):
			case len(p.methods) == 0:
				candidates = append(candidates, standardMethods...)
			default:
				candidates = append(candidates, p.methods...)
			}
		}
	}
	var out []string
	for _, m := range candidates {
		if _, denied := match(f.deny, []byte(m), path, true); !denied && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

// match reports whether a pattern matches path, and whether one matches it with method.
func match(ps []pattern, method, path []byte, lenient bool) (known, whole bool) {
	for i := range ps {
		if !ps[i].matches(path, lenient) {
			continue
		}
		known = true
		if ps[i].includes(method, lenient) {
			return true, true
		}
	}
	return known, false
}

func (p *pattern) includes(method []byte, lenient bool) bool {
	if len(p.methods) == 0 {
		return true
	}
	for _, m := range p.methods {
		if m == string(method) || lenient && len(m) == len(method) && strings.EqualFold(m, string(method)) {
			return true
		}
	}
	return false
}

// matches compares the pattern with path, in time proportional to the product of
// their lengths at worst: only the last ** is ever taken up again, as in the
// usual matching of a single *.
func (p *pattern) matches(path []byte, lenient bool) bool {
	path = trimSlashes(path)
	at, i := 0, 0            // the path's byte and the pattern's segment to be compared next
	retryAt, retry := -1, -1 // where to go on when ** takes one segment more
	for at <= len(path) && len(path) > 0 {
		if i < len(p.segments) && p.segments[i].kind == many {
			i++
			retryAt, retry = at, i
			continue
		}
		end := segmentEnd(path, at)
		if i < len(p.segments) && p.segments[i].matches(path[at:end], lenient) {
			at, i = end+1, i+1
			continue
		}
		if retry < 0 {
			return false
		}
		retryAt = segmentEnd(path, retryAt) + 1
		at, i = retryAt, retry
	}
	for i < len(p.segments) && p.segments[i].kind == many {
		i++
	}
	return i == len(p.segments)
}

// segmentEnd returns where the segment that begins at a byte ends.
func segmentEnd(path []byte, at int) int {
	if n := bytes.IndexByte(path[at:], '/'); n >= 0 {
		return at + n
	}
	return len(path)
}

func trimSlashes(path []byte) []byte {
	for len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	return path
}

func (s *segment) matches(text []byte, lenient bool) bool {
	if s.matchesText(text) {
		return true
	}
	if !lenient {
		return false
	}
	name, _, found := bytes.Cut(text, []byte{';'})
	name, _, encoded := bytes.Cut(name, []byte("%3B"))
	return (found || encoded) && s.matchesText(name)
}

func (s *segment) matchesText(text []byte) bool {
	switch s.kind {
	case literal:
		return s.text == string(text)
	case glob:
		return globMatches(s.text, text)
	case one:
		return len(text) > 0
	default:
		return true
	}
}

// globMatches matches with * for any run of characters.
func globMatches(pattern string, text []byte) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
