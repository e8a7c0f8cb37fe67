package catalog

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
)

// seedChanges are one good change of each kind, and some that are odd.
func seedChanges(t testing.TB) []*pb.Change {
	t.Helper()
	content := func(m proto.Message) []byte {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	hash := strings.Repeat("ab", 32)
	api := &pb.Api{Hosts: []string{"A.test", "b.test"}, ContextPath: "/a"}
	changes := []*pb.Change{
		{Kind: pb.Kind_KIND_ISSUER, Id: "i", Version: 1, CreatedAt: 5, Resource: content(&pb.Issuer{Issuer: "https://i.test"})},
		{Kind: pb.Kind_KIND_API, Id: "a", Version: 2, CreatedAt: 5, UpdatedAt: 6, Resource: content(api)},
		{Kind: pb.Kind_KIND_PLAN, Id: "p", Version: 3, Resource: content(&pb.Plan{Api: "a", Security: pb.Plan_JWT, Status: pb.Plan_PUBLISHED})},
		{Kind: pb.Kind_KIND_APPLICATION, Id: "app", Version: 4, Resource: content(&pb.Application{
			Clients: []*pb.Client{{Issuer: "i", ClientId: "c"}},
			ApiKeys: []*pb.ApiKey{{Id: "k", Sha256: hash}}, Certificates: []*pb.Certificate{{Id: "c", Sha256: hash}},
		})},
		{Kind: pb.Kind_KIND_SUBSCRIPTION, Id: "s", Version: 5, Resource: content(&pb.Subscription{
			Application: "app", Plan: "p", Status: pb.Subscription_ACCEPTED,
			StartsAt: &timestamppb.Timestamp{Seconds: 1}, EndsAt: &timestamppb.Timestamp{Seconds: 2, Nanos: 3},
		})},
		{Kind: pb.Kind_KIND_DEPLOYMENT, Id: "a", Version: 6, Resource: content(&pb.Deployment{Api: api})},
		{Kind: pb.Kind_KIND_KEY_SET, Id: "i", Version: 7, Resource: content(&pb.KeySet{Generation: 1, Sources: []*pb.KeySet_Source{{Url: "u", Jwks: "{}"}}})},
		{Kind: pb.Kind_KIND_REVOCATION, Id: "r", Version: 8, Resource: content(&pb.Revocation{Issuer: "i", Target: &pb.Revocation_ClientId{ClientId: "c"}})},
		{Kind: pb.Kind_KIND_PLAN, Id: "p", Version: 9, Restrictive: true, Resource: []byte{0xff}},
		{Kind: pb.Kind_KIND_API, Id: "a", Version: 10, Removed: true},
		{Kind: 77, Id: "later", Version: 11, Resource: []byte("?")},
		{Kind: 16, Id: "later", Version: 12, Restrictive: true},
		{Kind: pb.Kind_KIND_PLAN, Version: 13},
		{Kind: pb.Kind_KIND_API, Version: 14, Restrictive: true},
	}
	return changes
}

// FuzzFoldChange: whatever is folded, nothing of it is left behind.
func FuzzFoldChange(f *testing.F) {
	for _, c := range seedChanges(f) {
		b, err := proto.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x08\x04\x12\x02\xff\xfe"))                                  // an id that is not UTF-8,
	f.Add([]byte("\x08\x04\x12\x02\xff\xfe\x12\x01a"))                         // with another one after it
	f.Add([]byte("\x08\x05\x12\x01s\"\x0c\x12\x01a\x1a\x01p2\x02\b\x052\x00")) // an end that is written twice
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := NewBuilder(Position{Sequence: 1}, nil)
		b.Add(string(raw))
		checkState(t, b.State())
	})
}

// FuzzApply: an entry can be applied without harm whatever its changes are.
func FuzzApply(f *testing.F) {
	seeds := seedChanges(f)
	add := func(e *pb.Entry) {
		b, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for i := range seeds {
		add(&pb.Entry{Transactions: []*pb.Transaction{{Changes: seeds[:i+1]}}})
	}
	add(&pb.Entry{Epoch: 3, Founding: "f", Awaited: true, Transactions: []*pb.Transaction{{Changes: seeds[:2]}, {}, {Changes: seeds[2:]}}})
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := wire.ReadEntry(string(raw))
		if err != nil {
			if _, _, err := Empty().Apply(1, raw); err == nil {
				t.Fatal("applied, but not decodable")
			}
			return
		}
		s, _, err := Empty().At(Position{Epoch: e.Epoch, EpochID: e.EpochID}).Apply(1, raw)
		if err != nil {
			t.Fatal(err)
		}
		checkState(t, s)
		// Once more over itself, as after a restart that reads too much.
		again, _, err := s.Apply(2, raw)
		if err != nil {
			t.Fatal(err)
		}
		checkState(t, again)
	})
}

// checkState: a snapshot of the state builds the same, and when every resource
// is removed nothing is left in any index.
func checkState(t *testing.T, s *State) {
	t.Helper()
	later := s.position
	later.Sequence += 10
	b := NewBuilder(later, nil)
	for raw := range s.Changes() {
		b.Add(raw)
	}
	copied := b.State()
	if copied.SetHash() != s.SetHash() || copied.ChangeCount() != s.ChangeCount() {
		t.Fatalf("a snapshot has hash %x and %d changes, the state %x and %d: %v",
			copied.SetHash(), copied.ChangeCount(), s.SetHash(), s.ChangeCount(), slices.Collect(s.Changes()))
	}
	var all []Ref
	for _, kind := range Kinds() {
		for r := range s.All(kind) {
			// Of these two the fold reads only what it needs.
			whole := kind != pb.Kind_KIND_SUBSCRIPTION && kind != pb.Kind_KIND_APPLICATION
			if _, err := r.Decode(); err != nil && whole {
				t.Fatalf("%s is kept and cannot be decoded: %v", r.Ref(), err)
			}
			all = append(all, r.Ref())
		}
	}
	for _, r := range s.Rejects() {
		all = append(all, r.Ref)
	}
	checkEmptied(t, s, all)
}

func checkEmptied(t *testing.T, s *State, all []Ref) {
	t.Helper()
	ed := s.edit(s.position)
	for _, ref := range all {
		if strings.HasPrefix(ref.ID, undecodable) && ref.Kind == 0 {
			ed.forget(ref) // no change can name it
			continue
		}
		raw, err := proto.Marshal(&pb.Change{Kind: ref.Kind, Id: ref.ID, Removed: true})
		if err != nil {
			t.Fatal(err)
		}
		ed.fold(string(raw))
	}
	left := ed.state()
	sizes := fmt.Sprint(left.ChangeCount(), left.clients.Len(), left.apiKeys.Len(), left.certificates.Len(), left.grants.Len(),
		left.plansOf.Len(), left.drafted.Len(), left.deployed.Len(), left.applications.Len(), left.plans.Len())
	if left.SetHash() != 0 || sizes != "0 0 0 0 0 0 0 0 0 0" || !left.Revocations().Empty() {
		t.Fatalf("after the removal of everything: hash %x, sizes %s, revocations left %v: %v", left.SetHash(), sizes, !left.Revocations().Empty(), all)
	}
}
