package schema

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/mask"
)

// IsSecret reports whether a field holds a secret, which is never shown: it has the
// option debug_redact.
func IsSecret(field protoreflect.FieldDescriptor) bool {
	options, _ := field.Options().(*descriptorpb.FieldOptions)
	return options.GetDebugRedact()
}

// MayHoldSecret reports whether what somebody writes in a field may be a secret, in the
// wrong place or form: it, or a field below it, is a secret, or holds public keys,
// certificates or the hash of a secret, for which the secret itself is mistaken.
func MayHoldSecret(field protoreflect.FieldDescriptor) bool {
	if known, ok := mayHoldSecret.Load(field); ok {
		return known == true
	}
	may := reachesSecret(field, map[protoreflect.FullName]bool{})
	mayHoldSecret.Store(field, may)
	return may
}

var mayHoldSecret sync.Map //nolint:gochecknoglobals // a cache, of protoreflect.FieldDescriptor to bool: the schema does not change

func reachesSecret(field protoreflect.FieldDescriptor, seen map[protoreflect.FullName]bool) bool {
	name := string(field.Name())
	if IsSecret(field) || strings.HasSuffix(name, "pem") || strings.HasSuffix(name, "jwks") || strings.HasSuffix(name, "sha256") {
		return true
	}
	message := field.Message()
	if message == nil || seen[message.FullName()] {
		return false
	}
	seen[message.FullName()] = true
	fields := message.Fields()
	for i := range fields.Len() {
		if reachesSecret(fields.Get(i), seen) {
			return true
		}
	}
	return false
}

// IsURL reports whether a field holds a URL, whose credentials are never shown: it
// has the option is_url.
func IsURL(field protoreflect.FieldDescriptor) bool {
	is, _ := proto.GetExtension(field.Options(), pb.E_IsUrl).(bool)
	return is
}

// IsInternal reports whether a field is neither read nor shown: it has the option internal.
func IsInternal(field protoreflect.FieldDescriptor) bool {
	is, _ := proto.GetExtension(field.Options(), pb.E_Internal).(bool)
	return is
}

// Text is a text of a resource that is not shown as it is: a secret, or a URL.
type Text struct {
	// Path is where it is, such as keys.hmac_secrets[1].value.
	Path string
	// Place is Path without the numbers of lists and the keys of maps. A secret moves
	// within its place.
	Place string

	get    func() string
	set    func(string)
	beside protoreflect.Message // a secret's message, if it can name it; nil: it cannot
}

// Value is the text itself.
func (t Text) Value() string { return t.get() }

// SetValue changes the text in its message.
func (t Text) SetValue(value string) { t.set(value) }

// Name is what the control plane calls a secret; empty: it has not named it.
func (t Text) Name() string {
	if t.beside == nil {
		return ""
	}
	return NameBeside(t.beside)
}

// SetName names a secret, where it can have a name; empty: it has none.
func (t Text) SetName(name string) {
	switch {
	case t.beside == nil:
	case name == "":
		t.beside.Clear(nameField(t.beside))
	default:
		t.beside.Set(nameField(t.beside), protoreflect.ValueOfString(name))
	}
}

// Nameable reports whether the secret in a message can have a name.
func Nameable(m protoreflect.Message) bool { return nameField(m) != nil }

// NameBeside is the name of the secret in a message; empty: it has none.
func NameBeside(m protoreflect.Message) string {
	field := nameField(m)
	if field == nil {
		return ""
	}
	return m.Get(field).String()
}

func nameField(m protoreflect.Message) protoreflect.FieldDescriptor {
	if field := m.Descriptor().Fields().ByName("mask"); field != nil && IsInternal(field) {
		return field
	}
	return nil
}

// Secrets lists the secrets that are written in a resource itself, in the order of
// the schema, of lists, and of the keys of maps.
func Secrets(m proto.Message) []Text { return collect(m, IsSecret) }

