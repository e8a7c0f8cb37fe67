// Package header knows the names of HTTP header fields: in canonical form, and in
// sets that no spelling of a name slips through.
package header

// Names is a set of header names. Names are compared without regard to case,
// and '_' and '-' are the same. It is immutable; nil is the empty set.
type Names struct {
	// lengths has bit n%64 set if a name of n bytes is in the set: most
	// lookups end there.
	lengths uint64
	names   map[string]struct{}
}

// NewNames returns the set of names.
func NewNames(names ...string) *Names {
	s := &Names{names: make(map[string]struct{}, len(names))}
	for _, n := range names {
		if n == "" {
			continue
		}
		s.lengths |= 1 << (len(n) % 64)
		s.names[string(appendFolded(nil, n))] = struct{}{}
	}
	return s
}

// Has reports whether name is in the set. It does not allocate.
func (s *Names) Has(name []byte) bool {
	if s == nil || s.lengths&(1<<(len(name)%64)) == 0 {
		return false
	}
	var buf [64]byte
	_, ok := s.names[string(appendFolded(buf[:0], name))]
	return ok
}

func appendFolded[T ~string | ~[]byte](dst []byte, name T) []byte {
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '_':
			c = '-'
		}
		dst = append(dst, c)
	}
	return dst
}
