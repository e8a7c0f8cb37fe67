package catalog

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
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

// FuzzDecodeChange: what our reader of the wire format accepts, protobuf reads
// in the same way; and the fold of anything at all leaves nothing behind.
func FuzzDecodeChange(f *testing.F) {
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
		c, err := decodeChange(string(raw))
		if err != nil {
			return
		}
		var want pb.Change
		if err := proto.Unmarshal(raw, &want); err != nil {
			t.Fatalf("accepted, but protobuf says %v", err)
		}
		if c.kind != want.GetKind() || c.id != want.GetId() || c.version != want.GetVersion() || c.resource != string(want.GetResource()) ||
			c.removed != want.GetRemoved() || c.restrictive != want.GetRestrictive() || c.createdAt != want.GetCreatedAt() ||
			c.updatedAt != want.GetUpdatedAt() && (want.GetUpdatedAt() != 0 || c.updatedAt != c.createdAt) {
			t.Fatalf("read %+v, protobuf reads %v", c, &want)
		}
		compareSubscription(t, c.resource)
		compareApplication(t, c.resource)
	})
}

// compareSubscription reads any bytes as a subscription.
func compareSubscription(t *testing.T, resource string) {
	t.Helper()
	s, err := decodeSubscription(resource)
	var want pb.Subscription
	if err != nil || proto.Unmarshal([]byte(resource), &want) != nil {
		return // protobuf looks into fields that the fold does not need
	}
	if s.application != want.GetApplication() || s.plan != want.GetPlan() || s.status != want.GetStatus() ||
		s.startsAt != want.GetStartsAt().GetSeconds() || s.endsAt != want.GetEndsAt().GetSeconds() {
		t.Fatalf("read %+v, protobuf reads %v", s, &want)
	}
}

// compareApplication reads any bytes as an application.
func compareApplication(t *testing.T, resource string) {
	t.Helper()
	a, err := decodeApplication(resource)
	var want pb.Application
	if err != nil || proto.Unmarshal([]byte(resource), &want) != nil {
		return
	}
	var expected application
	for _, c := range want.GetClients() {
		expected.clients = append(expected.clients, client{clientKey{c.GetIssuer(), c.GetClientId()}, c.GetEnvironment()})
	}
	for _, k := range want.GetApiKeys() {
		expected.keys = append(expected.keys, credential{k.GetId(), k.GetSha256(), k.GetExpiresAt().GetSeconds()})
	}
	for _, c := range want.GetCertificates() {
		expected.certificates = append(expected.certificates, credential{c.GetId(), c.GetSha256(), c.GetExpiresAt().GetSeconds()})
	}
	if !slices.Equal(a.clients, expected.clients) || !slices.Equal(a.keys, expected.keys) || !slices.Equal(a.certificates, expected.certificates) {
		t.Fatalf("read %+v, protobuf reads %+v", a, expected)
	}
}

// FuzzDecodeEntry: an entry is read as protobuf reads it, and can be applied
// without harm whatever its changes are.
func FuzzDecodeEntry(f *testing.F) {
	seeds := seedChanges(f)
	add := func(e *pb.Entry) {
		b, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for i := range seeds {
		add(&pb.Entry{Transactions: []*pb.Transaction{{Actor: "me", Time: 1, IdempotencyKey: "k", Command: "c", Changes: seeds[:i+1]}}})
	}
	add(&pb.Entry{Epoch: 3, Founding: "f", Awaited: true, Transactions: []*pb.Transaction{{Changes: seeds[:2]}, {}, {Changes: seeds[2:]}}})
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := decodeEntry(string(raw))
		if err != nil {
			if _, _, err := Empty().Apply(1, raw); err == nil {
				t.Fatal("applied, but not decodable")
			}
			return
		}
		compareEntry(t, raw, e)
		s, _, err := Empty().At(Position{Epoch: e.epoch, Founding: e.founding}).Apply(1, raw)
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

func compareEntry(t *testing.T, raw []byte, e entry) {
	t.Helper()
	var want pb.Entry
	if proto.Unmarshal(raw, &want) != nil {
		return // changes are decoded one by one, later
	}
	count := 0
	for _, transaction := range want.GetTransactions() {
		count += len(transaction.GetChanges())
	}
	if e.epoch != want.GetEpoch() || e.founding != want.GetFounding() || e.awaited != want.GetAwaited() || len(e.changes) != count {
		t.Fatalf("read %+v, protobuf reads %v", e, &want)
	}
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
