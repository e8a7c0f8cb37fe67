package resource

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// isValue reports whether null is a value of the field and not its absence.
func isValue(fd protoreflect.FieldDescriptor) bool {
	return fd.Kind() == protoreflect.MessageKind && fd.Message().FullName() == "google.protobuf.Value"
}

func (d *decoder) text(n *node) (protoreflect.Value, bool) {
	if n.kind == stringNode {
		return protoreflect.ValueOfString(n.text), true
	}
	hint := ""
	if n.kind == numberNode || n.kind == boolNode {
		hint = d.inQuotes(n)
	}
	d.fault(n, "expected text, got "+d.describe(n), hint)
	return protoreflect.Value{}, false
}

func (d *decoder) inQuotes(n *node) string {
	if d.hush {
		return "write it in quotes"
	}
	return fmt.Sprintf("write it in quotes: %q", clip(n.text))
}

func (d *decoder) bool(n *node) (protoreflect.Value, bool) {
	if n.kind == boolNode && (strings.EqualFold(n.text, "true") || strings.EqualFold(n.text, "false")) {
		return protoreflect.ValueOfBool(strings.EqualFold(n.text, "true")), true
	}
	d.fault(n, "expected true or false, got "+d.describe(n), "")
	return protoreflect.Value{}, false
}

func (d *decoder) enum(ed protoreflect.EnumDescriptor, n *node) (protoreflect.Value, bool) {
	// YAML 1.1 reads OFF as a bool; here it can only be a name.
	if n.kind != stringNode && n.kind != boolNode {
		d.fault(n, "expected a name, got "+d.describe(n), "")
		return protoreflect.Value{}, false
	}
	values := ed.Values()
	names := make([]string, 0, values.Len())
	for i := range values.Len() {
		v := values.Get(i)
		if strings.HasSuffix(string(v.Name()), "_UNSPECIFIED") {
			continue // what the field holds when it is absent; nobody writes it
		}
		if string(v.Name()) == n.text {
			return protoreflect.ValueOfEnum(v.Number()), true
		}
		names = append(names, string(v.Name()))
	}
	d.fault(n, "unknown value "+quote(n.text), fault.Suggest(n.text, names))
	return protoreflect.Value{}, false
}

// number reads the numeric types of the schema.
func (d *decoder) number(kind protoreflect.Kind, n *node) (protoreflect.Value, bool) {
	var none protoreflect.Value
	if n.kind != numberNode {
		d.fault(n, "expected a number, got "+d.describe(n), "")
		return none, false
	}
	var v protoreflect.Value
	var err error
	var limits string
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		var i int64
		i, err = strconv.ParseInt(n.text, 10, 32)
		v, limits = protoreflect.ValueOfInt32(int32(i)), "-2147483648 to 2147483647"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		var i int64
		i, err = strconv.ParseInt(n.text, 10, 64)
		v, limits = protoreflect.ValueOfInt64(i), "-9223372036854775808 to 9223372036854775807"
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		var i uint64
		i, err = strconv.ParseUint(n.text, 10, 32)
		v, limits = protoreflect.ValueOfUint32(uint32(i)), "0 to 4294967295"
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		var i uint64
		i, err = strconv.ParseUint(n.text, 10, 64)
		v, limits = protoreflect.ValueOfUint64(i), "0 to 18446744073709551615"
	default:
		f, ok := d.float(n)
		return floatValue(kind, f), ok
	}
	if err != nil {
		d.fault(n, "expected a whole number from "+limits+", got "+clip(n.text), "")
		return none, false
	}
	return v, true
}

func floatValue(kind protoreflect.Kind, f float64) protoreflect.Value {
	if kind == protoreflect.FloatKind {
		return protoreflect.ValueOfFloat32(float32(f))
	}
	return protoreflect.ValueOfFloat64(f)
}

// float reads a number in the forms of JSON. A whole number that a float64
// cannot hold exactly is refused: a rule would compare with another number.
func (d *decoder) float(n *node) (float64, bool) {
	if strings.Trim(n.text, "0123456789+-.eE") != "" {
		d.fault(n, "expected a decimal number, got "+d.describe(n), "")
		return 0, false
	}
	f, err := strconv.ParseFloat(n.text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		d.fault(n, d.describe(n)+" is out of range", "")
		return 0, false
	}
	const exact = 1 << 53
	if math.Abs(f) >= exact && !strings.ContainsAny(n.text, ".eE") && strconv.FormatFloat(f, 'f', 0, 64) != n.text {
		d.fault(n, "whole numbers beyond 9007199254740992 lose digits", d.inQuotes(n))
		return 0, false
	}
	return f, true
}

