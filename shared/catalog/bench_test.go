package catalog_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// sizes are numbers of subscriptions.
var sizes = []int{1000, 100_000, 1_000_000}

// fleetOf yields the encoded changes of a fleet with so many subscriptions: ten
// for each application, to 100 plans.
func fleetOf(t testing.TB, subscriptions int, yield func(raw string)) {
	t.Helper()
	add := func(r catalog.Resource) {
		raw, err := proto.Marshal(put(t, 1, r))
		if err != nil {
			t.Fatal(err)
		}
		yield(string(raw))
	}
	for i := range 100 {
		add(&pb.Plan{Id: fmt.Sprintf("plan-%03d", i), Api: "orders", Status: pb.Plan_PUBLISHED})
	}
	for i := range subscriptions / 10 {
		app := fmt.Sprintf("app-%06d", i)
		add(&pb.Application{
			Id: app, Name: "Application of load", Owner: "team-load",
			Clients: []*pb.Client{{Issuer: "acme", ClientId: "client-" + app}},
		})
		for j := range 10 {
			add(subscription(i, j, pb.Subscription_ACCEPTED))
		}
	}
}

// subscription is the j-th of the i-th application.
func subscription(i, j int, status pb.Subscription_Status) *pb.Subscription {
	return &pb.Subscription{
		Id: fmt.Sprintf("sub-%06d-%d", i, j), Application: fmt.Sprintf("app-%06d", i),
		Plan: fmt.Sprintf("plan-%03d", (i+7*j)%100), Status: status,
	}
}

// stateOf is such a fleet, which holds its changes alone.
func stateOf(t testing.TB, subscriptions int) *catalog.State {
	t.Helper()
	b := catalog.NewBuilder(at(0), nil)
	fleetOf(t, subscriptions, b.Add)
	return b.State()
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one finalised
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkGrant looks up a client's application and its subscription, another one
// each time. B/subscription is the memory of the whole state, an application for
// ten subscriptions included.
func BenchmarkGrant(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("subscriptions=%d", n), func(b *testing.B) {
			before := heap()
			s := stateOf(b, n)
			held := heap() - before
			apps := min(n/10, 10_000)
			clients, plans := make([]string, apps), make([]catalog.Handle, apps)
			for i := range clients {
				app := i * (n / 10 / apps)
				clients[i], plans[i] = fmt.Sprintf("client-app-%06d", app), s.Handle(pb.Kind_KIND_PLAN, fmt.Sprintf("plan-%03d", app%100))
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				c, _ := s.Client("acme", clients[i])
				if g, ok := s.Grant(c.Handle, plans[i]); !ok || !g.Active(1) {
					b.Fatal("no grant")
				}
				if i++; i == apps {
					i = 0
				}
			}
			if n > 1000 { // of a small one, what else there is says as much
				b.ReportMetric(held/float64(n), "B/subscription")
			}
			runtime.KeepAlive(s)
		})
	}
}

// BenchmarkBuilder builds a state from the changes of a snapshot.
func BenchmarkBuilder(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("subscriptions=%d", n), func(b *testing.B) {
			var changes []string
			fleetOf(b, n, func(raw string) { changes = append(changes, raw) })
			b.ReportAllocs()
			for b.Loop() {
				builder := catalog.NewBuilder(at(1), nil)
				for _, raw := range changes {
					builder.Add(raw)
				}
				builder.State()
			}
		})
	}
}

// BenchmarkApply folds an entry of the log, of one change or of a thousand. The
// entries change a thousand subscriptions, and then change them back.
func BenchmarkApply(b *testing.B) {
	for _, n := range sizes {
		s := (*catalog.State)(nil)
		for _, batch := range []int{1, 1000} {
			b.Run(fmt.Sprintf("subscriptions=%d/changes=%d", n, batch), func(b *testing.B) {
				if s == nil {
					s = stateOf(b, n)
				}
				var entries [][]byte
				for _, status := range []pb.Subscription_Status{pb.Subscription_PAUSED, pb.Subscription_ACCEPTED} {
					var changes []*pb.Change
					for i := range 1000 {
						changes = append(changes, put(b, 2, subscription(i/10*(n/1000), i%10, status)))
					}
					for some := range slices.Chunk(changes, batch) {
						entries = append(entries, entry(b, some...))
					}
				}
				next, i := s, 0
				b.ReportAllocs()
				for b.Loop() {
					next = fold(b, next, entries[i%len(entries)])
					i++
				}
			})
		}
	}
}

// BenchmarkLookup is what else requests look up.
func BenchmarkLookup(b *testing.B) {
	builder := catalog.NewBuilder(at(0), nil)
	add := func(r catalog.Resource) {
		raw, err := proto.Marshal(put(b, 1, r))
		if err != nil {
			b.Fatal(err)
		}
		builder.Add(string(raw))
	}
	digest := func(text string) ([32]byte, string) {
		sum := sha256.Sum256([]byte(text))
		return sum, hex.EncodeToString(sum[:])
	}
	for i := range 10_000 {
		_, key := digest(fmt.Sprint("key", i))
		_, certificate := digest(fmt.Sprint("certificate", i))
		add(&pb.Application{
			Id: fmt.Sprint("app-", i), ApiKeys: []*pb.ApiKey{{Id: "k", Sha256: key}}, Certificates: []*pb.Certificate{{Id: "c", Sha256: certificate}},
		})
		add(&pb.Revocation{Id: fmt.Sprint("r-", i), Issuer: "acme", Target: &pb.Revocation_Jti{Jti: fmt.Sprint("j", i)}})
	}
	s := builder.State()
	key, _ := digest("key77")
	certificate, _ := digest("certificate77")
	token := catalog.TokenFacts{Issuer: "acme", JTI: "other", ClientID: "mobile-app", Subject: "alice", SHA256: key, IssuedAt: 500}
	for _, c := range []struct {
		name string
		do   func() bool
	}{
		{"API key", func() bool { _, ok := s.APIKey(key); return ok }},
		{"certificate", func() bool { _, ok := s.Certificate(certificate); return ok }},
		{"no revocation of 10000", func() bool { return !s.Revocations().Revoked(token, 600) }},
		{"handle", func() bool { return s.Handle(pb.Kind_KIND_APPLICATION, "app-77") != 0 }},
		{"resource", func() bool { _, ok := s.Get(pb.Kind_KIND_APPLICATION, "app-77"); return ok }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !c.do() {
					b.Fatal("wrong")
				}
			}
		})
	}
}
