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

// ref points to a component.
func ref(section, name string) object {
	return object{{"$ref", "#/components/" + section + "/" + name}}
}
