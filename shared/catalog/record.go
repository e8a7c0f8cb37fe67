package catalog

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Record is one resource as a State keeps it: its last Change, verbatim.
type Record struct{ c change }

// Ref names the resource.
func (r Record) Ref() Ref { return r.c.ref() }

// Version counts the resource's changes from 1.
func (r Record) Version() uint64 { return r.c.version }

// CreatedAt is when the resource was created, in seconds since 1970.
func (r Record) CreatedAt() int64 { return r.c.createdAt }

// Content is the encoded message, without the id and meta that the change carries.
// It must not be kept: it holds a much larger piece of memory.
func (r Record) Content() string { return r.c.resource }

// Raw is the encoded pb.Change.
func (r Record) Raw() string { return r.c.raw }

// Decode makes the message, with id and meta filled in.
func (r Record) Decode() (Resource, error) { return decodeResource(r.c) }

func decodeResource(c change) (Resource, error) {
	m := New(c.kind)
	if m == nil {
		return nil, fmt.Errorf("kind %d is not known to this version", c.kind)
	}
	if err := proto.Unmarshal([]byte(c.resource), m); err != nil {
		return nil, fmt.Errorf("decode %s: %w", c.ref(), err)
	}
	id, meta := kinds[c.kind].identity(m)
	*id, *meta = strings.Clone(c.id), &pb.Meta{
		Version:   c.version,
		CreatedAt: timestamppb.New(unix(c.createdAt)),
		UpdatedAt: timestamppb.New(unix(c.updatedAt)),
	}
	return m, nil
}

// Encode encodes a message for its Change: without the id and meta, which the Change
// carries, and always to the same bytes.
func Encode(r Resource) ([]byte, error) {
	m, ok := proto.Clone(r).(Resource)
	if !ok {
		return nil, fmt.Errorf("clone of %T is no resource", r)
	}
	Identify(m, "", nil)
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s/%s: %w", KindSlug(KindOf(r)), r.GetId(), err)
	}
	return b, nil
}
