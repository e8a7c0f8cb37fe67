package resource

import (
	"strconv"
	"strings"
)

// maxDepth bounds the nesting of a document: the schema needs 6 levels, the
// rest is for what users put into free-form values.
const maxDepth = 32

// maxNodes bounds the tree of one document, aliases expanded.
const maxNodes = 200_000

// nodeKind is the type of a value as the text shows it.
type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	stringNode
	listNode
	objectNode
)

// node is a value of the intermediate tree, the same for YAML and JSON.
type node struct {
	kind nodeKind
	// line counts from 1 in the file, column in bytes of the line.
	line, column int
	// text is the scalar's text: of a string what it says, of a number how it is written.
	text    string
	members []member
	items   []*node
}

// member is one field of an object.
type member struct {
	name         string
	line, column int
	value        *node
}

// describe names a value in a message.
func (n *node) describe() string {
	switch n.kind {
	case nullNode:
		return "null"
	case boolNode:
		return n.text
	case numberNode:
		return "the number " + clip(n.text)
	case stringNode:
		return "the text " + quote(n.text)
	case listNode:
		return "a list"
	default:
		return "an object"
	}
}

// clip shortens a text that needs no quotes.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// member finds a field by name; nil if the node has none.
func (n *node) member(name string) *member {
	for i := range n.members {
		if n.members[i].name == name {
			return &n.members[i]
		}
	}
	return nil
}

// position follows a path like "upstream.targets[0].url" as far as the text
// goes, and returns the position of the last element that is there.
func (n *node) position(path string) (line, column int) {
	line, column = n.line, n.column
	for path != "" && n != nil {
		var element string
		element, path = cutElement(path)
		if index, isIndex := strings.CutPrefix(element, "["); isIndex {
			i, err := strconv.Atoi(index)
			if err != nil || i < 0 || i >= len(n.items) {
				return line, column
			}
			n = n.items[i]
			line, column = n.line, n.column
			continue
		}
		m := n.member(element)
		if m == nil {
			return line, column
		}
		line, column, n = m.line, m.column, m.value
	}
	return line, column
}

// cutElement takes the first element off a path: a member's name, or "[" and an index.
func cutElement(path string) (element, rest string) {
	if strings.HasPrefix(path, "[") {
		element, rest, _ = strings.Cut(path, "]")
		return element, strings.TrimPrefix(rest, ".")
	}
	i := strings.IndexAny(path, ".[")
	if i < 0 {
		return path, ""
	}
	return path[:i], strings.TrimPrefix(path[i:], ".")
}
