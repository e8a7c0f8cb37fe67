package issuers_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/issuers"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// idp is an identity provider's JWKS endpoint.
type idp struct {
	*httptest.Server
	mu      sync.Mutex
	keys    string
	fetches atomic.Int64
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	p := &idp{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.keys == "" {
			http.Error(w, "no keys today", http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"keys":[%s]}`, p.keys)
	}))
	t.Cleanup(p.Close)
	p.rotate(t, "k1")
	return p
}

func (p *idp) rotate(t *testing.T, kid string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":%q,"use":"sig","alg":"ES256","x":%q,"y":%q}`, kid, encode(point[1:33]), encode(point[33:]))
}

type replica struct {
	store  *store.Store
	ledger *ledger.Ledger
	bus    *stream.Bus
}

func start(t *testing.T, server *streamtest.Server, name string, cfg issuers.Config) *replica {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	bus := server.Connect(t, name)
	if _, err := bus.CreateLog(t.Context(), 1, 1, 0); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(store.Config{Dir: t.TempDir(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{store: st, bus: bus, ledger: ledger.New(ledger.Config{Store: st, Logger: logger})}
	cfg.Bus, cfg.Store, cfg.Ledger, cfg.Logger = bus, st, r.ledger, logger
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = st.Run(ctx, bus) })
	running.Go(func() { _ = r.ledger.Run(ctx) })
	running.Go(func() { _ = issuers.New(cfg).Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = st.Close()
	})
	until(t, "the store is live", func() bool { return st.Status().Phase == store.Live })
	return r
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still not: " + what)
		}
	}
}

func (r *replica) submit(t *testing.T, cmd command.Command) {
	t.Helper()
	if _, err := r.ledger.Submit(t.Context(), cmd, ledger.Meta{Actor: "test"}); err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
}

func (r *replica) keySet() *pb.KeySet {
	k, _ := catalog.Lookup[*pb.KeySet](r.store.State(), pb.Kind_KIND_KEY_SET, "idp")
	return k
}

func (r *replica) holds(generation uint64, kid string) func() bool {
	return func() bool {
		k := r.keySet()
		return k.GetGeneration() == generation && strings.Contains(k.GetSources()[0].GetJwks(), kid)
	}
}

func TestKeySetsFollowTheirIssuer(t *testing.T) {
	server, provider := streamtest.New(t), newIDP(t)
	r := start(t, server, "a", issuers.Config{RefreshFloor: 300 * time.Millisecond})
	issuer := &pb.Issuer{Id: "idp", Issuer: "https://idp.example/", Keys: &pb.Keys{JwksUrls: []string{provider.URL}}}
	r.submit(t, command.Create{Resource: issuer})
	until(t, "the first keys are in the log", r.holds(1, "k1"))

	// A node asks because of an unknown kid. What has not changed is not written.
	node := server.Connect(t, "node")
	ask := func() {
		t.Helper()
		if err := node.PublishKeyRefresh(&pb.KeyRefresh{Issuer: "idp", Node: "n"}); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(400 * time.Millisecond)
	before, sequence := provider.fetches.Load(), r.store.State().Position().Sequence
	ask()
	until(t, "the keys are fetched again", func() bool { return provider.fetches.Load() == before+1 })
	time.Sleep(100 * time.Millisecond)
	if at := r.store.State().Position().Sequence; at != sequence {
		t.Errorf("unchanged keys were written: sequence %d after %d", at, sequence)
	}

	// A storm of requests is one fetch.
	time.Sleep(400 * time.Millisecond)
	provider.rotate(t, "k2")
	before = provider.fetches.Load()
	for range 100 {
		ask()
	}
	until(t, "the new keys are in the log", r.holds(2, "k2"))
	if fetches := provider.fetches.Load() - before; fetches > 2 {
		t.Errorf("%d fetches for 100 requests", fetches)
	}

	// The issuer goes, and its keys with it.
	r.submit(t, command.Remove{Ref: catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: "idp"}})
	until(t, "the key set is gone", func() bool { return r.keySet() == nil })
	time.Sleep(200 * time.Millisecond)
	if r.keySet() != nil {
		t.Error("the key set has come back")
	}
}

