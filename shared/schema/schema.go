// Package schema knows what the options of the resource schema say: which version
// added what (since and value_since), and what must not be shown (debug_redact,
// is_url and internal). A program understands a resource if it knows the version
// that the resource requires.
package schema

import (
	"cmp"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Need is the version that something requires, and what requires it.
type Need struct {
	// Version of the schema; at least 1.
	Version uint32
	// Path of the first field, in the order of the schema, that requires it, such as
	// jwt.scopes.any[2]; empty: none does, or the version is 1.
	Path string
}

// Requires returns the version of the schema that a reader of m must know: the
// latest that any of its set fields and used enum values was added in, also in
// nested messages, lists and maps, but for internal ones. A field that this program does not know itself
// requires a version later than its own.
func Requires(m proto.Message) Need {
	w := walk{need: Need{Version: 1}}
	w.message(m.ProtoReflect(), "")
	return w.need
}

// KindRequires returns the version of the schema that added a kind of resources.
func KindRequires(kind pb.Kind) uint32 {
	return sinceOfValue(kind.Descriptor(), kind.Number())
}

// Version returns the version of the schema in a file: its option schema_version.
func Version(file protoreflect.FileDescriptor) uint32 {
	return orFirst(file.Options(), pb.E_SchemaVersion)
}

// SinceOfField returns the version that added a field.
func SinceOfField(field protoreflect.FieldDescriptor) uint32 {
	return orFirst(field.Options(), pb.E_Since)
}

// SinceOfValue returns the version that added a value of an enum.
func SinceOfValue(value protoreflect.EnumValueDescriptor) uint32 {
	return orFirst(value.Options(), pb.E_ValueSince)
}

// orFirst reads an option whose absence means 1.
func orFirst(options proto.Message, option protoreflect.ExtensionType) uint32 {
	version, _ := proto.GetExtension(options, option).(uint32)
	return max(version, 1)
}

type walk struct{ need Need }

func (w *walk) at(version uint32, path string) {
	if version > w.need.Version {
		w.need = Need{version, path}
	}
}

func (w *walk) message(m protoreflect.Message, path string) {
	if len(m.GetUnknown()) > 0 {
		w.at(pb.SchemaVersion+1, cmp.Or(path, "a field that this program does not know"))
	}
	fields := m.Descriptor().Fields() // in order, unlike Range
	for i := range fields.Len() {
		if field := fields.Get(i); m.Has(field) && !IsInternal(field) {
			w.field(field, m.Get(field), join(path, field.TextName()))
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (w *walk) field(field protoreflect.FieldDescriptor, value protoreflect.Value, path string) {
	w.at(SinceOfField(field), path)
	switch {
	case field.IsList():
		for i := range value.List().Len() {
			w.value(field, value.List().Get(i), path+"["+strconv.Itoa(i)+"]")
		}
	case field.IsMap():
		value.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
			w.value(field.MapValue(), value, path+"["+key.String()+"]")
			return true
		})
	default:
		w.value(field, value, path)
	}
}

func (w *walk) value(field protoreflect.FieldDescriptor, value protoreflect.Value, path string) {
	switch {
	case field.Message() != nil:
		w.message(value.Message(), path)
	case field.Enum() != nil:
		w.at(sinceOfValue(field.Enum(), value.Enum()), path)
	}
}

func sinceOfValue(enum protoreflect.EnumDescriptor, number protoreflect.EnumNumber) uint32 {
	value := enum.Values().ByNumber(number)
	if value == nil {
		return pb.SchemaVersion + 1
	}
	return SinceOfValue(value)
}
