package resource

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// yamlReader turns one YAML document into the intermediate tree.
type yamlReader struct {
	file string
	// offset is added to the parser's line numbers: lines before the document.
	offset int
	nodes  int
	faults *faults
}

// parseYAML reads a text that holds one document and starts at line first of
// the file. It is nil when the text is no YAML; then there are faults.
func parseYAML(file string, text []byte, first int, faults *faults) *node {
	r := &yamlReader{file: file, offset: first - 1, faults: faults}
	var doc yaml.Node
	// The parser's own limits are wider, so that ours speak first; it does not
	// expand aliases, convert does, and counts.
	limits := loaderlimits.New(loaderlimits.DepthValue(2*maxDepth), loaderlimits.AliasNone())
	if err := yaml.Load(text, &doc, yaml.WithPlugin(limits)); err != nil {
		r.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		r.fault(&doc, "there is no document here", "")
		return nil
	}
	return r.convert(doc.Content[0], 0)
}

// syntax reports what the YAML parser says, at the line it names.
func (r *yamlReader) syntax(err error) {
	e := fault.Fault{File: r.file, Line: r.offset + 1, Message: "not YAML: " + err.Error()}
	if le, ok := errors.AsType[*yaml.LoadError](err); ok {
		e.Message = "not YAML: " + le.Message
		if le.ContextMsg != "" {
			e.Message += ", " + le.ContextMsg
		}
		mark := le.Mark
		// What has no end is to be looked for where it begins.
		if strings.Contains(le.Message, "end of stream") {
			mark, e.Hint = le.ContextMark, "is a quote missing?"
		}
		if mark.Line == 0 {
			mark = le.ContextMark
		}
		e.Line, e.Column = r.offset+max(mark.Line, 1), mark.Column
	}
	if strings.Contains(e.Message, "tab") || strings.Contains(e.Message, "cannot start any token") {
		e.Hint = "indent with spaces, not tabs, and quote text that starts with a special character"
	}
	r.faults.add(e)
}

func (r *yamlReader) fault(n *yaml.Node, message, hint string) {
	r.faults.add(fault.Fault{File: r.file, Line: r.offset + max(n.Line, 1), Column: n.Column, Message: message, Hint: hint})
}

// convert copies a YAML node, following aliases; nil when a fault was found
// that makes the rest useless.
func (r *yamlReader) convert(y *yaml.Node, depth int) *node {
	if r.nodes++; r.nodes > maxNodes {
		if r.nodes == maxNodes+1 {
			r.fault(y, fmt.Sprintf("the document has more than %d values, aliases expanded", maxNodes), "split it")
		}
		return nil
	}
	if depth > maxDepth {
		r.fault(y, fmt.Sprintf("nested deeper than %d levels", maxDepth), "")
		return nil
	}
	n := &node{line: r.offset + y.Line, column: y.Column}
	switch y.Kind {
	case yaml.AliasNode:
		if y.Alias == nil {
			r.fault(y, "an alias without its anchor", "")
			return nil
		}
		// Depth counts on, so an alias of an ancestor ends too.
		return r.convert(y.Alias, depth+1)
	case yaml.ScalarNode:
		return r.scalar(y, n)
	case yaml.SequenceNode:
		return r.list(y, n, depth)
	case yaml.MappingNode:
		return r.object(y, n, depth)
	default:
		r.fault(y, "unexpected YAML", "")
		return nil
	}
}

func (r *yamlReader) list(y *yaml.Node, n *node, depth int) *node {
	if tag := y.ShortTag(); tag != "!!seq" {
		r.fault(y, "the tag "+quote(tag)+" is not supported", "leave it out")
		return nil
	}
	n.kind = listNode
	n.items = make([]*node, 0, len(y.Content))
	for _, item := range y.Content {
		v := r.convert(item, depth+1)
		if v == nil {
			return nil
		}
		n.items = append(n.items, v)
	}
	return n
}

func (r *yamlReader) object(y *yaml.Node, n *node, depth int) *node {
	if tag := y.ShortTag(); tag != "!!map" {
		r.fault(y, "the tag "+quote(tag)+" is not supported", "leave it out")
		return nil
	}
	n.kind = objectNode
	n.members = make([]member, 0, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		if key.Kind != yaml.ScalarNode {
			r.fault(key, "a field's name must be plain text", "")
			return nil
		}
		if key.ShortTag() == "!!merge" {
			r.fault(key, "merge keys (<<) are not supported", "write the fields out")
			return nil
		}
		v := r.convert(y.Content[i+1], depth+1)
		if v == nil {
			return nil
		}
		n.members = append(n.members, member{name: key.Value, line: r.offset + key.Line, column: key.Column, value: v})
	}
	return n
}

func (r *yamlReader) scalar(y *yaml.Node, n *node) *node {
	n.text = y.Value
	switch tag := y.ShortTag(); tag {
	case "!!str", "!!timestamp":
		n.kind = stringNode
	case "!!null":
		n.kind = nullNode
	case "!!bool":
		n.kind = boolNode
	case "!!int", "!!float":
		n.kind = numberNode
	default:
		r.fault(y, "the tag "+quote(tag)+" is not supported", "leave it out, or write the value in quotes")
		return nil
	}
	return n
}
