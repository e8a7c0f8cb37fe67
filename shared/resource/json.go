package resource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// jsonReader turns one JSON document into the intermediate tree.
type jsonReader struct {
	file string
	data []byte
	dec  *json.Decoder
	// Where the last asked position was, since positions are asked in order.
	offset, line, lineStart int
	nodes                   int
	faults                  *faults
}

// parseJSON reads a text that holds exactly one document and starts at line
// first of the file. It is nil when the text is no JSON; then there are faults.
func parseJSON(file string, text []byte, first int, faults *faults) *node {
	r := &jsonReader{file: file, data: text, line: first, faults: faults, dec: json.NewDecoder(bytes.NewReader(text))}
	r.dec.UseNumber()
	n := r.value(0)
	if n == nil {
		return nil
	}
	end := r.next()
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		r.fault(end, "there is something after the document", "send one JSON object")
		return nil
	}
	return n
}

// next is the offset at which the next token starts.
func (r *jsonReader) next() int {
	i := int(r.dec.InputOffset())
	for i < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[i]) >= 0 {
		i++
	}
	return i
}

// position returns the line and column of an offset; offsets must not go back.
func (r *jsonReader) position(offset int) (line, column int) {
	offset = max(min(offset, len(r.data)), r.offset)
	passed := r.data[r.offset:offset]
	if breaks := bytes.Count(passed, []byte{'\n'}); breaks > 0 {
		r.line += breaks
		r.lineStart = r.offset + bytes.LastIndexByte(passed, '\n') + 1
	}
	r.offset = offset
	return r.line, offset - r.lineStart + 1
}

func (r *jsonReader) fault(offset int, message, hint string) {
	line, column := r.position(offset)
	r.faults.add(fault.Fault{File: r.file, Line: line, Column: column, Message: message, Hint: hint})
}

// syntax reports what the JSON parser says.
func (r *jsonReader) syntax(start int, err error) {
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		r.fault(max(int(se.Offset)-1, start), "not JSON: "+se.Error(), "")
		return
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		r.fault(len(r.data), "not JSON: the document ends too early", "")
		return
	}
	r.fault(start, "not JSON: "+err.Error(), "")
}

// value reads one value; nil when a fault was found.
func (r *jsonReader) value(depth int) *node {
	start := r.next()
	tok, err := r.dec.Token()
	if err != nil {
		r.syntax(start, err)
		return nil
	}
	if r.nodes++; r.nodes > maxNodes {
		r.fault(start, fmt.Sprintf("the document has more than %d values", maxNodes), "split it")
		return nil
	}
	if depth > maxDepth {
		r.fault(start, fmt.Sprintf("nested deeper than %d levels", maxDepth), "")
		return nil
	}
	n := new(node)
	n.line, n.column = r.position(start)
	switch t := tok.(type) {
	case json.Delim:
		if t == '[' {
			return r.list(n, depth)
		}
		return r.object(n, depth)
	case string:
		n.kind, n.text = stringNode, t
		if !r.intact(start, t) {
			return nil
		}
	case json.Number:
		n.kind, n.text = numberNode, t.String()
	case bool:
		n.kind, n.text = boolNode, strconv.FormatBool(t)
	case nil:
		n.kind = nullNode
	}
	return n
}

func (r *jsonReader) list(n *node, depth int) *node {
	n.kind = listNode
	for r.dec.More() {
		v := r.value(depth + 1)
		if v == nil {
			return nil
		}
		n.items = append(n.items, v)
	}
	return r.closed(n)
}

func (r *jsonReader) object(n *node, depth int) *node {
	n.kind = objectNode
	for r.dec.More() {
		start := r.next()
		tok, err := r.dec.Token()
		if err != nil {
			r.syntax(start, err)
			return nil
		}
		// The decoder lets nothing but a string stand here.
		name, ok := tok.(string)
		if !ok || !r.intact(start, name) {
			return nil
		}
		m := member{name: name}
		m.line, m.column = r.position(start)
		if m.value = r.value(depth + 1); m.value == nil {
			return nil
		}
		n.members = append(n.members, m)
	}
	return r.closed(n)
}

// closed reads the closing bracket of n.
func (r *jsonReader) closed(n *node) *node {
	start := r.next()
	if _, err := r.dec.Token(); err != nil {
		r.syntax(start, err)
		return nil
	}
	return n
}

// intact refuses a string in which the decoder replaced what is no character:
// an unpaired surrogate would otherwise become another text without a word.
func (r *jsonReader) intact(start int, s string) bool {
	if !strings.ContainsRune(s, '\uFFFD') {
		return true
	}
	written := r.data[start:min(int(r.dec.InputOffset()), len(r.data))]
	escapes := bytes.Count(bytes.ToLower(written), []byte(`\ufffd`))
	if strings.Count(s, "\uFFFD") <= bytes.Count(written, []byte("\uFFFD"))+escapes {
		return true
	}
	r.fault(start, "the text holds half a surrogate pair, which is no character", "")
	return false
}
