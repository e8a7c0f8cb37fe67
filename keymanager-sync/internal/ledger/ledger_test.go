package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(streamtest.ProcessVariable); spec != "" {
		streamtest.ServeProcess(spec)
	}
	goleak.VerifyTestMain(m)
}

// replica is a store and a ledger on one bus, stopped by stop or with the test.
type replica struct {
	store  *store.Store
	ledger *ledger.Ledger
	bus    *stream.Bus
	stop   func()
}

func start(t *testing.T, server *streamtest.Server, dir, name string) *replica {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	st, err := store.Open(store.Config{Dir: dir, Logger: logger, Writer: name})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{store: st, bus: server.Connect(t, name), ledger: ledger.New(ledger.Config{Store: st, Logger: logger})}
	if _, err := r.bus.Find(t.Context()); errors.Is(err, stream.ErrNoLog) {
		// So that the store need not listen for others first.
		if _, err := r.bus.CreateLog(t.Context(), 1, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = st.Run(ctx, r.bus) })
	running.Go(func() { _ = r.ledger.Run(ctx) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		r.bus.Close()
	})
	t.Cleanup(r.stop)
	r.await(t, store.Live)
	return r
}

func (r *replica) await(t *testing.T, phase store.Phase) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if r.store.Status().Phase == phase {
			return
		}
	}
	t.Fatalf("phase %s, want %s: %s", r.store.Status().Phase, phase, r.store.Status().Reason)
}

func (r *replica) submit(cmd command.Command, key string) (ledger.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return r.ledger.Submit(ctx, cmd, ledger.Meta{Actor: "test", IdempotencyKey: key})
}

func (r *replica) must(t *testing.T, cmd command.Command) ledger.Result {
	t.Helper()
	result, err := r.submit(cmd, "")
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	return result
}

func issuer() *pb.Issuer {
	return &pb.Issuer{Id: "idp", Issuer: "https://idp.example/", Keys: &pb.Keys{JwksUrls: []string{"https://idp.example/jwks"}}}
}

func application(id, client string) *pb.Application {
	return &pb.Application{Id: id, Name: id, Clients: []*pb.Client{{Issuer: "idp", ClientId: client}}}
}

