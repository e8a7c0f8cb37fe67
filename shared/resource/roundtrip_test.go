package resource_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

// maker fills messages with random content that a user could write.
type maker struct{ *rand.Rand }

func (m maker) text() string {
	words := []string{
		"", "a", "orders", "true", "null", "~", "1.0", "0x1F", "2026-01-01", "- x", "a: b", "# c", "OFF", "<<", "---", "...",
		"line\nbreak", "trailing \n", "tab\there", "\r\n", "\u0085\u2028\uFEFF", "é😀", "\"'\\", "\x00\x1f\x7f", "%", "&a *a !b |", " lead", "\uFFFD",
		strings.Repeat("long ", 40), "********",
	}
	return words[m.IntN(len(words))]
}

func (m maker) special(name protoreflect.FullName, depth int) proto.Message {
	switch name {
	case "google.protobuf.Duration":
		return durationpb.New(time.Duration(m.Int64N(1<<40)) * []time.Duration{1, 1000, 1e6}[m.IntN(3)])
	case "google.protobuf.Timestamp":
		return timestamppb.New(time.Unix(m.Int64N(253402300800+62135596800)-62135596800, m.Int64N(1e9)))
	case "portcullis.v1.ByteSize":
		return &pb.ByteSize{Bytes: m.Uint64() >> m.IntN(64)}
	case "google.protobuf.Struct":
		s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for range m.IntN(4) {
			s.Fields[m.text()] = m.free(depth)
		}
		return s
	case "google.protobuf.Value":
		return m.free(depth)
	}
	return nil
}

func (m maker) free(depth int) *structpb.Value {
	n := 6
	if depth > 4 {
		n = 4
	}
	switch m.IntN(n) {
	case 0:
		return structpb.NewNullValue()
	case 1:
		return structpb.NewBoolValue(m.IntN(2) == 0)
	case 2:
		return structpb.NewNumberValue([]float64{0, -1, 1.5, 1 << 53, 1 << 60, 1e300, 5e-324, m.NormFloat64(), math.Trunc(m.NormFloat64() * 1e6)}[m.IntN(9)])
	case 3:
		return structpb.NewStringValue(m.text())
	case 4:
		l := &structpb.ListValue{}
		for range m.IntN(3) {
			l.Values = append(l.Values, m.free(depth+1))
		}
		return structpb.NewListValue(l)
	default:
		s, _ := m.special("google.protobuf.Struct", depth+1).(*structpb.Struct)
		return structpb.NewStructValue(s)
	}
}

func (m maker) value(fd protoreflect.FieldDescriptor, empty protoreflect.Value, depth int) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(m.text())
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(m.IntN(2) == 0)
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		v := values.Get(m.IntN(values.Len()))
		if fd.IsList() && strings.HasSuffix(string(v.Name()), "_UNSPECIFIED") {
			v = values.Get(1) // what stands in a list is written, and that value nobody writes
		}
		return protoreflect.ValueOfEnum(v.Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(m.Uint32()) >> m.IntN(32))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(m.Uint32() >> m.IntN(32))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(m.Uint64() >> m.IntN(64))
	case protoreflect.MessageKind:
		if s := m.special(fd.Message().FullName(), depth); s != nil {
			return protoreflect.ValueOfMessage(s.ProtoReflect())
		}
		m.fill(empty.Message(), depth+1)
		return empty
	default:
		panic("a type that the schema did not have: " + fd.FullName())
	}
}

func (m maker) fill(msg protoreflect.Message, depth int) {
	fields := msg.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if m.IntN(3) == 0 || outputOnly(fd.FullName()) {
			continue
		}
		if fd.IsList() {
			l := msg.Mutable(fd).List()
			for range m.IntN(3) {
				var empty protoreflect.Value
				if fd.Kind() == protoreflect.MessageKind {
					empty = l.NewElement()
				}
				l.Append(m.value(fd, empty, depth))
			}
			continue
		}
		msg.Set(fd, m.value(fd, msg.NewField(fd), depth))
	}
}

func outputOnly(name protoreflect.FullName) bool {
	switch name {
	case "portcullis.v1.Api.portal_state", "portcullis.v1.Api.revision", "portcullis.v1.Api.stopped", "portcullis.v1.Api.out_of_sync":
		return true
	}
	return name.Name() == "meta" || name.Name() == "mask"
}

func TestRandomRoundTrip(t *testing.T) {
	const seed = 20260101
	m := maker{rand.New(rand.NewPCG(seed, 1))}
	for range 500 {
		kinds := catalog.UserKinds()
		r := catalog.New(kinds[m.IntN(len(kinds))])
		m.fill(r.ProtoReflect(), 0)
		for name, through := range encodings() {
			docs, err := through(r)
			if err != nil || len(docs) != 1 {
				t.Fatalf("%s: %v\n%s", name, err, resource.EncodeJSON(r))
			}
			if !proto.Equal(r, docs[0].Resource) {
				t.Fatalf("%s: %s\n%s", name, cmp.Diff(r, docs[0].Resource, protocmp.Transform()), resource.EncodeYAML([]catalog.Resource{r}))
			}
		}
	}
}
