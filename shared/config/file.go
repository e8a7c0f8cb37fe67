package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// maxFile bounds a settings file, in bytes.
const maxFile = 1 << 20

// readFile takes the settings of a YAML file. by is where the file is named.
func readFile(file string, by origin, settings []*setting, from Source, faults *fault.List) {
	if from.ReadFile == nil {
		*faults = append(*faults, by.fault("", "this program reads no settings file", ""))
		return
	}
	data, err := from.ReadFile(file)
	if err != nil {
		f := by.fault("", "read the settings file: "+err.Error(), "")
		if errors.Is(err, os.ErrNotExist) {
			f.Message, f.Hint = "there is no file "+file, "give the path of a YAML file, or leave the setting out"
		}
		*faults = append(*faults, f)
		return
	}
	if len(data) > maxFile {
		*faults = append(*faults, fault.Fault{File: file, Message: "the file is larger than 1 MiB"})
		return
	}
	readYAML(file, data, settings, faults)
}

func readYAML(file string, data []byte, settings []*setting, faults *fault.List) {
	var docs []yaml.Node
	if err := yaml.Load(data, &docs, yaml.WithAllDocuments()); err != nil {
		f := fault.Fault{File: file, Message: "not YAML: " + err.Error()}
		if le, ok := errors.AsType[*yaml.LoadError](err); ok {
			f.Line, f.Message = max(le.Mark.Line, 1), "not YAML: "+le.Message
		}
		*faults = append(*faults, f)
		return
	}
	if len(docs) == 0 {
		return // an empty file, or nothing but comments
	}
	if len(docs) > 1 {
		*faults = append(*faults, fault.Fault{File: file, Line: docs[1].Line, Message: "a settings file is one document"})
		return
	}
	root := &docs[0]
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return
	}
	if root.Kind != yaml.MappingNode {
		*faults = append(*faults, fault.Fault{
			File: file, Line: max(root.Line, 1), Message: "a settings file holds lines of key: value",
		})
		return
	}
	readMembers(file, root, settings, faults)
}

func readMembers(file string, root *yaml.Node, settings []*setting, faults *fault.List) {
	byKey := make(map[string]*setting, len(settings))
	keys := make([]string, 0, len(settings))
	for _, s := range settings {
		if s.use == useFlag {
			continue
		}
		byKey[keyName(s.name)] = s
		keys = append(keys, keyName(s.name))
	}
	first := make(map[string]int)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		at := origin{name: file, line: key.Line}
		f := at.fault(key.Value, "", "")
		s := byKey[key.Value]
		switch line, again := first[key.Value]; {
		case key.Kind != yaml.ScalarNode || s == nil:
			f.Message, f.Hint = "unknown setting", fault.Suggest(key.Value, keys)
		case again:
			f.Message, f.Hint = fmt.Sprintf("the setting appears twice, first in line %d", line), "keep one"
		default:
			f.Message, f.Hint = readValue(at, s, value)
		}
		first[key.Value] = key.Line
		if f.Message != "" {
			*faults = append(*faults, f)
		}
	}
}

// readValue takes a setting's value; it returns a fault's message and hint.
func readValue(source origin, s *setting, value *yaml.Node) (message, hint string) {
	switch {
	case value.Kind == yaml.ScalarNode && value.ShortTag() == "!!null":
		return "the setting has no value", "leave the line out for the default"
	case value.Kind == yaml.ScalarNode:
		s.take(source, value.Value)
		return "", ""
	case value.Kind != yaml.SequenceNode || !s.isList():
		return "expected a " + s.kind(), ""
	}
	texts := make([]string, 0, len(value.Content))
	for _, item := range value.Content {
		if item.Kind != yaml.ScalarNode || item.ShortTag() == "!!null" || strings.Contains(item.Value, ",") {
			return "expected a list of texts without commas", ""
		}
		if strings.TrimSpace(item.Value) == "" {
			return "an element of the list is empty", "leave it out"
		}
		texts = append(texts, item.Value)
	}
	s.take(source, texts...)
	if len(texts) == 0 {
		s.take(source, "") // an empty list, as opposed to the default
	}
	return "", ""
}
