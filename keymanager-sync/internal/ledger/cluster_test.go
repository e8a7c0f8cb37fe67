package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// The server that leads the log stops in the middle of writes: they go on after
// the election, and each has happened exactly as it was answered.
func TestLeaderStopsDuringWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("an election takes up to ten seconds")
	}
	cluster, logger := streamtest.Cluster(t, 3), slog.New(slog.DiscardHandler)
	bus := cluster.Connect(t, "a")
	log, err := bus.CreateLog(t.Context(), 1, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(store.Config{Dir: t.TempDir(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{store: st, bus: bus, ledger: ledger.New(ledger.Config{Store: st, Logger: logger})}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = st.Run(ctx, bus) })
	running.Go(func() { _ = r.ledger.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = st.Close()
	})
	r.await(t, store.Live)
	r.must(t, command.Create{Resource: issuer()})

	accepted, uncertain := map[string]bool{}, map[string]bool{}
	var mu sync.Mutex
	var writers sync.WaitGroup
	writing, stop := context.WithCancel(t.Context())
	for w := range 3 {
		writers.Go(func() {
			for i := 0; writing.Err() == nil; i++ {
				id := fmt.Sprintf("app-%d-%d", w, i)
				_, err := r.submit(command.Create{Resource: application(id, id)}, "")
				mu.Lock()
				switch {
				case err == nil:
					accepted[id] = true
				case errors.Is(err, ledger.ErrUncertain):
					uncertain[id] = true
				}
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	cluster.Leader(t, log.Identity().Stream).Stop(t)
	stopped := time.Now()
	for {
		if _, err := r.submit(command.Create{Resource: application("after", "after")}, "after"); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if took := time.Since(stopped); took > 15*time.Second {
		t.Errorf("writes went on after %s", took)
	}
	time.Sleep(200 * time.Millisecond)
	stop()
	writers.Wait()
	for record := range st.State().All(pb.Kind_KIND_APPLICATION) {
		if id := record.Ref().ID; !accepted[id] && !uncertain[id] && id != "after" {
			t.Errorf("%s is there and was refused", id)
		}
		delete(accepted, record.Ref().ID)
	}
	if len(accepted) > 0 {
		t.Errorf("accepted and not there: %v", accepted)
	}
	t.Logf("%d uncertain, writes went on after %s", len(uncertain), time.Since(stopped))
}

// The server that leads the log is killed in the middle of writes. What was on
// its way to it is never answered; writes go on as soon as there is a new leader.
func TestLeaderIsKilledDuringWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("an election takes up to ten seconds")
	}
	servers := streamtest.Processes(t, 3)
	setup := streamtest.Connect(t, streamtest.URLs(servers...), "setup")
	var log *stream.Log
	for end := time.Now().Add(40 * time.Second); log == nil && time.Now().Before(end); {
		log, _ = setup.CreateLog(t.Context(), 1, 1, 0)
	}
	if log == nil {
		t.Fatal("no log could be created")
	}
	leader, others := leaderOf(t, servers, log.Identity().Stream)
	st, err := store.Open(store.Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	bus := streamtest.Connect(t, streamtest.URLs(others...), "a")
	r := &replica{store: st, bus: bus, ledger: ledger.New(ledger.Config{Store: st, Logger: slog.New(slog.DiscardHandler)})}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = st.Run(ctx, bus) })
	running.Go(func() { _ = r.ledger.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = st.Close()
	})
	r.await(t, store.Live)
	r.must(t, command.Create{Resource: issuer()})

	killed := make(chan time.Time, 1)
	time.AfterFunc(300*time.Millisecond, func() {
		leader.Kill()
		killed <- time.Now()
	})
	var at time.Time
	for i := 0; at.IsZero() || time.Since(at) < time.Second; i++ {
		id := fmt.Sprintf("app-%d", i)
		began := time.Now()
		_, err := r.submit(command.Create{Resource: application(id, id)}, "")
		if took := time.Since(began); err != nil || took > 15*time.Second {
			t.Fatalf("write %d took %s: %v", i, took, err)
		} else if took > time.Second {
			t.Logf("write %d took %s", i, took)
		}
		if at.IsZero() {
			select {
			case at = <-killed:
			default:
			}
		}
	}
}

// leaderOf tells the server that leads a stream from the others.
func leaderOf(t *testing.T, servers []*streamtest.Process, name string) (leader *streamtest.Process, others []*streamtest.Process) {
	t.Helper()
	conn, err := nats.Connect(streamtest.URLs(servers...))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range servers {
		if p.Name() == s.CachedInfo().Cluster.Leader {
			leader = p
		} else {
			others = append(others, p)
		}
	}
	if leader == nil {
		t.Fatal("nobody leads")
	}
	return leader, others
}
