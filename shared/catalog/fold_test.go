package catalog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

const epochID = "test"

func at(sequence uint64) catalog.Position {
	return catalog.Position{Epoch: 1, EpochID: epochID, Sequence: sequence}
}

// entry encodes changes as the log would hold them.
func entry(t testing.TB, changes ...*pb.Change) []byte {
	t.Helper()
	b, err := proto.Marshal(&pb.Entry{Epoch: 1, Founding: epochID, Transactions: []*pb.Transaction{{Changes: changes}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fold(t testing.TB, s *catalog.State, entries ...[]byte) *catalog.State {
	t.Helper()
	for _, e := range entries {
		next, _, err := s.Apply(s.Position().Sequence+1, e)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	return s
}

func put(t testing.TB, version uint64, r catalog.Resource) *pb.Change {
	t.Helper()
	id := r.GetId()
	r, _ = proto.Clone(r).(catalog.Resource)
	catalog.SetID(r, "")
	b, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return &pb.Change{Kind: catalog.KindOf(r), Id: id, Version: version, Resource: b, CreatedAt: 1_000_000}
}

func remove(kind pb.Kind, id string) *pb.Change {
	return &pb.Change{Kind: kind, Id: id, Version: 9, Removed: true}
}

// history is a log of random changes to a small world, so that every kind of
// overwriting, removing and coming back happens often. Every seventh change
// cannot be understood.
func history(t testing.TB, rnd *rand.Rand, n int) [][]byte {
	t.Helper()
	var log [][]byte
	for range n {
		var changes []*pb.Change
		for range 1 + rnd.IntN(4) {
			changes = append(changes, randomChange(t, rnd))
		}
		log = append(log, entry(t, changes...))
	}
	return log
}

func randomChange(t testing.TB, rnd *rand.Rand) *pb.Change {
	t.Helper()
	id := fmt.Sprint("r", rnd.IntN(6))
	other := func() string { return fmt.Sprint("r", rnd.IntN(6)) }
	kinds := []catalog.Resource{
		&pb.Issuer{Id: id, Issuer: "https://" + other()},
		&pb.Api{Id: id, ContextPath: "/" + other()},
		&pb.Plan{Id: id, Api: other(), Status: pb.Plan_Status(rnd.IntN(5))},
		&pb.Application{Id: id, Clients: []*pb.Client{{Issuer: other(), ClientId: id}}},
		&pb.Subscription{Id: id, Application: id, Plan: id, Status: pb.Subscription_Status(rnd.IntN(6))},
		&pb.Revocation{Id: id, Issuer: "r1", Target: &pb.Revocation_Jti{Jti: other()}},
		&pb.Deployment{Id: id, Api: &pb.Api{ContextPath: "/" + other()}},
	}
	c := put(t, rnd.Uint64N(100), kinds[rnd.IntN(len(kinds))])
	switch rnd.IntN(14) {
	case 0:
		return &pb.Change{Kind: c.GetKind(), Id: id, Removed: true}
	case 1:
		c.Resource = []byte{0xff, 0xff}
	case 2:
		c.Resource, c.Restrictive = []byte{0xff, 0xff}, true
	}
	return c
}

// seen is everything that requests can see of a state, handles left out.
func seen(s *catalog.State) string {
	var lines []string
	for _, k := range catalog.Kinds() {
		for r := range s.All(k) {
			lines = append(lines, fmt.Sprintf("%s %x", r.Ref(), r.Raw()))
		}
	}
	for i := range 6 {
		id := fmt.Sprint("r", i)
		for j := range 6 {
			other := fmt.Sprint("r", j)
			c, ok := s.Client(other, id)
			lines = append(lines, fmt.Sprint("client ", other, id, c.Application, ok))
			g, ok := s.Grant(s.Handle(pb.Kind_KIND_APPLICATION, id), s.Handle(pb.Kind_KIND_PLAN, other))
			lines = append(lines, fmt.Sprint("grant ", id, other, g, ok))
		}
		plans := slices.Clone(s.PlansOf(id))
		slices.Sort(plans)
		lines = append(lines, fmt.Sprint("plans ", id, plans))
		lines = append(lines, fmt.Sprint("revoked ", id, s.Revocations().Revoked(catalog.TokenFacts{Issuer: "r1", JTI: id}, 5)))
	}
	for _, r := range s.Rejects() {
		lines = append(lines, fmt.Sprint("reject ", r.Ref))
	}
	slices.Sort(lines)
	return fmt.Sprint(s.SetHash(), s.ChangeCount(), lines)
}

// A node that starts from a snapshot at any sequence and follows the rest sees
// what a node sees that followed from the beginning.
func TestSnapshotAndRestEqualAll(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		log := history(t, rnd, 60)
		whole := fold(t, catalog.Empty().At(at(0)), log...)
		for cut := 0; cut <= len(log); cut += 7 {
			first := fold(t, catalog.Empty().At(at(0)), log[:cut]...)
			b := catalog.NewBuilder(first.Position(), nil)
			for raw := range first.Changes() {
				b.Add(raw)
			}
			rest := fold(t, b.State(), log[cut:]...)
			if got, want := seen(rest), seen(whole); got != want {
				t.Fatalf("seed %d, snapshot at %d:\n got %s\nwant %s", seed, cut, got, want)
			}
		}
	}
}

// Applying an entry twice is harmless: whole states, applied over what is there.
func TestApplyingTwiceIsHarmless(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		s := fold(t, catalog.Empty().At(at(0)), history(t, rnd, 20)...)
		e := entry(t, randomChange(t, rnd))
		once := fold(t, s, e)
		if twice := fold(t, once, e); seen(once) != seen(twice) {
			t.Fatalf("\n once %s\ntwice %s", seen(once), seen(twice))
		}
	}
}

func TestApplyRefusesWhatDoesNotFollow(t *testing.T) {
	s := catalog.Empty().At(at(7))
	e := entry(t, remove(pb.Kind_KIND_API, "x"))
	for name, try := range map[string]struct {
		state    *catalog.State
		sequence uint64
	}{
		"gap":            {s, 9},
		"repetition":     {s, 7},
		"other epoch":    {catalog.Empty().At(catalog.Position{Epoch: 2, EpochID: epochID, Sequence: 7}), 8},
		"other epoch id": {catalog.Empty().At(catalog.Position{Epoch: 1, EpochID: "other", Sequence: 7}), 8},
	} {
		if _, _, err := try.state.Apply(try.sequence, e); !errors.Is(err, catalog.ErrPosition) {
			t.Errorf("%s: error %v, want ErrPosition", name, err)
		}
	}
	if _, _, err := s.Apply(8, []byte{0xff}); err == nil {
		t.Error("an undecodable entry was applied")
	}
}

func TestUndecodableResource(t *testing.T) {
	sub := &pb.Subscription{Id: "s", Application: "a", Plan: "p", Status: pb.Subscription_ACCEPTED}
	s := fold(t, catalog.Empty().At(at(0)), entry(t, put(t, 1, sub)))
	granted := func(s *catalog.State) bool {
		g, _ := s.Grant(s.Handle(pb.Kind_KIND_APPLICATION, "a"), s.Handle(pb.Kind_KIND_PLAN, "p"))
		return g.Active(1)
	}
	if !granted(s) {
		t.Fatal("an accepted subscription grants nothing")
	}
	broken := &pb.Change{Kind: pb.Kind_KIND_SUBSCRIPTION, Id: "s", Version: 2, Resource: []byte{0xff}}
	kept, effects, err := s.Apply(2, entry(t, broken, put(t, 1, &pb.Api{Id: "api", ContextPath: "/x"})))
	if err != nil || len(effects.Rejects) != 1 || effects.Rejects[0].Ref.ID != "s" || len(kept.Rejects()) != 1 {
		t.Fatalf("rejects %v, error %v: want one reject of s", effects.Rejects, err)
	}
	if !granted(kept) {
		t.Error("the last good value was not kept")
	}
	if _, ok := kept.Get(pb.Kind_KIND_API, "api"); !ok {
		t.Error("one bad resource stopped another one of the same entry")
	}

	t.Run("a resync keeps the last good value", func(t *testing.T) {
		for _, last := range []*catalog.State{nil, kept} {
			b := catalog.NewBuilder(kept.Position(), last)
			bad, _ := proto.Marshal(broken)
			b.Add(string(bad))
			if got, want := granted(b.State()), last != nil; got != want {
				t.Errorf("with a last state %v: granted %v", last != nil, got)
			}
		}
	})
	t.Run("a resync does not keep what may have been taken away since", func(t *testing.T) {
		b := catalog.NewBuilder(kept.Position(), kept)
		later, _ := proto.Marshal(&pb.Change{Kind: pb.Kind_KIND_SUBSCRIPTION, Id: "s", Version: 5, Resource: []byte{0xff}})
		b.Add(string(later))
		if granted(b.State()) {
			t.Error("a value from before unseen changes was kept")
		}
	})
	t.Run("a restrictive one drops it", func(t *testing.T) {
		broken.Restrictive = true
		if granted(fold(t, kept, entry(t, broken))) {
			t.Error("the grant outlived a pause that could not be decoded")
		}
	})
	t.Run("a removal always works", func(t *testing.T) {
		gone := fold(t, kept, entry(t, remove(pb.Kind_KIND_SUBSCRIPTION, "s")))
		if granted(gone) || len(gone.Rejects()) != 0 {
			t.Error("the grant or the reject outlived the removal")
		}
	})
}

// What decodes may still be nothing that a node could live with.
func TestDeploymentWithoutApi(t *testing.T) {
	s := fold(t, catalog.Empty().At(at(0)), entry(t, put(t, 1, &pb.Deployment{Id: "a", Api: &pb.Api{ContextPath: "/a"}})))
	s = fold(t, s, entry(t, put(t, 2, &pb.Deployment{Id: "a"})))
	if d, _ := catalog.Lookup[*pb.Deployment](s, pb.Kind_KIND_DEPLOYMENT, "a"); len(s.Rejects()) != 1 || d.GetApi().GetContextPath() != "/a" {
		t.Errorf("rejects %v, deployment %v; want one reject and the last good value", s.Rejects(), d)
	}
}

func TestRevocationsByEveryTarget(t *testing.T) {
	token := catalog.TokenFacts{Issuer: "i", JTI: "j", ClientID: "c", Subject: "s", SHA256: [32]byte{1}, IssuedAt: 500}
	for name, r := range map[string]*pb.Revocation{
		"jti":     {Id: "x", Issuer: "i", Target: &pb.Revocation_Jti{Jti: "j"}},
		"hash":    {Id: "x", Target: &pb.Revocation_TokenSha256{TokenSha256: "01" + fmt.Sprintf("%062d", 0)}},
		"client":  {Id: "x", Issuer: "i", Target: &pb.Revocation_ClientId{ClientId: "c"}},
		"subject": {Id: "x", Issuer: "i", Target: &pb.Revocation_Subject{Subject: "s"}},
	} {
		empty := catalog.Empty().At(at(0))
		s := fold(t, empty, entry(t, put(t, 1, r)))
		if empty.Revocations().Revoked(token, 600) || !s.Revocations().Revoked(token, 600) {
			t.Errorf("%s: not revoked, or revoked without a revocation", name)
		}
		other := token
		other.Issuer, other.SHA256 = "other", [32]byte{2}
		if s.Revocations().Revoked(other, 600) {
			t.Errorf("%s: revokes a token of another issuer", name)
		}
		if !fold(t, s, entry(t, remove(pb.Kind_KIND_REVOCATION, "x"))).Revocations().Empty() {
			t.Errorf("%s: outlives its removal", name)
		}
	}
}

func TestGrantDates(t *testing.T) {
	g := catalog.Grant{Status: pb.Subscription_ACCEPTED, StartsAt: 10, EndsAt: 20}
	for now, want := range map[int64]bool{9: false, 10: true, 19: true, 20: false} {
		if g.Active(now) != want {
			t.Errorf("at %d: live %v", now, !want)
		}
	}
	g.Status = pb.Subscription_PAUSED
	if g.Active(15) {
		t.Error("a paused subscription is live")
	}
}

// 0 stands for no end inside, and for nothing that ends.
func TestAnEndIn1970IsAnEnd(t *testing.T) {
	sum := strings.Repeat("01", 32)
	hash, _ := catalog.ParseSHA256(sum)
	for _, c := range []struct {
		name string
		end  *timestamppb.Timestamp
		ends bool
	}{
		{"none", nil, false},
		{"the epoch", &timestamppb.Timestamp{}, true},
		{"half a second later", &timestamppb.Timestamp{Nanos: 5e8}, true},
		{"a second later", &timestamppb.Timestamp{Seconds: 1}, true},
		{"before", &timestamppb.Timestamp{Seconds: -1}, true},
		{"long before", &timestamppb.Timestamp{Seconds: -62135596800}, true},
	} {
		s := fold(t, catalog.Empty().At(at(0)), entry(t, put(t, 1, &pb.Application{
			Id: "a", ApiKeys: []*pb.ApiKey{{Id: "k", Sha256: sum, ExpiresAt: c.end}}, Certificates: []*pb.Certificate{{Id: "c", Sha256: sum, ExpiresAt: c.end}},
		}), put(t, 1, &pb.Subscription{Id: "s", Application: "a", Plan: "p", Status: pb.Subscription_ACCEPTED, EndsAt: c.end})))
		key, _ := s.APIKey(hash)
		certificate, _ := s.Certificate(hash)
		grant, ok := s.Grant(s.Handle(pb.Kind_KIND_APPLICATION, "a"), s.Handle(pb.Kind_KIND_PLAN, "p"))
		if key.Application != "a" || certificate.Application != "a" || !ok {
			t.Fatalf("%s: not found", c.name)
		}
		const now = 1_000_000
		expired := func(at int64) bool { return at != 0 && at <= now }
		if expired(key.ExpiresAt) != c.ends || expired(certificate.ExpiresAt) != c.ends || grant.Active(now) == c.ends {
			t.Errorf("%s: key until %d, certificate until %d, grant %+v", c.name, key.ExpiresAt, certificate.ExpiresAt, grant)
		}
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	s := fold(t, catalog.Empty().At(at(0)),
		entry(t, put(t, 1, &pb.Application{Id: "a", Clients: []*pb.Client{{Issuer: "i", ClientId: "c"}}})),
		entry(t, put(t, 1, &pb.Subscription{Id: "s", Application: "a", Plan: "p", Status: pb.Subscription_ACCEPTED})))
	plan := s.Handle(pb.Kind_KIND_PLAN, "p")
	n := testing.AllocsPerRun(100, func() {
		c, _ := s.Client("i", "c")
		if g, _ := s.Grant(c.Handle, plan); !g.Active(time.Now().Unix()) {
			t.Fatal("not live")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
