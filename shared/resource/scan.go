package resource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// MaxDocument bounds one document, in bytes.
const MaxDocument = 1 << 20

// Scanner reads resources one at a time from a stream of any size, holding no
// more than one document and a read buffer. The stream is YAML documents
// separated by lines of ---, or JSON: objects one after the other (NDJSON
// among them), or one array of objects. Which of the two it is shows in the
// first bytes. A Scanner is not safe for concurrent use.
type Scanner struct {
	name string
	in   window
	// line is the number of the line at which the window stands.
	line    int
	json    bool
	sniffed bool
	// JSON: past the first byte, inside the one array, past its end.
	begun, inArray, afterArray bool
	// done: nothing can be read any more; err says why, nil: the end was reached or announced.
	done bool
	err  error
}

// NewScanner reads from r; name is the file's name in errors.
func NewScanner(name string, r io.Reader) *Scanner {
	return &Scanner{name: name, in: window{r: r}, line: 1}
}

// Next returns the next resource, or io.EOF at the end. An error of type fault.List
// says what is wrong with one document; the call after it goes on with the
// next document, or returns io.EOF where no next one can be found. Any other
// error comes from the reader and comes again.
func (s *Scanner) Next() (Document, error) {
	for !s.done {
		var faults faults
		first, text := s.cut(&faults)
		if s.err != nil {
			break // what the faults say may only be for want of the rest
		}
		if err := faults.err(); err != nil {
			s.done = true // it is unknown where the next document starts
			return Document{}, err
		}
		if text == nil {
			s.done = true
			break
		}
		doc, skip := s.decode(first, text, &faults)
		if err := faults.err(); err != nil {
			return Document{}, err
		}
		if !skip {
			return doc, nil
		}
	}
	if s.err != nil {
		return Document{}, s.err
	}
	return Document{}, io.EOF
}

// decode makes a resource of one document's text; skip: there is nothing in it.
func (s *Scanner) decode(first int, text []byte, faults *faults) (doc Document, skip bool) {
	if at := invalidUTF8(text); at >= 0 {
		faults.add(fault.Fault{File: s.name, Line: first + bytes.Count(text[:at], []byte{'\n'}), Message: "the text is not UTF-8"})
		return doc, false
	}
	var root *node
	if s.json {
		root = parseJSON(s.name, text, first, faults)
	} else {
		line, content := firstContent(text)
		if content == nil {
			return doc, true
		}
		if content[0] == '%' {
			faults.add(fault.Fault{File: s.name, Line: first + line, Message: "YAML directives are not supported", Hint: "leave the line out"})
			return doc, false
		}
		root = parseYAML(s.name, text, first, faults)
	}
	if root == nil {
		return doc, false
	}
	r := decode(s.name, root, pb.Kind_KIND_UNSPECIFIED, faults)
	return Document{Resource: r, File: s.name, Line: root.line, root: root}, false
}

// cut takes the next document's text off the stream, and the number of its
// first line. The text is nil at the end, and valid until the next call.
func (s *Scanner) cut(faults *faults) (first int, text []byte) {
	if !s.sniffed {
		s.sniff()
	}
	var n int
	if s.json {
		n = s.cutJSON(faults)
	} else {
		n = s.cutYAML(faults)
	}
	if err := s.in.err; err != nil {
		s.err = fmt.Errorf("read %s: %w", s.name, err)
		s.done = true
		return 0, nil
	}
	if n <= 0 {
		return 0, nil
	}
	first = s.line
	return first, s.advance(n)
}

// advance passes n bytes of the window and counts their lines.
func (s *Scanner) advance(n int) []byte {
	passed := s.in.take(n)
	s.line += bytes.Count(passed, []byte{'\n'})
	return passed
}

func (s *Scanner) fault(line int, message, hint string) fault.Fault {
	return fault.Fault{File: s.name, Line: line, Message: message, Hint: hint}
}

// sniff decides on the format: JSON starts with {" or {} or [{ or [].
func (s *Scanner) sniff() {
	s.sniffed = true
	if s.in.has(0, "\uFEFF") {
		s.in.take(len("\uFEFF"))
	}
	const enough = 64 << 10 // white space before the first byte
	significant := make([]byte, 0, 3)
	for i := 0; i < enough && len(significant) < 3; i++ {
		c, ok := s.in.at(i)
		if !ok {
			break
		}
		if !space(c) {
			significant = append(significant, c)
		}
	}
	for _, start := range []string{`{"`, `{}`, `[{"`, `[{}`, `[]`} {
		if bytes.HasPrefix(significant, []byte(start)) {
			s.json = true
		}
	}
}

// cutYAML finds the length of the next YAML document: up to the next line that
// is a document marker, which YAML allows nowhere else.
func (s *Scanner) cutYAML(faults *faults) int {
	for i := 0; ; {
		end := s.in.lineEnd(i)
		if end < 0 {
			if end = s.in.buffered(); end == i {
				return i
			}
		}
		switch {
		case i > 0 && s.marker(i, "---"):
			return i
		case s.marker(i, "..."):
			return end
		}
		if i = end; i > MaxDocument {
			faults.add(s.fault(s.line, "the document is larger than 1 MiB", ""))
			return 0
		}
	}
}

