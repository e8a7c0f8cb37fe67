package compile

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// unknown finds something in a message that this version's schema does not have: a
// field, or a value of an enumeration. It returns the path of where that is, and
// what it is; why is empty if there is nothing.
func unknown(m protoreflect.Message, path string) (field, why string) {
	if number, ok := unknownField(m); ok {
		return path, fmt.Sprintf("has a field of number %d", number)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := string(fd.Name())
		if path != "" {
			at = path + "." + at
		}
		switch {
		case fd.IsMap(): // of the schema's messages none has one
		case fd.IsList():
			for i := range v.List().Len() {
				if field, why = unknownValue(fd, v.List().Get(i), fmt.Sprintf("%s[%d]", at, i)); why != "" {
					break
				}
			}
		default:
			field, why = unknownValue(fd, v, at)
		}
		return why == ""
	})
	return field, why
}

func unknownValue(fd protoreflect.FieldDescriptor, v protoreflect.Value, at string) (field, why string) {
	switch {
	case fd.Enum() != nil && fd.Enum().Values().ByNumber(v.Enum()) == nil:
		return at, fmt.Sprintf("has the value %d", v.Enum())
	case fd.Message() != nil:
		return unknown(v.Message(), at)
	}
	return "", ""
}

// unknownField returns the number of the first field of m that the schema lacks.
func unknownField(m protoreflect.Message) (protoreflect.FieldNumber, bool) {
	raw := m.GetUnknown()
	if len(raw) == 0 {
		return 0, false
	}
	number, _, n := protowire.ConsumeTag(raw)
	return number, n > 0
}
