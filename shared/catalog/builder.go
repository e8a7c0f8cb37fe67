package catalog

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
)

// Builder loads a snapshot. What the snapshot does not hold is not in the
// State it builds: replacing a State by one is mark and sweep.
type Builder struct {
	ed   *editor
	last *State
	bulk *bulk // nil: every change is folded as it comes
}

// NewBuilder starts an empty state at a position. last, if not nil, is the
// state that will be replaced: a resource of the snapshot that this version
// cannot understand keeps its last good value from there.
func NewBuilder(p Position, last *State) *Builder {
	return &Builder{ed: EmptyAfter(last).edit(p), last: last, bulk: new(bulk)}
}

// Add takes one encoded pb.Change, and copies it. What cannot be understood is
// found in the state's Rejects.
func (b *Builder) Add(raw string) {
	if b.bulk != nil {
		switch b.bulk.add(b.ed, raw) {
		case deferred:
			return
		case ordered:
			b.index()
		case immediate:
		}
	}
	b.fold(raw)
}

func (b *Builder) fold(raw string) {
	b.ed.fold(raw)
	b.ed.effects = Effects{Touched: b.ed.effects.Touched[:0]}
}

// State is what was added. The Builder must not be used any more.
func (b *Builder) State() *State {
	if b.bulk != nil {
		b.index()
	}
	s := b.ed.state()
	if b.last == nil || s.rejects.Len() == 0 {
		return s
	}
	ed := s.edit(s.position)
	for ref, r := range s.rejects.All() {
		b.pin(ed, ref, r)
	}
	return ed.state()
}

// pin takes a rejected resource's last good value over.
func (b *Builder) pin(ed *editor, ref Ref, r reject) {
	c, err := wire.ReadChange(r.raw)
	if err != nil || c.Restrictive || !known(ref.Kind) {
		return
	}
	if _, have := ed.find(ref); have {
		return
	}
	good, ok := b.last.Get(ref.Kind, ref.ID)
	if !ok || good.Version()+1 != c.Version {
		return // a change in between, never seen here, may have taken rights away
	}
	v, err := indexes[ref.Kind].understand(good.c)
	if err != nil {
		return
	}
	// The set hash stays the rejection's.
	ed.put(v)
}

func marshalChange(c *pb.Change) (string, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode change of %s: %w", Ref{c.GetKind(), c.GetId()}, err)
	}
	return string(b), nil
}

// WithChanges is the state after changes that are not in the log yet: what the next
// command of a group is decided against.
func (s *State) WithChanges(changes []*pb.Change) (*State, error) {
	ed := s.edit(s.position)
	for _, c := range changes {
		raw, err := marshalChange(c)
		if err != nil {
			return nil, err
		}
		ed.fold(raw)
	}
	return ed.state(), nil
}
