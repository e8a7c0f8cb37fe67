package resource

import (
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/mask"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

// Masked is how each mask begins that stands in answers for a secret's value; the
// secret's name may follow (see schema.SecretMask). Decoding accepts masks as they
// are; the control plane takes each for the secret it was shown for.
const Masked = mask.Secret

// EncodeOption changes how a resource is written.
type EncodeOption func(*encoder)

// WithSecrets writes the values of secrets instead of masks, and URLs with their credentials.
func WithSecrets() EncodeOption {
	return func(e *encoder) { e.secrets = true }
}

// EncodeJSON writes a resource as one JSON object without line breaks.
// See AppendJSON.
func EncodeJSON(r catalog.Resource, opts ...EncodeOption) []byte {
	return AppendJSON(nil, r, opts...)
}

// AppendJSON appends a resource as JSON: the kind, the id, then the fields that
// are set, in the order of the schema. The same message always gives the same
// bytes, and decoding them gives the same message, but for output-only fields
// and masked secrets.
func AppendJSON(dst []byte, r catalog.Resource, opts ...EncodeOption) []byte {
	e := encoder{dst: dst}
	for _, o := range opts {
		o(&e)
	}
	e.dst = append(e.dst, `{"kind":`...)
	e.string(catalog.KindName(catalog.KindOf(r)))
	if r != nil {
		e.kind, e.id, e.meta = catalog.KindOf(r), r.GetId(), r.GetMeta()
		e.fields(r.ProtoReflect(), false)
	}
	return append(e.dst, '}')
}

// encoder appends JSON.
type encoder struct {
	dst     []byte
	secrets bool

	kind  pb.Kind
	id    string
	meta  *pb.Meta
	count int // of secrets so far, which are met in the order of schema.Secrets
}

// fields writes the set fields of m; first: nothing stands before them in their object.
func (e *encoder) fields(m protoreflect.Message, first bool) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) || schema.IsInternal(fd) {
			continue
		}
		if !first {
			e.dst = append(e.dst, ',')
		}
		first = false
		e.string(string(fd.Name()))
		e.dst = append(e.dst, ':')
		v := m.Get(fd)
		switch {
		case fd.IsList():
			e.list(fd, v.List())
		case fd.IsMap():
			e.mapping(fd, v.Map())
		case schema.IsSecret(fd):
			e.secret(fd, m)
		default:
			e.value(fd, v)
		}
	}
}

// secret writes the mask that stands for a secret. The control plane names a secret
// when a resource is written; those that were there before have the name they would
// have been given with the present version.
func (e *encoder) secret(fd protoreflect.FieldDescriptor, m protoreflect.Message) {
	number := e.count
	e.count++
	if e.secrets {
		e.string(m.Get(fd).String())
		return
	}
	name := schema.NameBeside(m)
	if name == "" && e.meta.GetVersion() > 0 && schema.Nameable(m) {
		name = schema.SecretName(e.kind, e.id, e.meta.GetCreatedAt().GetSeconds(), e.meta.GetVersion(), number)
	}
	e.string(schema.SecretMask(name))
}

func (e *encoder) list(fd protoreflect.FieldDescriptor, l protoreflect.List) {
	e.dst = append(e.dst, '[')
	for i := range l.Len() {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		e.value(fd, l.Get(i))
	}
	e.dst = append(e.dst, ']')
}

// mapping writes a map in the order of its keys' texts.
func (e *encoder) mapping(fd protoreflect.FieldDescriptor, m protoreflect.Map) {
	keys := make([]string, 0, m.Len())
	values := make(map[string]protoreflect.Value, m.Len())
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		keys = append(keys, k.String())
		values[k.String()] = v
		return true
	})
	slices.Sort(keys)
	e.dst = append(e.dst, '{')
	for i, k := range keys {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		e.string(k)
		e.dst = append(e.dst, ':')
		e.value(fd.MapValue(), values[k])
	}
	e.dst = append(e.dst, '}')
}