// URLs lists the URLs of a resource, in the order of Secrets.
func URLs(m proto.Message) []Text { return collect(m, IsURL) }

// nameDigits are of 48 bits: enough that no two secrets of a resource meet.
const nameDigits = 12

// SecretName makes the name of a secret out of where and when it was written first:
// the resource, when that was created (seconds since 1970), its version then, and the
// secret's number in Secrets. So it says nothing about the secret.
func SecretName(kind pb.Kind, id string, createdAt int64, version uint64, number int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %q %d %d %d", kind, id, createdAt, version, number))
	return hex.EncodeToString(sum[:])[:nameDigits]
}

// SecretMask is what is shown in place of a secret of this name; of none, if it is empty.
func SecretMask(name string) string {
	if name == "" {
		return mask.Secret
	}
	return mask.Secret + "-" + name
}

// ParseSecretMask reports whether a text is one that is shown in place of a secret,
// and of which. An empty name stands for any.
func ParseSecretMask(text string) (name string, is bool) {
	if text == mask.Secret {
		return "", true
	}
	name, is = strings.CutPrefix(text, mask.Secret+"-")
	if !is || len(name) != nameDigits || strings.Trim(name, "0123456789abcdef") != "" {
		return "", false
	}
	return name, true
}

// LooksLikeMask reports whether a text is a mask or, most likely, a spoiled one: apart
// from white space it begins as masks do, or has asterisks only.
func LooksLikeMask(text string) bool {
	text = strings.TrimSpace(text)
	return text != "" && strings.Trim(text, "*") == "" || strings.HasPrefix(text, mask.Secret)
}

// collector lists the texts whose fields it looks for.
type collector struct {
	wanted func(protoreflect.FieldDescriptor) bool
	found  []Text
}

func collect(m proto.Message, wanted func(protoreflect.FieldDescriptor) bool) []Text {
	c := collector{wanted: wanted}
	c.message(m.ProtoReflect(), "", "")
	return c.found
}

func (c *collector) message(m protoreflect.Message, path, place string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) {
			continue
		}
		path, place := join(path, field.TextName()), join(place, field.TextName())
		switch {
		case field.IsList():
			c.list(m, field, path, place)
		case field.IsMap():
			c.mapping(m, field, path, place)
		case field.Message() != nil:
			c.message(m.Get(field).Message(), path, place)
		case c.wanted(field):
			t := Text{Path: path, Place: place, get: func() string { return m.Get(field).String() }, set: func(s string) { m.Set(field, protoreflect.ValueOfString(s)) }}
			if Nameable(m) {
				t.beside = m
			}
			c.found = append(c.found, t)
		}
	}
}

func (c *collector) list(m protoreflect.Message, field protoreflect.FieldDescriptor, path, place string) {
	list := m.Get(field).List()
	for i := range list.Len() {
		path := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case field.Message() != nil:
			c.message(list.Get(i).Message(), path, place)
		case c.wanted(field):
			c.found = append(c.found, Text{
				Path: path, Place: place,
				get: func() string { return list.Get(i).String() }, set: func(s string) { list.Set(i, protoreflect.ValueOfString(s)) },
			})
		}
	}
}

func (c *collector) mapping(m protoreflect.Message, field protoreflect.FieldDescriptor, path, place string) {
	entries := m.Get(field).Map()
	var keys []protoreflect.MapKey
	entries.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return cmp.Compare(a.String(), b.String()) })
	for _, key := range keys {
		path := path + "[" + key.String() + "]"
		switch {
		case field.MapValue().Message() != nil:
			c.message(entries.Get(key).Message(), path, place)
		case c.wanted(field):
			c.found = append(c.found, Text{
				Path: path, Place: place,
				get: func() string { return entries.Get(key).String() }, set: func(s string) { entries.Set(key, protoreflect.ValueOfString(s)) },
			})
		}
	}
}
