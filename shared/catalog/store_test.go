package catalog

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/heap"
)

// rawChange is an encoded change of a resource.
func rawChange(t testing.TB, version uint64, r Resource) string {
	t.Helper()
	content, err := Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := marshalChange(&pb.Change{Kind: KindOf(r), Id: r.GetId(), Version: version, Resource: content, CreatedAt: 5})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// small is a world of many applications and subscriptions with every index in use.
func small(t testing.TB, n int) []string {
	t.Helper()
	var all []string
	for i := range n {
		app := fmt.Sprint("app-", i)
		all = append(all, rawChange(t, 1, &pb.Application{
			Id: app, Clients: []*pb.Client{{Issuer: "i", ClientId: "client-" + app}},
			ApiKeys:      []*pb.ApiKey{{Id: "k", Sha256: fmt.Sprintf("%064x", i)}},
			Certificates: []*pb.Certificate{{Id: "c", Sha256: fmt.Sprintf("%064x", i)}},
		}))
		for j := range 5 {
			all = append(all, rawSubscription(t, 1, i, j, pb.Subscription_ACCEPTED))
		}
	}
	for i := range 10 {
		all = append(all, rawChange(t, 1, &pb.Plan{Id: fmt.Sprint("plan-", i), Api: "a"}))
	}
	return all
}

func rawSubscription(t testing.TB, version uint64, i, j int, status pb.Subscription_Status) string {
	t.Helper()
	return rawChange(t, version, &pb.Subscription{
		Id: fmt.Sprintf("sub-%d-%d", i, j), Application: fmt.Sprint("app-", i), Plan: fmt.Sprint("plan-", j+i%5), Status: status,
	})
}

// seen is what requests see of a world of n applications.
func seen(s *State, n int) string {
	var b strings.Builder
	for i := range n {
		c, ok := s.Client("i", fmt.Sprint("client-app-", i))
		var sum [32]byte
		sum[30], sum[31] = byte(i>>8), byte(i)
		k, _ := s.APIKey(sum)
		cert, _ := s.Certificate(sum)
		fmt.Fprintln(&b, i, c.Application, ok, c.Handle != 0, k.Application, k.KeyID, cert.KeyID, k.Handle == c.Handle)
		for j := range 10 {
			g, ok := s.Grant(c.Handle, s.Handle(pb.Kind_KIND_PLAN, fmt.Sprint("plan-", j)))
			fmt.Fprint(&b, g.Status, ok, " ")
		}
	}
	fmt.Fprint(&b, s.SetHash(), s.ChangeCount())
	return b.String()
}

// audit checks the account of a heap: what tables and names point to is what is needed.
func audit(t testing.TB, s *State) {
	t.Helper()
	needed := map[heap.Address]bool{}
	for i := range s.tables {
		for l := range s.tables[i].All() {
			needed[l.address()] = true
		}
	}
	for n := range s.applications.All() {
		needed[n.id] = true
	}
	for n := range s.plans.All() {
		needed[n.id] = true
	}
	if err := s.heap.Audit(maps.Keys(needed)); err != nil {
		t.Fatal(err)
	}
}

// Changing the same resources over and over takes no more memory, and loses nothing.
func TestWasteIsBounded(t *testing.T) {
	const n = 2000
	rnd := rand.New(rand.NewPCG(4, 4))
	b, want := NewBuilder(Position{}, nil), NewBuilder(Position{}, nil)
	for _, raw := range small(t, n) {
		b.Add(raw)
	}
	s, last := b.State(), map[[2]int]string{}
	most := 0
	for round := range 3000 {
		ed := s.edit(s.position)
		for range 20 {
			at := [2]int{rnd.IntN(n), rnd.IntN(5)}
			status := []pb.Subscription_Status{pb.Subscription_PAUSED, pb.Subscription_ACCEPTED, pb.Subscription_CLOSED}[rnd.IntN(3)]
			last[at] = rawSubscription(t, uint64(round), at[0], at[1], status)
			ed.fold(last[at])
		}
		s = ed.state()
		most = max(most, s.heap.Waste())
		if round%500 == 0 {
			audit(t, s)
		}
	}
	audit(t, s)
	needed := s.heap.Size() - s.heap.Waste()
	if limit := needed/4 + 2<<20; most > limit { // and some chunks
		t.Errorf("up to %d bytes of waste, %d are allowed; needed are %d", most, limit, needed)
	}
	want.bulk = nil
	for _, raw := range small(t, n) {
		want.Add(raw)
	}
	for _, raw := range last {
		want.Add(raw)
	}
	if got, want := seen(s, n), seen(want.State(), n); got != want {
		t.Fatal("what requests see is not what it is without emptying chunks")
	}
	checkState(t, s)
}

// Building at once gives what folding one after the other gives, whatever comes.
func TestBulkEqualsFolding(t *testing.T) {
	const n = 60
	removed, err := proto.Marshal(&pb.Change{Kind: pb.Kind_KIND_APPLICATION, Id: "app-3", Removed: true})
	if err != nil {
		t.Fatal(err)
	}
	broken, err := proto.Marshal(&pb.Change{Kind: pb.Kind_KIND_SUBSCRIPTION, Id: "sub-1-1", Version: 2, Resource: []byte{0xff}})
	if err != nil {
		t.Fatal(err)
	}
	odd := rawSubscription(t, 2, 7, 1, pb.Subscription_PAUSED)
	odd = odd[2:] + odd[:2] // its kind comes last
	second := rawChange(t, 1, &pb.Subscription{Id: "another", Application: "app-2", Plan: "plan-3", Status: pb.Subscription_PENDING})
	taken := rawChange(t, 1, &pb.Application{Id: "thief", Clients: []*pb.Client{{Issuer: "i", ClientId: "client-app-5"}}})
	for name, extra := range map[string][]string{
		"nothing":             nil,
		"twice":               {rawSubscription(t, 2, 9, 2, pb.Subscription_PAUSED)},
		"two of one pair":     {second},
		"a client twice":      {taken},
		"a removal":           {string(removed)},
		"not understood":      {string(broken)},
		"an odd encoding":     {odd},
		"everything and more": {odd, second, string(broken), taken, string(removed), second, odd},
	} {
		for _, at := range []int{0, 3 * n, 6 * n} { // among the others
			world := small(t, n)
			all := append(append(append([]string{}, world[:at]...), extra...), world[at:]...)
			bulk, steps := NewBuilder(Position{}, nil), NewBuilder(Position{}, nil)
			steps.bulk = nil
			for _, raw := range all {
				bulk.Add(raw)
				steps.Add(raw)
			}
			got, want := bulk.State(), steps.State()
			if seen(got, n) != seen(want, n) || fmt.Sprint(got.Rejects()) != fmt.Sprint(want.Rejects()) {
				t.Errorf("%s at %d: built\n%s\nfolded\n%s", name, at, seen(got, n), seen(want, n))
			}
			checkState(t, got)
		}
	}
}

// States that were made of the same one share its chunks, and do not disturb each other.
func TestBranchesDoNotDisturbEachOther(t *testing.T) {
	const n = 300
	b := NewBuilder(Position{}, nil)
	for _, raw := range small(t, n) {
		b.Add(raw)
	}
	root := b.State()
	before := seen(root, n)
	var group sync.WaitGroup
	states := make([]*State, 4)
	for k := range states {
		group.Go(func() {
			rnd, s := rand.New(rand.NewPCG(uint64(k), 1)), root
			for range 1000 { // enough to empty chunks
				ed := s.edit(s.position)
				for range 30 {
					ed.fold(rawSubscription(t, 2, rnd.IntN(n), rnd.IntN(5), pb.Subscription_Status(1+k)))
				}
				s = ed.state()
			}
			states[k] = s
		})
	}
	group.Wait()
	if seen(root, n) != before {
		t.Error("the common state has changed")
	}
	for k, s := range states {
		audit(t, s)
		for r := range s.All(pb.Kind_KIND_SUBSCRIPTION) {
			sub := mustSubscription(r.c)
			if r.Version() == 2 && sub.Status != pb.Subscription_Status(1+k) {
				t.Fatalf("branch %d holds a change of another one: %v", k, sub)
			}
		}
		checkState(t, s)
	}
}
