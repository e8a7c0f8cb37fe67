package resource

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v4"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// EncodeYAML writes resources as a file of YAML documents, in the given order.
// It says what EncodeJSON says.
func EncodeYAML(rs []catalog.Resource, opts ...EncodeOption) []byte {
	var out bytes.Buffer
	for _, r := range rs {
		var faults faults
		root := parseJSON("", EncodeJSON(r, opts...), 1, &faults)
		if root == nil {
			panic(fmt.Sprintf("BUG: EncodeJSON wrote what is no JSON: %v", faults.err()))
		}
		text, err := yaml.Dump(yamlNode(root), yaml.WithLineWidth(-1))
		if err != nil {
			panic(fmt.Sprintf("BUG: a tree of plain values cannot be written as YAML: %v", err))
		}
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	return out.Bytes()
}

// yamlNode turns the intermediate tree into that of the YAML library.
func yamlNode(n *node) *yaml.Node {
	y := &yaml.Node{Kind: yaml.ScalarNode, Value: n.text}
	switch n.kind {
	case nullNode:
		y.Tag, y.Value = "!!null", "null"
	case boolNode:
		y.Tag = "!!bool"
	case numberNode:
		y.Tag = "!!int"
		if bytes.ContainsAny([]byte(n.text), ".eE") {
			y.Tag = "!!float"
		}
	case stringNode:
		y.Tag = "!!str"
	case listNode:
		y.Kind, y.Tag = yaml.SequenceNode, "!!seq"
		for _, item := range n.items {
			y.Content = append(y.Content, yamlNode(item))
		}
	case objectNode:
		y.Kind, y.Tag = yaml.MappingNode, "!!map"
		for i := range n.members {
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: n.members[i].name}
			y.Content = append(y.Content, key, yamlNode(n.members[i].value))
		}
	}
	return y
}