func TestSubmitAnswersWhenDurable(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	r := start(t, server, dir, "a")
	result := r.must(t, command.Create{Resource: issuer()})
	written, _ := result.State.Get(pb.Kind_KIND_ISSUER, "idp")
	if result.Sequence != 1 || result.Epoch != 1 || written.Version() != 1 || len(result.Changes) != 1 {
		t.Errorf("first write: %+v", result)
	}
	again := r.must(t, command.Replace{Resource: issuer()})
	if again.Sequence != 1 || len(again.Changes) != 0 {
		t.Errorf("a replacement by the same: sequence %d, %d changes; want 1, none", again.Sequence, len(again.Changes))
	}
	_, err := r.submit(command.Create{Resource: issuer()}, "")
	if ps, ok := errors.AsType[fault.List](err); !ok || !ps.Has(fault.Exists) {
		t.Errorf("second create: %v, want Exists", err)
	}
	_, err = r.submit(command.Replace{Resource: issuer(), If: command.Precondition{Versions: []command.Version{{Number: 7}}}}, "")
	if _, ok := errors.AsType[*command.PreconditionError](err); !ok {
		t.Errorf("replace of another version: %v, want a precondition error", err)
	}
	r.stop()

	// The disk alone must show it, before any log is found.
	st, err := store.Open(store.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	if st.State().Position().Sequence != 1 || st.State().Len(pb.Kind_KIND_ISSUER) != 1 {
		t.Errorf("reopened at %s with %d issuers", st.State().Position(), st.State().Len(pb.Kind_KIND_ISSUER))
	}
}

// Two replicas create an application with the same client at the same moment:
// exactly one succeeds, every time, and both end in the same state.
func TestUniqueAcrossReplicas(t *testing.T) {
	const rounds = 200
	server := streamtest.New(t)
	a := start(t, server, t.TempDir(), "a")
	b := start(t, server, t.TempDir(), "b")
	a.must(t, command.Create{Resource: issuer()})
	conflicts := 0
	for i := range rounds {
		client := fmt.Sprintf("client-%d", i)
		var errs [2]error
		var both sync.WaitGroup
		for n, r := range []*replica{a, b} {
			both.Go(func() {
				_, errs[n] = r.submit(command.Create{Resource: application(fmt.Sprintf("app-%d-%d", i, n), client)}, "")
			})
		}
		both.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if ps, ok := errors.AsType[fault.List](err); ok && ps.Has(fault.Conflict) {
				conflicts++
			} else {
				t.Fatalf("round %d: %v", i, err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d replicas succeeded", i, won)
		}
	}
	sequence := max(a.store.State().Position().Sequence, b.store.State().Position().Sequence)
	sa, errA := a.store.WaitFor(t.Context(), sequence)
	sb, errB := b.store.WaitFor(t.Context(), sequence)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if sa.SetHash() != sb.SetHash() || sa.Len(pb.Kind_KIND_APPLICATION) != rounds || conflicts != rounds {
		t.Errorf("hashes %x and %x, %d applications, %d conflicts", sa.SetHash(), sb.SetHash(), sa.Len(pb.Kind_KIND_APPLICATION), conflicts)
	}
}

// A refusal counts only if it was decided on the newest state: what was written
// through one replica is never missed through another.
func TestRefusalIsFresh(t *testing.T) {
	server := streamtest.New(t)
	a := start(t, server, t.TempDir(), "a")
	b := start(t, server, t.TempDir(), "b")
	a.must(t, command.Create{Resource: issuer()})
	for i := range 50 {
		id := fmt.Sprintf("app-%d", i)
		ref := catalog.Ref{Kind: pb.Kind_KIND_APPLICATION, ID: id}
		a.must(t, command.Create{Resource: application(id, id)})
		if _, err := b.submit(command.Remove{Ref: ref}, ""); err != nil {
			t.Fatalf("remove through the other replica: %v", err)
		}
		a.must(t, command.Create{Resource: application(id, id)})
	}
}

func TestConcurrentCommandsTravelTogether(t *testing.T) {
	server := streamtest.New(t)
	r := start(t, server, t.TempDir(), "a")
	r.must(t, command.Create{Resource: issuer()})
	var all sync.WaitGroup
	const writers = 200
	for i := range writers {
		all.Go(func() {
			id := fmt.Sprintf("app-%d", i)
			if i%10 == 0 {
				id = "same" // all but one of these must fail, and harm nobody else
			}
			_, err := r.submit(command.Create{Resource: application(id, id)}, "")
			if ps, ok := errors.AsType[fault.List](err); err != nil && (!ok || !ps.Has(fault.Exists)) {
				t.Errorf("%s: %v", id, err)
			}
		})
	}
	all.Wait()
	state := r.store.State()
	if got := state.Len(pb.Kind_KIND_APPLICATION); got != writers-writers/10+1 {
		t.Errorf("%d applications", got)
	}
	if state.Position().Sequence > writers/2 {
		t.Errorf("%d entries for %d commands: they did not travel together", state.Position().Sequence, writers)
	}
}

func TestIdempotencyKey(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	a := start(t, server, dir, "a")
	b := start(t, server, t.TempDir(), "b")
	a.must(t, command.Create{Resource: issuer()})
	first, err := a.submit(command.Create{Resource: application("app", "c")}, "key-1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.submit(command.Create{Resource: application("app", "c")}, "key-1")
	if err != nil || !again.Repeated || again.Sequence != first.Sequence {
		t.Errorf("repeated through the other replica: %+v, %v; want sequence %d", again, err, first.Sequence)
	}
	_, err = a.submit(command.Create{Resource: application("other", "d")}, "key-1")
	if _, ok := errors.AsType[*ledger.KeyReuse](err); !ok {
		t.Errorf("another command with the key: %v, want KeyReuse", err)
	}
	a.stop()
	a = start(t, server, dir, "a")
	again, err = a.submit(command.Create{Resource: application("app", "c")}, "key-1")
	if err != nil || !again.Repeated || again.Sequence != first.Sequence {
		t.Errorf("repeated after a restart: %+v, %v", again, err)
	}
}

// The same key at the same moment, through one replica and through two: carried out once.
func TestIdempotencyKeyConcurrently(t *testing.T) {
	server := streamtest.New(t)
	a := start(t, server, t.TempDir(), "a")
	b := start(t, server, t.TempDir(), "b")
	a.must(t, command.Create{Resource: issuer()})
	for i := range 20 {
		key, id := fmt.Sprintf("key-%d", i), fmt.Sprintf("app-%d", i)
		var done sync.WaitGroup
		var mu sync.Mutex
		carriedOut := 0
		for _, r := range []*replica{a, a, b, b} {
			done.Go(func() {
				result, err := r.submit(command.Create{Resource: application(id, id)}, key)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("%s: %v", key, err)
				} else if !result.Repeated {
					carriedOut++
				}
			})
		}
		done.Wait()
		if carriedOut != 1 {
			t.Fatalf("%s was carried out %d times", key, carriedOut)
		}
	}
}

func TestTooLarge(t *testing.T) {
	server := streamtest.New(t)
	r := start(t, server, t.TempDir(), "a")
	r.must(t, command.Create{Resource: issuer()})
	app := application("big", "big")
	app.Description = string(make([]byte, 0))
	resources := make([]catalog.Resource, 0, 20_000)
	for i := range cap(resources) {
		resources = append(resources, &pb.Application{
			Id: fmt.Sprintf("app-%d", i), Name: "n", Description: fmt.Sprintf("%0500d", i),
		})
	}
	_, err := r.submit(command.Apply{Resources: resources}, "")
	if large, ok := errors.AsType[*ledger.TooLarge](err); !ok || large.Bytes <= large.Limit {
		t.Errorf("apply of 10 MB: %v, want TooLarge", err)
	}
	if n := r.store.State().Len(pb.Kind_KIND_APPLICATION); n != 0 {
		t.Errorf("%d applications exist after the refusal", n)
	}
	r.must(t, command.Create{Resource: app})
}

// NATS stops in the middle of writes and comes back: whatever was answered with
// success is there, and whatever was refused is not.
func TestServerRestartsDuringWrites(t *testing.T) {
	server := streamtest.New(t)
	r := start(t, server, t.TempDir(), "a")
	r.must(t, command.Create{Resource: issuer()})
	stop := make(chan struct{})
	var mu sync.Mutex
	accepted, refused := map[string]bool{}, map[string]bool{}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("app-%d-%d", w, i)
				_, err := r.submit(command.Create{Resource: application(id, id)}, "")
				mu.Lock()
				switch {
				case err == nil:
					accepted[id] = true
				case !errors.Is(err, ledger.ErrUncertain):
					refused[id] = true
				}
				mu.Unlock()
				if err != nil {
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	for range 3 {
		time.Sleep(200 * time.Millisecond)
		server.Restart(t)
	}
	time.Sleep(200 * time.Millisecond)
	close(stop)
	writers.Wait()
	r.await(t, store.Live)
	r.must(t, command.Create{Resource: application("last", "last")})
	state := r.store.State()
	for id := range accepted {
		if _, ok := state.Get(pb.Kind_KIND_APPLICATION, id); !ok {
			t.Errorf("%s was accepted and is not there", id)
		}
	}
	for id := range refused {
		if _, ok := state.Get(pb.Kind_KIND_APPLICATION, id); ok {
			t.Errorf("%s was refused and is there", id)
		}
	}
	if len(accepted) == 0 {
		t.Error("nothing was accepted")
	}
	t.Logf("%d accepted, %d refused", len(accepted), len(refused))
}

func TestNothingIsWrittenWhileNATSIsAway(t *testing.T) {
	server := streamtest.New(t)
	r := start(t, server, t.TempDir(), "a")
	r.must(t, command.Create{Resource: issuer()})
	server.Stop(t)
	r.await(t, store.Away)
	if _, err := r.submit(command.Create{Resource: application("x", "x")}, ""); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("write without NATS: %v, want ErrUnavailable", err)
	}
	if r.store.State().Len(pb.Kind_KIND_ISSUER) != 1 {
		t.Error("reads have stopped")
	}
	server.Start(t)
	r.await(t, store.Live)
	r.must(t, command.Create{Resource: application("x", "x")})
}

// Another replica has seen more of the log than it gives now: it must have been
// rolled back, and writing to it would make two histories.
func TestNothingIsWrittenToALogThatGaveMore(t *testing.T) {
	server := streamtest.New(t)
	r := start(t, server, t.TempDir(), "a")
	r.must(t, command.Create{Resource: issuer()})
	p := r.store.State().Position()
	r.store.Heard(&pb.Head{Epoch: p.Epoch, Founding: "of another log", Sequence: 99})
	r.must(t, command.Create{Resource: application("x", "x")})
	r.store.Heard(&pb.Head{Epoch: p.Epoch, Founding: p.EpochID, Sequence: p.Sequence + 5})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := r.ledger.Submit(ctx, command.Create{Resource: application("y", "y")}, ledger.Meta{})
	if !errors.Is(err, ledger.ErrTimeout) {
		t.Errorf("write after the head of sequence %d: %v, want ErrTimeout", p.Sequence+5, err)
	}
	if _, last, err := r.store.Log().Bounds(t.Context()); err != nil || last != p.Sequence+1 {
		t.Errorf("the log ends at %d, %v", last, err)
	}
}
