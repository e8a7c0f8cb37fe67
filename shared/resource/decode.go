package resource

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

// decoder fills one message from the tree of one document.
type decoder struct {
	file string
	// resource and id name the resource in faults, as far as they are known.
	resource, id string
	path         []byte
	faults       *faults
	// answer: the document is the control plane's, see DecodeAnswer.
	answer bool
	// hush: what stands here may be a secret, in the wrong form.
	hush bool
}

// decode makes the resource that a document describes. want is the kind it
// must be; KIND_UNSPECIFIED: its `kind` member says. Nil when there are faults.
func decode(file string, root *node, want pb.Kind, faults *faults) catalog.Resource {
	d := &decoder{file: file, faults: faults, path: make([]byte, 0, 64)}
	return d.resourceOf(root, want)
}

func (d *decoder) resourceOf(root *node, want pb.Kind) catalog.Resource {
	before := d.faults.total
	if root.kind != objectNode {
		d.fault(root, "a document must be an object with the field kind, not "+d.describe(root),
			"separate the resources of a file by lines of ---")
		return nil
	}
	kind := d.kind(root, want)
	r := catalog.New(kind)
	if r == nil {
		return nil
	}
	d.resource = catalog.KindName(kind)
	if id := root.member("id"); id != nil && id.value.kind == stringNode {
		d.id = id.value.text
	}
	d.message(r.ProtoReflect(), root, true)
	if d.faults.total > before {
		return nil
	}
	return r
}

// kind finds out what a document is; KIND_UNSPECIFIED when it found a fault.
func (d *decoder) kind(root *node, want pb.Kind) pb.Kind {
	names := make([]string, 0, len(catalog.UserKinds()))
	for _, k := range catalog.UserKinds() {
		names = append(names, catalog.KindName(k))
	}
	m := root.member("kind")
	if m == nil {
		if want == pb.Kind_KIND_UNSPECIFIED {
			d.fault(root, "the field kind is missing", "one of "+strings.Join(names, ", "))
			return want
		}
		return d.writable(root, want)
	}
	d.path = append(d.path[:0], "kind"...)
	defer func() { d.path = d.path[:0] }()
	kind := pb.Kind_KIND_UNSPECIFIED
	if m.value.kind == stringNode {
		kind = catalog.KindByName(m.value.text)
	}
	switch {
	case kind == pb.Kind_KIND_UNSPECIFIED:
		d.fault(m.value, "unknown kind "+quote(m.value.text), fault.Suggest(m.value.text, names))
	case want != pb.Kind_KIND_UNSPECIFIED && kind != want:
		d.fault(m.value, fmt.Sprintf("the kind here is %s, not %s", catalog.KindName(want), catalog.KindName(kind)), "")
		return pb.Kind_KIND_UNSPECIFIED
	}
	return d.writable(m.value, kind)
}

// writable lets those kinds pass that users may write.
func (d *decoder) writable(n *node, kind pb.Kind) pb.Kind {
	if d.answer || slices.Contains(catalog.UserKinds(), kind) {
		return kind
	}
	if name := catalog.KindName(kind); name != "" {
		d.fault(n, "a "+name+" is written by the control plane only", "leave the document out")
	} else if kind != pb.Kind_KIND_UNSPECIFIED {
		d.fault(n, fmt.Sprintf("there is no kind %d", kind), "")
	}
	return pb.Kind_KIND_UNSPECIFIED
}

// fault reports at a value's position, with the current path.
func (d *decoder) fault(n *node, message, hint string) {
	d.faultAt(n.line, n.column, message, hint)
}

func (d *decoder) faultAt(line, column int, message, hint string) {
	d.faults.add(fault.Fault{
		File: d.file, Line: line, Column: column, Kind: d.resource, ID: d.id,
		Field: string(d.path), Message: message, Hint: hint,
	})
}

// describe says what stands somewhere, in faults.
func (d *decoder) describe(n *node) string {
	if !d.hush && !strings.Contains(n.text, "-----BEGIN") {
		return n.describe()
	}
	switch n.kind {
	case boolNode:
		return "a truth value"
	case numberNode:
		return "a number"
	case stringNode:
		return "a text"
	default:
		return n.describe()
	}
}

// enter adds a member's name to the path and gives what leave takes.
func (d *decoder) enter(name string) int {
	mark := len(d.path)
	if mark > 0 {
		d.path = append(d.path, '.')
	}
	d.path = append(d.path, clip(name)...)
	return mark
}

func (d *decoder) enterIndex(i int) int {
	mark := len(d.path)
	d.path = append(d.path, '[')
	d.path = strconv.AppendInt(d.path, int64(i), 10)
	d.path = append(d.path, ']')
	return mark
}

func (d *decoder) leave(mark int) { d.path = d.path[:mark] }

