package schema_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

// example is a schema of version 3, with which no real one is burdened.
const example = `
name: "example.proto" package: "example" syntax: "proto3" dependency: "portcullis/v1/schema.proto"
options { [portcullis.v1.schema_version]: 3 }
message_type {
  name: "M"
  field { name: "old" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "old" }
  field { name: "newer" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "newer" options { [portcullis.v1.since]: 2 } }
  field { name: "mode" number: 3 type: TYPE_ENUM type_name: ".example.E" label: LABEL_OPTIONAL json_name: "mode" }
  field { name: "child" number: 4 type: TYPE_MESSAGE type_name: ".example.M" label: LABEL_OPTIONAL json_name: "child" }
  field { name: "list" number: 5 type: TYPE_MESSAGE type_name: ".example.M" label: LABEL_REPEATED json_name: "list" }
  field { name: "modes" number: 6 type: TYPE_ENUM type_name: ".example.E" label: LABEL_REPEATED json_name: "modes" }
  field { name: "map" number: 7 type: TYPE_MESSAGE type_name: ".example.M.MapEntry" label: LABEL_REPEATED json_name: "map" }
  nested_type {
    name: "MapEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "key" }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".example.M" label: LABEL_OPTIONAL json_name: "value" }
  }
}
enum_type { name: "E" value { name: "ZERO" number: 0 } value { name: "LATER" number: 1 options { [portcullis.v1.value_since]: 3 } } }
`

