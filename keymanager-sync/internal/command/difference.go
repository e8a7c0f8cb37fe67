package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/mask"
	"github.com/portcullis-gateway/portcullis/shared/rules"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

// Sign says what happens to a resource.
type Sign string

// The signs of a difference.
const (
	Added   Sign = "+"
	Changed Sign = "~"
	Removed Sign = "-"
)

// Difference is what a proposal does to one resource, for people to read.
type Difference struct {
	Sign Sign
	Ref  catalog.Ref
	// Fields that differ, in the order of their paths; for Changed only.
	Fields []FieldDifference
}

// FieldDifference is one field before and after. Secrets are never shown.
type FieldDifference struct {
	// Path is like "upstream.targets[0].url".
	Path string
	// Before and After are readable text; empty: not set.
	Before, After string
}

const (
	longestValue = 80
	hidden       = "(secret)"
	unset        = "unset"
)

// String is a line per field: "~ plan/orders-jwt: status STAGING → PUBLISHED".
func (d Difference) String() string {
	head := string(d.Sign) + " " + d.Ref.String()
	if len(d.Fields) == 0 {
		return head
	}
	lines := make([]string, len(d.Fields))
	for i, f := range d.Fields {
		lines[i] = fmt.Sprintf("%s: %s %s → %s", head, f.Path, orUnset(f.Before), orUnset(f.After))
	}
	return strings.Join(lines, "\n")
}

func orUnset(s string) string {
	if s == "" {
		return unset
	}
	return s
}

// Differences are what a proposal, decided against s, would do; in its order.
func Differences(s *catalog.State, p *rules.Proposal) ([]Difference, error) {
	after, err := s.WithChanges(p.Changes)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	list := make([]Difference, 0, len(p.Changes))
	seen := make(map[catalog.Ref]bool, len(p.Changes))
	for _, change := range p.Changes {
		ref := catalog.Ref{Kind: change.GetKind(), ID: change.GetId()}
		if seen[ref] {
			continue
		}
		seen[ref] = true
		if d, differs := difference(s, after, ref); differs {
			list = append(list, d)
		}
	}
	return list, nil
}

func difference(before, after *catalog.State, ref catalog.Ref) (Difference, bool) {
	old, had := before.Get(ref.Kind, ref.ID)
	now, has := after.Get(ref.Kind, ref.ID)
	switch {
	case !had && !has:
		return Difference{}, false
	case !had:
		return Difference{Sign: Added, Ref: ref}, true
	case !has:
		return Difference{Sign: Removed, Ref: ref}, true
	}
	return Difference{Sign: Changed, Ref: ref, Fields: compare(leaves(old), leaves(now))}, true
}

func compare(before, after map[string]leaf) []FieldDifference {
	var fields []FieldDifference
	for path, a := range after {
		if b := before[path]; b.key != a.key {
			fields = append(fields, FieldDifference{Path: path, Before: b.text, After: a.text})
		}
	}
	for path, b := range before {
		if _, ok := after[path]; !ok {
			fields = append(fields, FieldDifference{Path: path, Before: b.text})
		}
	}
	slices.SortFunc(fields, func(x, y FieldDifference) int { return strings.Compare(x.Path, y.Path) })
	return fields
}

// leaf is one field's value: key to compare, text to show.
type leaf struct {
	key, text string
}

// leaves flattens a record to the fields that a person wants to see.
func leaves(record catalog.Record) map[string]leaf {
	found := make(map[string]leaf)
	resource, err := record.Decode()
	if err != nil {
		found["(not readable by this version)"] = leaf{key: record.Raw(), text: "other bytes"}
		return found
	}
	flatten(found, "", resource.ProtoReflect())
	return found
}

func flatten(found map[string]leaf, prefix string, m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if silent(field) {
			return true
		}
		path := prefix + string(field.Name())
		switch {
		case field.IsMap():
			value.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
				entry := path + "[" + key.String() + "]"
				if field.MapValue().Message() != nil {
					flattenMessage(found, entry, value.Message())
				} else {
					found[entry] = scalar(field.MapValue(), value)
				}
				return true
			})
		case field.IsList() && field.Message() != nil:
			list := value.List()
			for i := range list.Len() {
				flattenMessage(found, fmt.Sprintf("%s[%d]", path, i), list.Get(i).Message())
			}
		case field.IsList():
			found[path] = scalarList(field, value.List())
		case field.Message() != nil:
			flattenMessage(found, path, value.Message())
		default:
			found[path] = scalar(field, value)
		}
		return true
	})
}

func flattenMessage(found map[string]leaf, path string, m protoreflect.Message) {
	if l, ok := wellKnown(m.Interface()); ok {
		found[path] = l
		return
	}
	before := len(found)
	flatten(found, path+".", m)
	if len(found) == before {
		found[path] = leafOf("{}")
	}
}

// silent fields are bookkeeping, or are shown by the resource they are a copy of.
func silent(field protoreflect.FieldDescriptor) bool {
	switch field.FullName() {
	case "portcullis.v1.Deployment.api", "portcullis.v1.Deployment.previous", "portcullis.v1.Deployment.deployed_at":
		return true
	}
	return field.Name() == "meta" || schema.IsInternal(field)
}

func scalar(field protoreflect.FieldDescriptor, value protoreflect.Value) leaf {
	switch {
	case schema.IsSecret(field):
		return leaf{key: value.String(), text: hidden}
	case schema.IsURL(field):
		return leaf{key: value.String(), text: leafOf(mask.URL(value.String())).text}
	}
	if enum := field.Enum(); enum != nil {
		if v := enum.Values().ByNumber(value.Enum()); v != nil {
			return leafOf(string(v.Name()))
		}
	}
	return leafOf(value.String())
}

func scalarList(field protoreflect.FieldDescriptor, list protoreflect.List) leaf {
	keys, texts := make([]string, list.Len()), make([]string, list.Len())
	for i := range keys {
		item := scalar(field, list.Get(i))
		if keys[i], texts[i] = item.key, item.key; schema.IsSecret(field) || schema.IsURL(field) {
			texts[i] = item.text
		}
	}
	shown := leafOf("[" + strings.Join(texts, ", ") + "]")
	shown.key = "[" + strings.Join(keys, ", ") + "]"
	return shown
}

// wellKnown messages are shown as users write them.
func wellKnown(m proto.Message) (leaf, bool) {
	switch v := m.(type) {
	case *durationpb.Duration:
		return leafOf(v.AsDuration().String()), true
	case *timestamppb.Timestamp:
		return leafOf(v.AsTime().Format(time.RFC3339)), true
	case *structpb.Struct, *structpb.Value:
		return leafOf(protojson.MarshalOptions{}.Format(v)), true
	case *pb.ByteSize:
		return leafOf(fmt.Sprintf("%d bytes", v.GetBytes())), true
	}
	return leaf{}, false
}

func leafOf(text string) leaf {
	shown := []rune(text)
	if len(shown) > longestValue {
		return leaf{key: text, text: string(shown[:longestValue]) + "…"}
	}
	if text == "" {
		return leaf{key: text, text: `""`}
	}
	return leaf{key: text, text: text}
}