func TestFailingProviderKeepsTheLastKeys(t *testing.T) {
	server, provider := streamtest.New(t), newIDP(t)
	r := start(t, server, "a", issuers.Config{RefreshFloor: 50 * time.Millisecond})
	issuer := &pb.Issuer{
		Id: "idp", Issuer: "https://idp.example/", Keys: &pb.Keys{JwksUrls: []string{provider.URL}},
		Jwks: &pb.JwksSettings{Ttl: durationpb.New(10 * time.Second)},
	}
	r.submit(t, command.Create{Resource: issuer})
	until(t, "the first keys are in the log", r.holds(1, "k1"))
	provider.mu.Lock()
	provider.keys = ""
	provider.mu.Unlock()
	before := provider.fetches.Load()
	time.Sleep(100 * time.Millisecond)
	if err := r.bus.PublishKeyRefresh(&pb.KeyRefresh{Issuer: "idp"}); err != nil {
		t.Fatal(err)
	}
	until(t, "a fetch has failed", func() bool { return provider.fetches.Load() > before })
	time.Sleep(50 * time.Millisecond)
	if !r.holds(1, "k1")() {
		t.Errorf("key set %v", r.keySet())
	}
}

// Both replicas believe to lead: twice the fetches, and still one generation for each rotation.
func TestTwoLeadersDoNoHarm(t *testing.T) {
	server, provider := streamtest.New(t), newIDP(t)
	a := start(t, server, "a", issuers.Config{RefreshFloor: 50 * time.Millisecond})
	b := start(t, server, "b", issuers.Config{RefreshFloor: 50 * time.Millisecond})
	a.submit(t, command.Create{Resource: &pb.Issuer{Id: "idp", Issuer: "https://idp.example/", Keys: &pb.Keys{JwksUrls: []string{provider.URL}}}})
	until(t, "the first keys are known to both", func() bool { return a.holds(1, "k1")() && b.holds(1, "k1")() })
	time.Sleep(300 * time.Millisecond)
	if a.keySet().GetGeneration() != 1 {
		t.Errorf("generation %d", a.keySet().GetGeneration())
	}
}

// Who does not lead fetches nothing, and takes over when it does.
func TestOnlyTheLeaderFetches(t *testing.T) {
	server, provider := streamtest.New(t), newIDP(t)
	var leads atomic.Bool
	r := start(t, server, "a", issuers.Config{Leads: leads.Load})
	r.submit(t, command.Create{Resource: &pb.Issuer{Id: "idp", Issuer: "https://idp.example/", Keys: &pb.Keys{JwksUrls: []string{provider.URL}}}})
	time.Sleep(time.Second)
	if provider.fetches.Load() != 0 {
		t.Error("a replica that does not lead has fetched")
	}
	leads.Store(true)
	until(t, "the keys are in the log", r.holds(1, "k1"))
}

func TestExpiredRevocationsAreSwept(t *testing.T) {
	server := streamtest.New(t)
	r := start(t, server, "a", issuers.Config{SweepInterval: 100 * time.Millisecond, SweepGrace: time.Second})
	revocation := func(id string, ends time.Duration) *pb.Revocation {
		return &pb.Revocation{
			Id: id, Issuer: "idp", Target: &pb.Revocation_Jti{Jti: id}, ExpiresAt: timestamppb.New(time.Now().Add(ends)),
		}
	}
	_, err := r.ledger.Submit(t.Context(), command.Apply{Resources: []catalog.Resource{
		&pb.Issuer{Id: "idp", Issuer: "https://idp.example/", Keys: &pb.Keys{JwksUrls: []string{"http://127.0.0.1:1/"}}},
		revocation("short", time.Second), revocation("long", time.Hour),
	}}, ledger.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	has := func(id string) bool {
		_, ok := r.store.State().Get(pb.Kind_KIND_REVOCATION, id)
		return ok
	}
	began := time.Now()
	until(t, "the ended revocation is gone", func() bool { return !has("short") })
	if time.Since(began) < 1500*time.Millisecond || !has("long") {
		t.Errorf("swept after %s; the other one is there: %t", time.Since(began), has("long"))
	}
}

// An issuer that is removed and created again looks the same to the fetcher, but its
// keys went with the first one.
func TestRemadeIssuerGetsKeys(t *testing.T) {
	server, provider := streamtest.New(t), newIDP(t)
	const floor = 5 * time.Second
	r := start(t, server, "a", issuers.Config{RefreshFloor: floor})
	issuer := &pb.Issuer{Id: "idp", Issuer: "https://idp.example/", Keys: &pb.Keys{JwksUrls: []string{provider.URL}}}
	r.submit(t, command.Create{Resource: issuer})
	fastest := time.Hour
	for round := range 3 {
		until(t, "the keys are in the log", r.holds(1, "k1"))
		if round > 0 {
			time.Sleep(200 * time.Millisecond) // else the keys are written and removed between two looks
		}
		r.submit(t, command.Remove{Ref: catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: "idp"}})
		r.submit(t, command.Create{Resource: issuer})
		began := time.Now()
		until(t, "the keys are in the log again", r.holds(1, "k1"))
		fastest = min(fastest, time.Since(began))
	}
	// Nobody had to ask for a refresh, which might have to wait.
	if fastest > floor/2 {
		t.Errorf("it took %s at best", fastest)
	}
}

