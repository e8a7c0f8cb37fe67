package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/view"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
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
	log, err := bus.Found(t.Context(), 1, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	v, err := view.Open(view.Config{Dir: t.TempDir(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{view: v, bus: bus, ledger: ledger.New(ledger.Config{View: v, Logger: logger})}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = v.Run(ctx, bus) })
	running.Go(func() { _ = r.ledger.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = v.Close()
	})
	r.await(t, view.Live)
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
	for record := range v.State().All(pb.Kind_KIND_APPLICATION) {
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
