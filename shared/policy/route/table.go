// Package route finds what serves a request: the most specific host first
// (exact name, then the longest *.suffix, then any host), and there the longest
// context path, on segment boundaries.
//
// When a more specific host has nothing for the path, the next less specific one
// is asked: an Api that serves every host is not hidden by another Api that
// happens to name this host for another path.
//
// A Table is immutable and safe for concurrent use; a change builds a new one.
// Match allocates nothing and its cost does not grow with the number of entries:
// one hash look-up for each distinct length of context path that ends on a
// segment boundary of the request's path (BenchmarkMatch).
package route

import (
	"bytes"
	"errors"
	"strings"
)

// Entry leads requests for a host and a context path to a target.
type Entry[T any] struct {
	// Name says whose entry this is, for errors: "api/orders".
	Name string
	// Host is an exact name, "*.suffix" for every name below suffix, or empty for
	// every host. Lower case, without port.
	Host string
	// Path is the context path: "" or "/" for everything, else absolute and
	// without a trailing slash.
	Path string
	// Target is what Match returns; not nil.
	Target *T
}

// Table is a set of entries, ready to be matched.
type Table[T any] struct {
	exact    index[index[T]]
	wildcard index[index[T]] // by the suffix with its leading dot
	any      *index[T]
}

// ConflictError says that two entries serve the same host and path.
type ConflictError struct {
	Host, Path    string
	First, Second string
}

func (e *ConflictError) Error() string {
	host := e.Host
	if host == "" {
		host = "every host"
	}
	path := e.Path
	if path == "" {
		path = "/"
	}
	return e.First + " and " + e.Second + " both serve " + path + " on " + host
}

// New makes a table. Its error joins all faults: a *ConflictError for each entry
// that serves what an earlier one serves, and one for each malformed host or path.
func New[T any](entries []Entry[T]) (*Table[T], error) {
	type place struct{ host, path string }
	taken := make(map[place]string, len(entries))
	hosts := make(map[string]map[string]*T)
	var faults []error
	for _, e := range entries {
		if e.Path == "/" {
			e.Path = ""
		}
		if err := check(e); err != nil {
			faults = append(faults, err)
			continue
		}
		at := place{e.Host, e.Path}
		if first, ok := taken[at]; ok {
			faults = append(faults, &ConflictError{Host: e.Host, Path: e.Path, First: first, Second: e.Name})
			continue
		}
		taken[at] = e.Name
		if hosts[e.Host] == nil {
			hosts[e.Host] = make(map[string]*T)
		}
		hosts[e.Host][e.Path] = e.Target
	}
	if faults != nil {
		return nil, errors.Join(faults...)
	}

	exact, wildcard := make(map[string]*index[T]), make(map[string]*index[T])
	t := &Table[T]{}
	for host, paths := range hosts {
		switch {
		case host == "":
			t.any = newIndex(paths)
		case strings.HasPrefix(host, "*"):
			wildcard[host[1:]] = newIndex(paths)
		default:
			exact[host] = newIndex(paths)
		}
	}
	t.exact, t.wildcard = *newIndex(exact), *newIndex(wildcard)
	return t, nil
}

func check[T any](e Entry[T]) error {
	if e.Target == nil {
		return errors.New(e.Name + ": no target")
	}
	if e.Host != strings.ToLower(e.Host) {
		return errors.New(e.Name + ": host " + e.Host + " is not in lower case")
	}
	if strings.Contains(strings.TrimPrefix(e.Host, "*."), "*") {
		return errors.New(e.Name + ": host " + e.Host + " has * elsewhere than in a leading *.")
	}
	if e.Path != "" && (e.Path[0] != '/' || strings.HasSuffix(e.Path, "/")) {
		return errors.New(e.Name + ": context path " + e.Path + " is not absolute without a trailing slash")
	}
	return nil
}

// Match finds the target for a host (lower case, without port) and a path in
// canonical form. rest is where the part of path below the context path begins:
// path[rest:] is empty or begins with a slash.
func (t *Table[T]) Match(host, path []byte) (target *T, rest int, ok bool) {
	if len(t.exact.values) > 0 {
		if paths := t.exact.get(host); paths != nil {
			if target, rest = paths.longest(path); target != nil {
				return target, rest, true
			}
		}
	}
	if len(t.wildcard.values) > 0 {
		if target, rest = t.matchWildcard(host, path); target != nil {
			return target, rest, true
		}
	}
	if t.any != nil {
		target, rest = t.any.longest(path)
	}
	return target, rest, target != nil
}

// matchWildcard tries the suffixes of host, the longest first. The name before
// the suffix's dot is not empty.
func (t *Table[T]) matchWildcard(host, path []byte) (target *T, rest int) {
	for at := 1; at < len(host); at++ {
		dot := bytes.IndexByte(host[at:], '.')
		if dot < 0 {
			return nil, 0
		}
		at += dot
		if paths := t.wildcard.get(host[at:]); paths != nil {
			if target, rest = paths.longest(path); target != nil {
				return target, rest
			}
		}
	}
	return nil, 0
}
