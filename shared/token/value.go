package token

import (
	"encoding/json"
	"strconv"
	"strings"
)

// The functions here read JSON that a scanner has accepted.

const null = "null"

// unescape decodes what stands between the quotes of a string.
func unescape(inside string) string {
	var text string
	if err := json.Unmarshal([]byte(`"`+inside+`"`), &text); err != nil {
		panic("BUG: unescape accepted JSON: " + err.Error())
	}
	return text
}

// text returns a string value decoded; false if the value is not a string.
func text(value string) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	inside := value[1 : len(value)-1]
	if strings.IndexByte(inside, '\\') >= 0 {
		return unescape(inside), true
	}
	return inside, true
}

// number reads whole numbers exactly as int64 or uint64, and all others as float64.
func number(value string) any {
	if !strings.ContainsAny(value, ".eE") {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			return n
		}
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		panic("BUG: read accepted number: " + err.Error())
	}
	return f
}

// decode returns a value as string, int64, uint64, float64, bool, nil, []any or map[string]any.
func decode(value string) any {
	switch value[0] {
	case '"':
		s, _ := text(value)
		return s
	case '{':
		object := map[string]any{}
		for m := range members(value) {
			if m.value != null {
				object[m.name] = decode(m.value)
			}
		}
		return object
	case '[':
		list := []any{}
		for v := range elements(value) {
			list = append(list, decode(v))
		}
		return list
	case 't':
		return true
	case 'f':
		return false
	case 'n':
		return nil
	}
	return number(value)
}

// members yields the members of an object.
func members(object string) func(yield func(member) bool) {
	return func(yield func(member) bool) {
		s := scanner{text: object, pos: 1}
		for s.space(); s.peek() == '"'; s.space() {
			name, escaped, _ := s.str()
			if escaped {
				name = unescape(name)
			}
			s.space()
			s.pos++ // the colon
			if !yield(member{name, s.next()}) {
				return
			}
		}
	}
}

// elements yields the elements of a list.
func elements(list string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		s := scanner{text: list, pos: 1}
		for s.space(); s.pos < len(list) && s.peek() != ']'; s.space() {
			if !yield(s.next()) {
				return
			}
		}
	}
}

// next returns the next value and skips the comma after it.
func (s *scanner) next() string {
	s.space()
	start := s.pos
	s.count = 0
	if err := s.value(0); err != nil {
		panic("BUG: read accepted JSON: " + err.Error())
	}
	value := s.text[start:s.pos]
	if s.space(); s.peek() == ',' {
		s.pos++
	}
	return value
}
