package token

import (
	"strconv"
	"strings"
)

// Limits of a token's JSON.
const (
	maxDepth   = 16
	maxMembers = 1000
	// From this many members on, an object's names are looked up in a map.
	manyMembers = 32
)

// member is one member of an object: its name, decoded, and its value as it stands.
type member struct{ name, value string }

// scanner reads JSON (RFC 8259) once and remembers the members of the outermost object.
type scanner struct {
	text string
	pos  int
	// count: members and elements met so far.
	count int
	top   []member
	// inner: the names in the objects that are open inside it, the innermost's last.
	inner []member
}

// scanObject checks that text is one JSON object, and appends its members to top.
func scanObject(text string, top []member) ([]member, error) {
	s := scanner{text: text, top: top}
	s.space()
	if s.peek() != '{' {
		return nil, ErrJSON
	}
	if err := s.object(1); err != nil {
		return nil, err
	}
	s.space()
	if s.pos != len(text) {
		return nil, ErrJSON
	}
	return s.top, nil
}

// peek returns the next byte; 0 at the end, which no JSON text goes on with.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) value(depth int) error {
	switch c := s.peek(); {
	case c == '"':
		_, _, err := s.str()
		return err
	case c == '{':
		return s.object(depth + 1)
	case c == '[':
		return s.array(depth + 1)
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal(null)
	}
	return ErrJSON
}

func (s *scanner) literal(word string) error {
	if !strings.HasPrefix(s.text[s.pos:], word) {
		return ErrJSON
	}
	s.pos += len(word)
	return nil
}

func (s *scanner) object(depth int) error {
	if depth > maxDepth {
		return ErrDepth
	}
	siblings := &s.inner
	if depth == 1 {
		siblings = &s.top
	}
	base := len(*siblings)
	var index map[string]struct{}
	s.pos++
	s.space()
	for more := s.peek() != '}'; more; {
		name, err := s.name((*siblings)[base:], &index)
		if err != nil {
			return err
		}
		*siblings = append(*siblings, member{name: name})
		start := s.pos
		if err := s.value(depth); err != nil {
			return err
		}
		if depth == 1 {
			s.top[len(s.top)-1].value = s.text[start:s.pos]
		}
		if more, err = s.more('}'); err != nil {
			return err
		}
	}
	s.pos++
	if depth > 1 {
		s.inner = s.inner[:base]
	}
	return nil
}

// more reports whether a comma follows, which it skips, or the closing byte.
func (s *scanner) more(closing byte) (bool, error) {
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		return true, nil
	case closing:
		return false, nil
	}
	return false, ErrJSON
}

// name reads a member's name up to its value. siblings are the members before it.
func (s *scanner) name(siblings []member, index *map[string]struct{}) (string, error) {
	if s.peek() != '"' {
		return "", ErrJSON
	}
	name, escaped, err := s.str()
	if err != nil {
		return "", err
	}
	if escaped {
		name = unescape(name)
	}
	if s.count++; s.count > maxMembers {
		return "", ErrMembers
	}
	if known(name, siblings, index) {
		return "", ErrDuplicate
	}
	s.space()
	if s.peek() != ':' {
		return "", ErrJSON
	}
	s.pos++
	s.space()
	return name, nil
}

func known(name string, siblings []member, index *map[string]struct{}) bool {
	if len(siblings) < manyMembers {
		for i := range siblings {
			if siblings[i].name == name {
				return true
			}
		}
		return false
	}
	if *index == nil {
		*index = make(map[string]struct{}, 2*manyMembers)
		for i := range siblings {
			(*index)[siblings[i].name] = struct{}{}
		}
	}
	_, known := (*index)[name]
	(*index)[name] = struct{}{}
	return known
}

func (s *scanner) array(depth int) error {
	if depth > maxDepth {
		return ErrDepth
	}
	s.pos++
	s.space()
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if s.count++; s.count > maxMembers {
			return ErrMembers
		}
		if err := s.value(depth); err != nil {
			return err
		}
		more, err := s.more(']')
		if err != nil {
			return err
		}
		if !more {
			s.pos++
			return nil
		}
	}
}

// str reads a string and returns what stands between its quotes.
func (s *scanner) str() (inside string, escaped bool, err error) {
	s.pos++
	start := s.pos
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return s.text[start : s.pos-1], escaped, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return "", false, err
			}
		case c < ' ':
			return "", false, ErrText
		default:
			s.pos++
		}
	}
	return "", false, ErrJSON
}

// escape reads one escape, or two that make up a surrogate pair.
func (s *scanner) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
	default:
		return ErrJSON
	}
	r, err := s.hex4()
	switch {
	case err != nil:
		return err
	case r == 0, r >= 0xDC00 && r <= 0xDFFF:
		return ErrText
	case r < 0xD800 || r > 0xDBFF:
		return nil
	}
	if s.peek() != '\\' {
		return ErrText
	}
	s.pos++
	if s.peek() != 'u' {
		return ErrText
	}
	if r, err = s.hex4(); err != nil {
		return err
	}
	if r < 0xDC00 || r > 0xDFFF {
		return ErrText
	}
	return nil
}

// hex4 reads the u of an escape and its four digits.
func (s *scanner) hex4() (rune, error) {
	s.pos++
	if len(s.text)-s.pos < 4 {
		return 0, ErrJSON
	}
	var r rune
	for range 4 {
		c := s.text[s.pos]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, ErrJSON
		}
		r = r<<4 | rune(c)
		s.pos++
	}
	return r, nil
}

func (s *scanner) number() error {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return ErrJSON
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return ErrJSON
		}
	}
	power, ok := s.exponent()
	if !ok {
		return ErrJSON
	}
	// No float64 has more than 309 digits before the point.
	if !power && s.pos-start < 309 {
		return nil
	}
	if _, err := strconv.ParseFloat(s.text[start:s.pos], 64); err != nil {
		return ErrNumber
	}
	return nil
}

// exponent reads the exponent, if there is one; ok is false if it is not whole.
func (s *scanner) exponent() (there, ok bool) {
	if c := s.peek(); c != 'e' && c != 'E' {
		return false, true
	}
	s.pos++
	if c := s.peek(); c == '+' || c == '-' {
		s.pos++
	}
	return true, s.digits()
}

// digits reads digits and reports whether there was one.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.text) && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}
