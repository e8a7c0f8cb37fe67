package openapi

import (
	"context"
	"fmt"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

// schemas turns the messages of the proto files under protoDir into JSON schemas,
// described by the comments in the files.
type schemas struct {
	files linked
	done  map[protoreflect.FullName]bool
	out   object
	err   error
}

type linked interface {
	FindDescriptorByName(protoreflect.FullName) (protoreflect.Descriptor, error)
}

func readSchemas(ctx context.Context, protoDir string) (object, error) {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{protoDir}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(ctx, "portcullis/v1/resources.proto")
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	s := &schemas{files: files.AsResolver(), done: make(map[protoreflect.FullName]bool)}
	for _, kind := range catalog.Kinds() { // the messages that are documents of their own
		name := catalog.KindName(kind)
		d, err := s.files.FindDescriptorByName("portcullis.v1." + protoreflect.FullName(name))
		if err != nil {
			return nil, fmt.Errorf("find message %s: %w", name, err)
		}
		message, ok := d.(protoreflect.MessageDescriptor)
		if !ok {
			return nil, fmt.Errorf("%s is not a message", name)
		}
		s.message(message, true)
	}
	return s.out, s.err
}

// message adds the schema of a message, and those of the messages in it, once.
func (s *schemas) message(d protoreflect.MessageDescriptor, document bool) {
	if s.done[d.FullName()] {
		return
	}
	s.done[d.FullName()] = true
	at := len(s.out)
	s.out = s.out.with(schemaName(d), object{})

	properties := object{}
	if document {
		properties = properties.with("kind", object{
			{"const", string(d.Name())},
			{"description", "In answers always; in a request it may be left out where the address tells the kind."},
		})
	}
	fields := d.Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if schema.IsInternal(f) {
			continue
		}
		properties = properties.with(string(f.Name()), s.field(f))
	}
	s.out[at].value = object{{"type", "object"}, {"description", comment(d)}, {"properties", properties}, {"additionalProperties", false}}
}

// field is the schema of one field: its type, and what its comment says.
func (s *schemas) field(f protoreflect.FieldDescriptor) object {
	one := s.single(f)
	switch {
	case f.IsMap():
		one = object{{"type", "object"}, {"additionalProperties", s.single(f.MapValue())}}
	case f.IsList():
		one = object{{"type", "array"}, {"items", one}}
	}
	text := comment(f)
	if group := f.ContainingOneof(); group != nil && !group.IsSynthetic() {
		text = strings.TrimSpace(text + " At most one of " + strings.Join(oneofNames(group), ", ") + ".")
	}
	if text != "" {
		one = one.with("description", text)
	}
	if strings.Contains(text, "Output only") {
		one = one.with("readOnly", true)
	}
	return one
}

func (s *schemas) single(f protoreflect.FieldDescriptor) object {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return object{{"type", "boolean"}}
	case protoreflect.StringKind:
		if f.Name() == "id" && f.Number() == 1 {
			return object{{"type", "string"}, {"pattern", `^[a-z0-9._-]{1,128}$`}}
		}
		return object{{"type", "string"}}
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return object{{"type", "integer"}}
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return object{{"type", "integer"}, {"minimum", 0}}
	case protoreflect.EnumKind:
		return enum(f.Enum())
	case protoreflect.MessageKind:
		return s.nested(f.Message())
	default:
		s.err = fmt.Errorf("%s: no JSON schema for a %s", f.FullName(), f.Kind())
		return nil
	}
}

// nested is the schema of a message as a field: the well-known ones are written as text.
func (s *schemas) nested(d protoreflect.MessageDescriptor) object {
	switch d.FullName() {
	case "google.protobuf.Duration":
		return object{{"type", "string"}, {"examples", list{"500ms", "90s", "60m", "24h"}}}
	case "google.protobuf.Timestamp":
		return object{{"type", "string"}, {"format", "date-time"}}
	case "google.protobuf.Struct":
		return object{{"type", "object"}}
	case "google.protobuf.Value":
		return object{}
	case "portcullis.v1.ByteSize":
		return object{{"type", list{"string", "integer"}}, {"examples", list{"512", "64KiB", "10MiB", "1GiB"}}}
	}
	s.message(d, false)
	return ref("schemas", schemaName(d))
}

func enum(d protoreflect.EnumDescriptor) object {
	names := list{}
	values := d.Values()
	for i := range values.Len() {
		name := string(values.Get(i).Name())
		if !strings.HasSuffix(name, "_UNSPECIFIED") {
			names = append(names, name)
		}
	}
	return object{{"type", "string"}, {"enum", names}}
}

func oneofNames(group protoreflect.OneofDescriptor) []string {
	names := make([]string, group.Fields().Len())
	for i := range names {
		names[i] = "`" + string(group.Fields().Get(i).Name()) + "`"
	}
	return names
}

// schemaName is "Plan", or "Deployment.Revision" for a message within a message.
func schemaName(d protoreflect.MessageDescriptor) string {
	return strings.TrimPrefix(string(d.FullName()), "portcullis.v1.")
}

// comment is a descriptor's leading comment as one paragraph per block.
func comment(d protoreflect.Descriptor) string {
	text := d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.TrimSpace(strings.Join(paragraphs, "\n\n"))
}
