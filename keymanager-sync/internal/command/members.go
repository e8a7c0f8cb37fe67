package command

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// heardApart is how much later a node must have been heard than the state says
// for that alone to be written: two replicas hear it at not quite the same time.
const heardApart = 10 * time.Second

// Members records which nodes belong to the fleet. It changes only what differs
// from the state, so that several replicas may ask for the same.
type Members struct {
	unconditional

	// Present belong to the fleet, as they were heard last. When a node joined is
	// kept from the state; for one that is new it is HeardAt.
	Present []*pb.Member
	// Gone do not belong to it any longer.
	Gone []string
}

// String says what is asked, for the audit.
func (c Members) String() string {
	return fmt.Sprintf("record %d nodes of the fleet, and that %d are gone", len(c.Present), len(c.Gone))
}

func (c Members) propose(s *catalog.State, d *rules.Draft) {
	for _, m := range c.Present {
		before, known := catalog.Lookup[*pb.Member](s, pb.Kind_KIND_MEMBER, m.GetId())
		same := m.GetVersion() == before.GetVersion() && m.GetSchema() == before.GetSchema()
		later := m.GetHeardAt().AsTime().Sub(before.GetHeardAt().AsTime()) > heardApart
		if known && same && !later {
			continue
		}
		next := &pb.Member{
			Id: m.GetId(), JoinedAt: before.GetJoinedAt(), HeardAt: m.GetHeardAt(),
			Version: m.GetVersion(), Schema: m.GetSchema(), Epoch: m.GetEpoch(), Sequence: m.GetSequence(),
		}
		if !known {
			next.JoinedAt = timestamppb.New(m.GetHeardAt().AsTime())
		}
		d.SetMember(next)
	}
	for _, id := range c.Gone {
		ref := catalog.Ref{Kind: pb.Kind_KIND_MEMBER, ID: id}
		if _, known := s.Get(ref.Kind, ref.ID); known {
			d.Remove(ref, false)
		}
	}
}
