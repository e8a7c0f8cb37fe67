package catalog

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
)

// Record is one resource as a State keeps it: its last Change, verbatim.
type Record struct{ c wire.Change }

// Ref names the resource.
func (r Record) Ref() Ref { return refOf(r.c) }

// Version counts the resource's changes from 1.
func (r Record) Version() uint64 { return r.c.Version }

// CreatedAt is when the resource was created, in seconds since 1970.
func (r Record) CreatedAt() int64 { return r.c.CreatedAt }

// Content is the encoded message, without the id and meta that the change carries.
// It must not be kept: it holds a much larger piece of memory.
func (r Record) Content() string { return r.c.Resource }

// Raw is the encoded pb.Change.
func (r Record) Raw() string { return r.c.Raw }

// Decode makes the message, with id and meta filled in.
func (r Record) Decode() (Resource, error) { return decodeResource(r.c) }

// refOf names the resource that a change is about.
func refOf(c wire.Change) Ref { return Ref{c.Kind, c.ID} }

func decodeResource(c wire.Change) (Resource, error) {
	m := New(c.Kind)
	if m == nil {
		return nil, fmt.Errorf("kind %d is not known to this version", c.Kind)
	}
	if err := proto.Unmarshal([]byte(c.Resource), m); err != nil {
		return nil, fmt.Errorf("decode %s: %w", refOf(c), err)
	}
	id, meta := kinds[c.Kind].identity(m)
	*id, *meta = strings.Clone(c.ID), &pb.Meta{
		Version:   c.Version,
		CreatedAt: timestamppb.New(time.Unix(c.CreatedAt, 0).UTC()),
		UpdatedAt: timestamppb.New(time.Unix(c.UpdatedAt, 0).UTC()),
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