// A closed plan takes only so many subscriptions with it; the leader closes the rest.
func TestOrphansAreClosed(t *testing.T) {
	server := streamtest.New(t)
	r := start(t, server, "a", issuers.Config{SweepInterval: 100 * time.Millisecond})
	const many = rules.MaxDependents + 1_100 // two batches remain
	r.submit(t, command.Apply{Resources: []catalog.Resource{
		&pb.Issuer{Id: "idp", Issuer: "https://idp.example/", Keys: &pb.Keys{JwksUrls: []string{"http://127.0.0.1:1/"}}},
		&pb.Api{Id: "orders", Name: "Orders", ContextPath: "/orders", Upstream: &pb.Upstream{Targets: []*pb.Target{{Url: "http://127.0.0.1:1"}}}},
		&pb.Plan{Id: "gold", Api: "orders", Name: "Gold", Security: pb.Plan_JWT, Status: pb.Plan_PUBLISHED, Jwt: &pb.JwtSettings{Issuers: []string{"idp"}}},
		&pb.Plan{Id: "open", Api: "orders", Name: "Open", Security: pb.Plan_JWT, Status: pb.Plan_PUBLISHED, Jwt: &pb.JwtSettings{Issuers: []string{"idp"}}},
		&pb.Application{Id: "app-0", Name: "first"},
		&pb.Subscription{Id: "stays", Application: "app-0", Plan: "open", Status: pb.Subscription_ACCEPTED},
	}})
	for begin := 0; begin < many; begin += 3000 {
		var chunk []catalog.Resource
		for i := begin; i < min(begin+3000, many); i++ {
			id := fmt.Sprintf("app-%d", i)
			chunk = append(chunk, &pb.Application{Id: id, Name: id},
				&pb.Subscription{Id: fmt.Sprintf("s-%d", i), Application: id, Plan: "gold", Status: pb.Subscription_ACCEPTED})
		}
		r.submit(t, command.Import{Name: "i", Chunk: begin, Resources: chunk})
	}
	r.submit(t, command.Step{Ref: catalog.Ref{Kind: pb.Kind_KIND_PLAN, ID: "gold"}, Verb: "close"})
	accepted := func() (n int) {
		for record := range r.store.State().All(pb.Kind_KIND_SUBSCRIPTION) {
			resource, _ := record.Decode()
			if s, ok := resource.(*pb.Subscription); ok && s.GetStatus() == pb.Subscription_ACCEPTED {
				n++
			}
		}
		return n
	}
	until(t, "only the subscription of the other plan is open", func() bool { return accepted() == 1 })
	if s, _ := catalog.Lookup[*pb.Subscription](r.store.State(), pb.Kind_KIND_SUBSCRIPTION, "stays"); s.GetStatus() != pb.Subscription_ACCEPTED {
		t.Errorf("the wrong one is open: %v", s)
	}
	at := r.store.State().Position()
	time.Sleep(300 * time.Millisecond)
	if r.store.State().Position() != at {
		t.Error("entries are written although nothing is left to close")
	}
}