// marker reports whether the line at offset i is a document marker.
func (s *Scanner) marker(i int, mark string) bool {
	if !s.in.has(i, mark) {
		return false
	}
	c, ok := s.in.at(i + len(mark))
	return !ok || space(c)
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// cutJSON passes what stands between documents and finds the length of the next one.
func (s *Scanner) cutJSON(faults *faults) int {
	c, ok := s.between(faults)
	if !ok {
		return 0
	}
	if c != '{' {
		faults.add(s.fault(s.line, fmt.Sprintf("expected a JSON object, got %q", rune(c)), ""))
		return 0
	}
	n := s.objectEnd()
	switch {
	case n < 0 && s.in.buffered() > MaxDocument:
		faults.add(s.fault(s.line, "the document is larger than 1 MiB", "is a bracket or a quote missing?"))
		return 0
	case n < 0:
		faults.add(s.fault(s.line, "not JSON: the document that starts here does not end", "is a bracket or a quote missing?"))
		return 0
	}
	return n
}

// between passes white space, the commas and brackets of the array, and lines
// of ---; it gives the byte that stands there, or false at the end.
func (s *Scanner) between(faults *faults) (byte, bool) {
	for comma := false; ; {
		c, ok := s.in.at(0)
		switch {
		case !ok && s.inArray:
			faults.add(s.fault(s.line, "not JSON: the array does not end", ""))
			return 0, false
		case !ok:
			return 0, false
		case space(c):
		case c == '[' && !s.begun:
			s.inArray, s.begun = true, true
		case c == ']' && s.inArray && !comma:
			s.inArray, s.afterArray = false, true
		case c == ',' && s.inArray && !comma:
			comma = true
		case c == '-' && !s.inArray && s.marker(0, "---"):
			s.advance(2)
		case s.afterArray:
			faults.add(s.fault(s.line, "there is something after the array", ""))
			return 0, false
		default:
			s.begun = true
			return c, true
		}
		s.advance(1)
	}
}

// objectEnd is the length of the JSON object at which the window stands: up to
// its closing bracket. -1: there is none within the limit.
func (s *Scanner) objectEnd() int {
	depth, inString, escaped := 0, false, false
	for i := 0; i <= MaxDocument; i++ {
		c, ok := s.in.at(i)
		if !ok {
			return -1
		}
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// firstContent is the first line of a document that is neither blank nor a
// comment nor a bare marker, and how many lines stand before it; nil if there is none.
func firstContent(text []byte) (before int, content []byte) {
	for line := range bytes.Lines(text) {
		t := bytes.TrimSpace(line)
		if len(t) > 0 && t[0] != '#' && !bytes.Equal(t, []byte("---")) && !bytes.Equal(t, []byte("...")) &&
			!bytes.HasPrefix(t, []byte("--- #")) {
			return before, line
		}
		before++
	}
	return before, nil
}

// invalidUTF8 is the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return -1
}

// window is the part of a stream that is in memory: from the current position on.
type window struct {
	r          io.Reader
	buf        []byte
	start, end int
	eof        bool
	err        error
}

// buffered is how many bytes are in memory.
func (w *window) buffered() int { return w.end - w.start }

// at is the byte i after the position; false beyond the end.
func (w *window) at(i int) (byte, bool) {
	for w.start+i >= w.end {
		if !w.fill() {
			return 0, false
		}
	}
	return w.buf[w.start+i], true
}

// has reports whether s stands i after the position.
func (w *window) has(i int, s string) bool {
	for j := range len(s) {
		if c, ok := w.at(i + j); !ok || c != s[j] {
			return false
		}
	}
	return true
}

// lineEnd is the offset after the line that starts i after the position; -1 if
// the stream, or what a document may hold, ends before the line does.
func (w *window) lineEnd(i int) int {
	for from := i; ; {
		if n := bytes.IndexByte(w.buf[w.start+from:w.end], '\n'); n >= 0 {
			return from + n + 1
		}
		from = w.buffered()
		if from > MaxDocument || !w.fill() {
			return -1
		}
	}
}

// take passes n bytes that are in memory; they are valid until the next read.
func (w *window) take(n int) []byte {
	p := w.buf[w.start : w.start+n]
	w.start += n
	return p
}

// fill reads more; false at the end or on an error.
func (w *window) fill() bool {
	if w.eof || w.err != nil {
		return false
	}
	const chunk = 64 << 10
	if w.start > 0 && len(w.buf)-w.end < chunk {
		w.end = copy(w.buf, w.buf[w.start:w.end])
		w.start = 0
	}
	if len(w.buf)-w.end < chunk {
		grown := make([]byte, max(2*len(w.buf), 2*chunk))
		copy(grown, w.buf[:w.end])
		w.buf = grown
	}
	const patience = 100 // reads that give nothing
	for range patience {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		if errors.Is(err, io.EOF) {
			w.eof = true
		} else if err != nil {
			w.err = err
		}
		if n > 0 || err != nil {
			return n > 0
		}
	}
	w.err = io.ErrNoProgress
	return false
}