// special reads the messages that have a form of their own in text; special is
// false for all others.
func (d *decoder) special(name protoreflect.FullName, n *node) (v protoreflect.Value, ok, special bool) {
	var m proto.Message
	switch name {
	case "google.protobuf.Duration":
		m, ok = d.duration(n)
	case "google.protobuf.Timestamp":
		m, ok = d.timestamp(n)
	case "portcullis.v1.ByteSize":
		m, ok = d.size(n)
	case "google.protobuf.Struct":
		if n.kind != objectNode {
			d.fault(n, "expected an object, got "+d.describe(n), "")
			return v, false, true
		}
		m, ok = d.free(n).GetStructValue(), true
	case "google.protobuf.Value":
		m, ok = d.free(n), true
	default:
		return v, false, false
	}
	if !ok {
		return v, false, true
	}
	return protoreflect.ValueOfMessage(m.ProtoReflect()), true, true
}

func (d *decoder) duration(n *node) (*durationpb.Duration, bool) {
	const forms = "write a number with its unit: 500ms, 90s, 60m, 24h, 7d"
	if n.kind == numberNode && n.text == "0" {
		return &durationpb.Duration{}, true
	}
	if n.kind != stringNode {
		hint := forms
		if n.kind == numberNode {
			hint += "; seconds would be " + clip(n.text) + "s"
		}
		d.fault(n, "expected a duration, got "+d.describe(n), hint)
		return nil, false
	}
	v, err := parseDuration(n.text)
	if err != nil {
		d.fault(n, fmt.Sprintf("%s: %s", quote(n.text), err), forms)
		return nil, false
	}
	return durationpb.New(v), true
}

func (d *decoder) timestamp(n *node) (*timestamppb.Timestamp, bool) {
	const form = "write it like 2026-01-31T08:00:00Z"
	if n.kind != stringNode {
		d.fault(n, "expected a time, got "+d.describe(n), form)
		return nil, false
	}
	t, err := time.Parse(time.RFC3339Nano, n.text)
	if err != nil {
		d.fault(n, quote(n.text)+" is not a time of RFC 3339", form)
		return nil, false
	}
	ts := timestamppb.New(t)
	if ts.CheckValid() != nil {
		d.fault(n, quote(n.text)+" is not within the years 1 to 9999", "")
		return nil, false
	}
	return ts, true
}

func (d *decoder) size(n *node) (*pb.ByteSize, bool) {
	const forms = "write bytes, or KiB, MiB, GiB: 512, 64KiB, 10MiB"
	if n.kind != stringNode && n.kind != numberNode {
		d.fault(n, "expected a size, got "+d.describe(n), forms)
		return nil, false
	}
	v, err := parseSize(n.text)
	if err != nil {
		message := quote(n.text) + ": " + err.Error()
		if errors.Is(err, errNotASize) {
			message = quote(n.text) + " is not a size"
		}
		d.fault(n, message, forms)
		return nil, false
	}
	return &pb.ByteSize{Bytes: v}, true
}

// free copies any value.
func (d *decoder) free(n *node) *structpb.Value {
	switch n.kind {
	case boolNode:
		return structpb.NewBoolValue(strings.EqualFold(n.text, "true"))
	case numberNode:
		f, _ := d.float(n)
		return structpb.NewNumberValue(f)
	case stringNode:
		return structpb.NewStringValue(n.text)
	case listNode:
		values := make([]*structpb.Value, len(n.items))
		for i, item := range n.items {
			mark := d.enterIndex(i)
			values[i] = d.free(item)
			d.leave(mark)
		}
		return structpb.NewListValue(&structpb.ListValue{Values: values})
	case objectNode:
		return structpb.NewStructValue(d.freeObject(n))
	default:
		return structpb.NewNullValue()
	}
}

func (d *decoder) freeObject(n *node) *structpb.Struct {
	s := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(n.members))}
	for i := range n.members {
		f := &n.members[i]
		mark := d.enter(f.name)
		if _, again := s.Fields[f.name]; again {
			d.faultAt(f.line, f.column, "the field appears twice", "keep one")
		}
		s.Fields[f.name] = d.free(f.value)
		d.leave(mark)
	}
	return s
}