// message fills m from an object. top: m is the resource itself, which has a `kind` member too.
func (d *decoder) message(m protoreflect.Message, n *node, top bool) {
	if n.kind != objectNode {
		d.fault(n, "expected an object, got "+d.describe(n), "")
		return
	}
	desc := m.Descriptor()
	fields := desc.Fields()
	seen := make(map[string]int, len(n.members))
	for i := range n.members {
		f := &n.members[i]
		mark := d.enter(f.name)
		fd := fields.ByName(protoreflect.Name(f.name))
		if fd != nil && schema.IsInternal(fd) {
			fd = nil
		}
		first, again := seen[f.name]
		switch {
		case again:
			d.faultAt(f.line, f.column, fmt.Sprintf("the field appears twice, first in line %d", first), "keep one")
		case top && f.name == "kind":
		case fd == nil:
			if !d.answer {
				d.unknown(f, fields, top)
			}
		case d.answer || !outputOnly(desc.FullName(), fd.Name()):
			d.field(m, fd, f)
		}
		seen[f.name] = f.line
		d.leave(mark)
	}
}

// outputOnly are the fields that answers show and input ignores, so that what
// was read can be edited and sent back.
func outputOnly(message protoreflect.FullName, field protoreflect.Name) bool {
	if field == "meta" {
		return true
	}
	if message != "portcullis.v1.Api" {
		return false
	}
	switch field {
	case "portal_state", "revision", "stopped", "out_of_sync":
		return true
	}
	return false
}

func (d *decoder) unknown(f *member, fields protoreflect.FieldDescriptors, top bool) {
	if d.faults.full() {
		d.faults.add(fault.Fault{})
		return
	}
	names := make([]string, 0, fields.Len()+1)
	if top {
		names = append(names, "kind")
	}
	for i := range fields.Len() {
		if fd := fields.Get(i); !schema.IsInternal(fd) {
			names = append(names, string(fd.Name()))
		}
	}
	d.faultAt(f.line, f.column, "unknown field", fault.Suggest(f.name, names))
}

// field sets one field of m.
func (d *decoder) field(m protoreflect.Message, fd protoreflect.FieldDescriptor, f *member) {
	n := f.value
	if n.kind == nullNode && !isValue(fd) {
		return // absent
	}
	defer func(before bool) { d.hush = before }(d.hush)
	d.hush = schema.MayHoldSecret(fd)
	switch {
	case fd.IsList():
		d.list(m.Mutable(fd).List(), fd, n)
	case fd.IsMap():
		d.mapping(m.Mutable(fd).Map(), fd, n)
	default:
		if one := fd.ContainingOneof(); one != nil && !one.IsSynthetic() {
			if other := m.WhichOneof(one); other != nil {
				d.faultAt(f.line, f.column, fmt.Sprintf("%s and %s exclude each other", other.Name(), fd.Name()), "keep one")
				return
			}
		}
		if v, ok := d.value(fd, n, m.NewField); ok {
			m.Set(fd, v)
		}
	}
}

func (d *decoder) list(list protoreflect.List, fd protoreflect.FieldDescriptor, n *node) {
	if n.kind != listNode {
		hint := ""
		if n.kind == stringNode || n.kind == objectNode {
			hint = "put it in [ ]"
		}
		d.fault(n, "expected a list, got "+d.describe(n), hint)
		return
	}
	element := func(protoreflect.FieldDescriptor) protoreflect.Value { return list.NewElement() }
	for i, item := range n.items {
		mark := d.enterIndex(i)
		if item.kind == nullNode && !isValue(fd) {
			d.fault(item, "null in a list", "leave the element out")
		} else if v, ok := d.value(fd, item, element); ok {
			list.Append(v)
		}
		d.leave(mark)
	}
}

func (d *decoder) mapping(target protoreflect.Map, fd protoreflect.FieldDescriptor, n *node) {
	if n.kind != objectNode {
		d.fault(n, "expected an object, got "+d.describe(n), "")
		return
	}
	element := func(protoreflect.FieldDescriptor) protoreflect.Value { return target.NewValue() }
	for i := range n.members {
		f := &n.members[i]
		mark := d.enter(f.name)
		name := &node{kind: stringNode, line: f.line, column: f.column, text: f.name}
		if fd.MapKey().Kind() != protoreflect.StringKind {
			name.kind = numberNode
		}
		key, ok := d.value(fd.MapKey(), name, nil)
		if ok && target.Has(key.MapKey()) {
			d.faultAt(f.line, f.column, "the field appears twice", "keep one")
		} else if v, good := d.value(fd.MapValue(), f.value, element); ok && good {
			target.Set(key.MapKey(), v)
		}
		d.leave(mark)
	}
}

// value reads a single value of a field's type; make gives an empty message where one is needed.
func (d *decoder) value(fd protoreflect.FieldDescriptor, n *node,
	empty func(protoreflect.FieldDescriptor) protoreflect.Value,
) (protoreflect.Value, bool) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return d.text(n)
	case protoreflect.BoolKind:
		return d.bool(n)
	case protoreflect.EnumKind:
		return d.enum(fd.Enum(), n)
	case protoreflect.MessageKind:
		if v, ok, special := d.special(fd.Message().FullName(), n); special {
			return v, ok
		}
		v := empty(fd)
		d.message(v.Message(), n, false)
		return v, true
	case protoreflect.BytesKind, protoreflect.GroupKind:
		d.fault(n, "fields of this type cannot be written", "leave it out")
		return protoreflect.Value{}, false
	default:
		return d.number(fd.Kind(), n)
	}
}
