package wire

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// seeds are changes with every field that is read.
func seeds(t testing.TB) []*pb.Change {
	t.Helper()
	hash := strings.Repeat("ab", 32)
	later := &timestamppb.Timestamp{Seconds: 2, Nanos: 3}
	return []*pb.Change{
		{Kind: pb.Kind_KIND_APPLICATION, Id: "app", Version: 4, CreatedAt: 5, UpdatedAt: 6, Resource: encoded(t, &pb.Application{
			Clients: []*pb.Client{{Issuer: "i", ClientId: "c", Environment: pb.Client_SANDBOX}, {Issuer: "j"}},
			ApiKeys: []*pb.ApiKey{{Id: "k", Sha256: hash, ExpiresAt: later}}, Certificates: []*pb.Certificate{{Id: "c", Sha256: hash}},
		})},
		{Kind: pb.Kind_KIND_SUBSCRIPTION, Id: "s", Version: 5, Restrictive: true, Resource: encoded(t, &pb.Subscription{
			Application: "app", Plan: "p", Status: pb.Subscription_ACCEPTED, StartsAt: &timestamppb.Timestamp{Seconds: 1}, EndsAt: later,
		})},
		{Kind: pb.Kind_KIND_API, Id: "a", Version: 10, Removed: true},
		{Kind: 77, Id: "later", Version: 1 << 63, CreatedAt: -1, Resource: []byte("?")},
		{Kind: pb.Kind_KIND_PLAN, Version: 13},
	}
}

// FuzzReadChange: what is accepted is read as protobuf reads it.
func FuzzReadChange(f *testing.F) {
	for _, c := range seeds(f) {
		f.Add(encoded(f, c))
	}
	f.Add([]byte("\x08\x04\x12\x02\xff\xfe"))                                  // an id that is not UTF-8,
	f.Add([]byte("\x08\x04\x12\x02\xff\xfe\x12\x01a"))                         // with another one after it
	f.Add([]byte("\x08\x05\x12\x01s\"\x0c\x12\x01a\x1a\x01p2\x02\b\x052\x00")) // an end that is written twice
	f.Add([]byte("\x12\x01a\x0b\x0c"))                                         // a group
	f.Add([]byte("\x12\x01a\x80\x80\x80\x80\x10\x00"))                         // a field number that is too large
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ReadChange(string(raw))
		if err != nil {
			return
		}
		var want pb.Change
		if err := proto.Unmarshal(raw, &want); err != nil {
			t.Fatalf("accepted, but protobuf says %v", err)
		}
		if c.Kind != want.GetKind() || c.ID != want.GetId() || c.Version != want.GetVersion() || c.Resource != string(want.GetResource()) ||
			c.Removed != want.GetRemoved() || c.Restrictive != want.GetRestrictive() || c.CreatedAt != want.GetCreatedAt() ||
			c.UpdatedAt != want.GetUpdatedAt() && (want.GetUpdatedAt() != 0 || c.UpdatedAt != c.CreatedAt) || c.IDAt.In(c.Raw) != c.ID {
			t.Fatalf("read %+v, protobuf reads %v", c, &want)
		}
		compareSubscription(t, c.Resource)
		compareApplication(t, c)
	})
}

// compareSubscription reads any bytes as a subscription.
func compareSubscription(t *testing.T, resource string) {
	t.Helper()
	s, err := ReadSubscription(resource)
	var want pb.Subscription
	if err != nil || proto.Unmarshal([]byte(resource), &want) != nil {
		return // protobuf looks into fields that are not read here
	}
	if s.Application != want.GetApplication() || s.Plan != want.GetPlan() || s.Status != want.GetStatus() ||
		s.StartsAt != want.GetStartsAt().GetSeconds() || s.EndsAt != endOf(want.GetEndsAt()) {
		t.Fatalf("read %+v, protobuf reads %v", s, &want)
	}
}

// compareApplication reads any change as an application's.
func compareApplication(t *testing.T, c Change) {
	t.Helper()
	a, err := ReadApplication(c)
	var want pb.Application
	if err != nil || proto.Unmarshal([]byte(c.Resource), &want) != nil {
		return
	}
	clients := slices.EqualFunc(a.Clients, want.GetClients(), func(got Client, want *pb.Client) bool {
		return got.Issuer.In(c.Raw) == want.GetIssuer() && got.ID.In(c.Raw) == want.GetClientId() && got.Environment == want.GetEnvironment()
	})
	if !clients || !sameCredentials(c.Raw, a.Keys, want.GetApiKeys()) || !sameCredentials(c.Raw, a.Certificates, want.GetCertificates()) {
		t.Fatalf("read %+v, protobuf reads %v", a, &want)
	}
}

// endOf is 0 for what has no end, and only for that.
func endOf(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	return max(t.GetSeconds(), 1)
}

func sameCredentials[M interface {
	GetId() string
	GetSha256() string
	GetExpiresAt() *timestamppb.Timestamp
}](raw string, got []Credential, want []M,
) bool {
	return slices.EqualFunc(got, want, func(c Credential, m M) bool {
		return c.ID.In(raw) == m.GetId() && c.SHA256.In(raw) == m.GetSha256() && c.ExpiresAt == endOf(m.GetExpiresAt())
	})
}

// FuzzReadEntry: what is accepted is read as protobuf reads it.
func FuzzReadEntry(f *testing.F) {
	all := seeds(f)
	for i := range all {
		f.Add(encoded(f, &pb.Entry{Transactions: []*pb.Transaction{{Actor: "me", Time: 1, IdempotencyKey: "k", Command: "c", Changes: all[:i+1]}}}))
	}
	f.Add(encoded(f, &pb.Entry{Epoch: 3, Founding: "f", Awaited: true, Transactions: []*pb.Transaction{{Changes: all[:2]}, {}, {Changes: all[2:]}}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := ReadEntry(string(raw))
		var want pb.Entry
		if err != nil || proto.Unmarshal(raw, &want) != nil {
			return // changes are read one by one, later
		}
		count := 0
		for _, transaction := range want.GetTransactions() {
			count += len(transaction.GetChanges())
		}
		if e.Epoch != want.GetEpoch() || e.EpochID != want.GetFounding() || e.Awaited != want.GetAwaited() || len(e.Changes) != count {
			t.Fatalf("read %+v, protobuf reads %v", e, &want)
		}
	})
}
