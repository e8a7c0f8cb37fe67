package openapi

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// object is a mapping that keeps the order in which its author wrote it.
type object []member

type member struct {
	key   string
	value any
}

// list is a sequence of anything node understands.
type list []any

// with appends a member and returns the longer object.
func (o object) with(key string, value any) object {
	return append(o, member{key, value})
}

// node turns objects, lists, strings, numbers and bools into YAML.
func node(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case object:
		return v.node()
	case list:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i, item := range v {
			child, err := node(item)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			n.Content = append(n.Content, child)
		}
		return n, nil
	case string, int, bool:
		n := new(yaml.Node)
		if err := n.Encode(v); err != nil {
			return nil, err
		}
		return n, nil
	}
	return nil, fmt.Errorf("cannot write a %T", v)
}

func (o object) node() (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, m := range o {
		key, err := node(m.key)
		if err != nil {
			return nil, err
		}
		value, err := node(m.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		n.Content = append(n.Content, key, value)
	}
	return n, nil
}

// get returns a member's value; nil if there is none.
func (o object) get(key string) any {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// read turns YAML into objects, lists, strings, numbers and bools: aliases and merge
// keys (<<) become what they stand for.
func read(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.DocumentNode:
		return read(n.Content[0])
	case yaml.AliasNode:
		return read(n.Alias)
	case yaml.MappingNode:
		return readObject(n)
	case yaml.SequenceNode:
		l := make(list, len(n.Content))
		for i, child := range n.Content {
			var err error
			if l[i], err = read(child); err != nil {
				return nil, err
			}
		}
		return l, nil
	case yaml.ScalarNode:
		var v any
		if err := n.Decode(&v); err != nil {
			return nil, fmt.Errorf("line %d: %w", n.Line, err)
		}
		return v, nil
	default:
		return nil, fmt.Errorf("line %d: a %s is not understood here", n.Line, n.ShortTag())
	}
}

func readObject(n *yaml.Node) (object, error) {
	o := make(object, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		value, err := read(n.Content[i+1])
		if err != nil {
			return nil, err
		}
		merged, ok := value.(object)
		switch {
		case key.ShortTag() != "!!merge":
			merged = object{{key.Value, value}}
		case !ok:
			return nil, fmt.Errorf("line %d: << takes an object", key.Line)
		}
		for _, m := range merged {
			if o.get(m.key) != nil {
				return nil, fmt.Errorf("line %d: %s appears twice", key.Line, m.key)
			}
			o = append(o, m)
		}
	}
	return o, nil
}

// ref points to a component.
func ref(section, name string) object {
	return object{{"$ref", "#/components/" + section + "/" + name}}
}