func (e *encoder) value(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		e.dst = strconv.AppendBool(e.dst, v.Bool())
	case protoreflect.EnumKind:
		if ev := fd.Enum().Values().ByNumber(v.Enum()); ev != nil {
			e.string(string(ev.Name()))
			return
		}
		// A value of a newer schema: its number tells more than nothing.
		e.string(strconv.Itoa(int(v.Enum())))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		e.dst = strconv.AppendInt(e.dst, v.Int(), 10)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		e.dst = strconv.AppendUint(e.dst, v.Uint(), 10)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		e.float(v.Float())
	case protoreflect.MessageKind:
		e.message(v.Message())
	default:
		e.text(fd, v.String())
	}
}

// text is a text that is no secret as a whole, unless it is an element of a list or map of them.
func (e *encoder) text(fd protoreflect.FieldDescriptor, text string) {
	switch {
	case e.secrets:
	case schema.IsSecret(fd):
		text = Masked
	case schema.IsURL(fd):
		text = mask.URL(text)
	}
	e.string(text)
}

func (e *encoder) message(m protoreflect.Message) {
	switch x := m.Interface().(type) {
	case *durationpb.Duration:
		e.dst = append(e.dst, '"')
		e.dst = appendDuration(e.dst, x.GetSeconds(), x.GetNanos())
		e.dst = append(e.dst, '"')
	case *timestamppb.Timestamp:
		e.dst = append(e.dst, '"')
		e.dst = x.AsTime().AppendFormat(e.dst, time.RFC3339Nano)
		e.dst = append(e.dst, '"')
	case *pb.ByteSize:
		e.dst = appendSize(e.dst, x.GetBytes())
	case *structpb.Struct:
		e.object(x)
	case *structpb.Value:
		e.free(x)
	default:
		e.dst = append(e.dst, '{')
		e.fields(m, true)
		e.dst = append(e.dst, '}')
	}
}

func (e *encoder) object(s *structpb.Struct) {
	keys := make([]string, 0, len(s.GetFields()))
	for k := range s.GetFields() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	e.dst = append(e.dst, '{')
	for i, k := range keys {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		e.string(k)
		e.dst = append(e.dst, ':')
		e.free(s.GetFields()[k])
	}
	e.dst = append(e.dst, '}')
}

func (e *encoder) free(v *structpb.Value) {
	switch x := v.GetKind().(type) {
	case *structpb.Value_BoolValue:
		e.dst = strconv.AppendBool(e.dst, x.BoolValue)
	case *structpb.Value_NumberValue:
		e.float(x.NumberValue)
	case *structpb.Value_StringValue:
		e.string(x.StringValue)
	case *structpb.Value_StructValue:
		e.object(x.StructValue)
	case *structpb.Value_ListValue:
		e.dst = append(e.dst, '[')
		for i, item := range x.ListValue.GetValues() {
			if i > 0 {
				e.dst = append(e.dst, ',')
			}
			e.free(item)
		}
		e.dst = append(e.dst, ']')
	default:
		e.dst = append(e.dst, "null"...)
	}
}

// float writes whole numbers without an exponent, as people do. What JSON
// cannot say (decoding lets none in) becomes null.
func (e *encoder) float(f float64) {
	const exact = 1 << 53
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		e.dst = append(e.dst, "null"...)
	case f == math.Trunc(f) && math.Abs(f) <= exact:
		e.dst = strconv.AppendInt(e.dst, int64(f), 10)
	default:
		mark := len(e.dst)
		e.dst = strconv.AppendFloat(e.dst, f, 'g', -1, 64)
		if !slices.ContainsFunc(e.dst[mark:], func(c byte) bool { return c == '.' || c == 'e' }) {
			e.dst = append(e.dst, ".0"...) // a large number that is not meant to be exact
		}
	}
}

// string writes a JSON string (RFC 8259 section 7): only what must be escaped
// is, and what is not UTF-8 becomes U+FFFD.
func (e *encoder) string(s string) {
	const hex = "0123456789abcdef"
	dst := append(e.dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			if r, size = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		switch r {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		case utf8.RuneError:
			dst = append(dst, "\uFFFD"...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xF])
		}
		i += size
		start = i
	}
	e.dst = append(append(dst, s[start:]...), '"')
}