func file(t *testing.T, text string) protoreflect.FileDescriptor {
	t.Helper()
	description := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(text), description); err != nil {
		t.Fatal(err)
	}
	built, err := protodesc.NewFile(description, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func TestRequires(t *testing.T) {
	descriptor := file(t, example).Messages().ByName("M")
	for text, want := range map[string]schema.Need{
		``:                                      {Version: 1},
		`old: "x" mode: ZERO child {}`:          {Version: 1},
		`newer: "x"`:                            {Version: 2, Path: "newer"},
		`mode: LATER newer: "x"`:                {Version: 3, Path: "mode"},
		`child { child { newer: "x" } }`:        {Version: 2, Path: "child.child.newer"},
		`list {} list { mode: LATER }`:          {Version: 3, Path: "list[1].mode"},
		`modes: ZERO modes: LATER`:              {Version: 3, Path: "modes[1]"},
		`map { key: "k" value { newer: "x" } }`: {Version: 2, Path: "map[k].newer"},
		`mode: 7`:                               {Version: pb.SchemaVersion + 1, Path: "mode"},
	} {
		m := dynamicpb.NewMessage(descriptor)
		if err := prototext.Unmarshal([]byte(text), m); err != nil {
			t.Fatal(err)
		}
		if got := schema.Requires(m); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	m := dynamicpb.NewMessage(descriptor)
	m.ProtoReflect().SetUnknown([]byte{0x98, 0x06, 1})
	if got := schema.Requires(m).Version; got != pb.SchemaVersion+1 {
		t.Errorf("an unknown field requires %d", got)
	}
}

func TestVersions(t *testing.T) {
	if got := schema.Version(pb.File_portcullis_v1_resources_proto); got != pb.SchemaVersion {
		t.Errorf("resources.proto has the option schema_version = %d, and version.go says %d", got, pb.SchemaVersion)
	}
	if a, m := schema.KindRequires(pb.Kind_KIND_API), schema.KindRequires(pb.Kind_KIND_MEMBER); a != 1 || m != 2 {
		t.Errorf("KIND_API requires %d, KIND_MEMBER %d", a, m)
	}
	if got := schema.Requires(&pb.Member{Id: "x"}); got != (schema.Need{Version: 2, Path: "id"}) {
		t.Errorf("a Member requires %+v", got)
	}
	// The control plane names secrets by itself, and nodes do not ask for the names.
	secret := &pb.Issuer{Introspection: &pb.Introspection{ClientSecret: &pb.Secret{Mask: "x"}}}
	if got := schema.Requires(secret); got != (schema.Need{Version: 1}) {
		t.Errorf("a secret with a name requires %+v", got)
	}
	if got := schema.Version(file(t, example)); got != 3 {
		t.Errorf("the example has version %d", got)
	}
}

// TestEveryAdditionSaysSince compares resources.proto with the accepted schema: what
// was added since carries the present version, which is a later one.
func TestEveryAdditionSaysSince(t *testing.T) {
	for _, fault := range additions(accepted(t), pb.File_portcullis_v1_resources_proto) {
		t.Error(fault)
	}
}

// accepted is resources.proto as proto/baseline.binpb has it.
func accepted(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	raw, err := os.ReadFile("../../proto/baseline.binpb")
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(raw, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	file, err := files.FindFileByPath("portcullis/v1/resources.proto")
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func acceptedVersion(t *testing.T) uint32 {
	t.Helper()
	return schema.Version(accepted(t))
}

// The comparison itself: an addition that does not say since is found.
func TestAdditionsAreFound(t *testing.T) {
	before := file(t, example)
	for _, c := range []struct{ from, to, want string }{
		{"schema_version]: 3", "schema_version]: 4", ""},
		{`field { name: "newer"`, `field { name: "added" number: 8 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "added" } field { name: "newer"`, "example.M.added"},
		{`value { name: "ZERO" number: 0 }`, `value { name: "ZERO" number: 0 } value { name: "ADDED" number: 5 options { [portcullis.v1.value_since]: 3 } }`, "example.ADDED"},
		{"value_since]: 3", "value_since]: 2", "example.LATER"},
		{"schema_version]: 3", "schema_version]: 2", "version 2"},
	} {
		faults := additions(before, file(t, strings.Replace(example, c.from, c.to, 1)))
		if got := fmt.Sprint(faults); (c.want == "") != (len(faults) == 0) || !strings.Contains(got, c.want) {
			t.Errorf("%s: %v", c.to, faults)
		}
	}
	bumped := strings.Replace(example, "schema_version]: 3", "schema_version]: 4", 1)
	added := strings.Replace(bumped, `field { name: "newer"`, `field { name: "added" number: 8 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "added" options { [portcullis.v1.since]: 4 } } field { name: "newer"`, 1)
	if faults := additions(before, file(t, added)); len(faults) > 0 {
		t.Errorf("an addition as it should be: %v", faults)
	}
}

// comparison finds what a schema added to an earlier one without saying so.
type comparison struct {
	before map[protoreflect.FullName]uint32 // of fields and values: since
	was    uint32
	now    uint32
	faults []string
}

func additions(before, after protoreflect.FileDescriptor) []string {
	c := &comparison{before: map[protoreflect.FullName]uint32{}, was: schema.Version(before), now: schema.Version(after)}
	each(before, func(name protoreflect.FullName, since uint32) { c.before[name] = since })
	if c.now < c.was {
		c.faults = append(c.faults, fmt.Sprintf("%s has version %d, the accepted schema %d", after.Path(), c.now, c.was))
	}
	each(after, c.check)
	return c.faults
}

func (c *comparison) check(name protoreflect.FullName, since uint32) {
	was, known := c.before[name]
	switch {
	case known && was != since:
		c.faults = append(c.faults, fmt.Sprintf("%s was added in version %d, and says %d", name, was, since))
	case !known && c.now == c.was:
		c.faults = append(c.faults, fmt.Sprintf("%s is new: raise schema_version and SchemaVersion to %d, and give it [(since) = %d] ((value_since) for a value of an enum)", name, c.was+1, c.was+1))
	case !known && since != c.now:
		c.faults = append(c.faults, fmt.Sprintf("%s is new and says since %d (hint: [(since) = %d], (value_since) for a value of an enum)", name, since, c.now))
	}
}

// each calls fn with all fields and enum values of a file.
func each(file protoreflect.FileDescriptor, fn func(protoreflect.FullName, uint32)) {
	eachValue(file.Enums(), fn)
	eachField(file.Messages(), fn)
}

func eachField(messages protoreflect.MessageDescriptors, fn func(protoreflect.FullName, uint32)) {
	for i := range messages.Len() {
		m := messages.Get(i)
		for j := range m.Fields().Len() {
			fn(m.Fields().Get(j).FullName(), schema.SinceOfField(m.Fields().Get(j)))
		}
		eachValue(m.Enums(), fn)
		eachField(m.Messages(), fn)
	}
}

func eachValue(enums protoreflect.EnumDescriptors, fn func(protoreflect.FullName, uint32)) {
	for i := range enums.Len() {
		values := enums.Get(i).Values()
		for j := range values.Len() {
			fn(values.Get(j).FullName(), schema.SinceOfValue(values.Get(j)))
		}
	}
}
