package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// quick listens for other replicas for no longer than a test needs.
func quick() store.NewEpoch { return store.NewEpoch{Listen: time.Millisecond} }

// beginEpoch loses the log and begins the next epoch from a store.
func beginEpoch(t *testing.T, server *streamtest.Server, st *store.Store) {
	t.Helper()
	bus := server.Connect(t, "new-epoch")
	loseLog(t, server, bus)
	if _, err := store.BeginEpoch(t.Context(), st, bus, quick()); err != nil {
		t.Fatal(err)
	}
}

func loseLog(t *testing.T, server *streamtest.Server, bus *stream.Bus) {
	t.Helper()
	log, err := bus.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := jetStream(t, server).DeleteStream(t.Context(), log.Identity().Stream); err != nil {
		t.Fatal(err)
	}
}

// stopped is a replica's store as new-epoch opens it.
func stopped(t *testing.T, dir string) *store.Store {
	t.Helper()
	st := open(t, config(dir))
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// The log holds all that the replica has: whatever is asked, nothing is touched.
func TestNewEpochIsRefusedWhereTheLogIsWell(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	a := run(t, server, config(dir))
	a.await(t, store.Live)
	a.append(t, put(t, "a", 1))
	a.stop()
	b := run(t, server, config(t.TempDir()))
	b.await(t, store.Live)
	for _, beyond := range []uint64{0, 1} { // the replica is as advanced as the log, and behind it
		for _, giveUp := range []bool{false, true} {
			how := quick()
			how.GiveUp = giveUp
			st := open(t, config(dir))
			_, err := store.BeginEpoch(t.Context(), st, server.Connect(t, "new-epoch"), how)
			if !errors.Is(err, store.ErrLogIsWell) {
				t.Errorf("%d entries beyond, give up %t: %v", beyond, giveUp, err)
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if sequence := b.append(t, put(t, fmt.Sprintf("b%d", beyond), 1)); sequence != 2+beyond {
			t.Errorf("the next entry stands at %d", sequence)
		}
	}
}

// Another replica has more on its disk than the one that would begin the epoch.
func TestNewEpochIsRefusedBehindAnotherReplica(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	a := run(t, server, config(dir))
	a.await(t, store.Live)
	a.append(t, put(t, "a", 1))
	p := a.State().Position()
	a.stop()
	bus, other := server.Connect(t, "new-epoch"), server.Connect(t, "b")
	loseLog(t, server, bus)
	ctx, cancel := context.WithCancel(t.Context())
	var beating sync.WaitGroup
	beating.Go(func() {
		for ctx.Err() == nil {
			_ = other.PublishHead(&pb.Head{Epoch: p.Epoch, Founding: p.EpochID, Sequence: p.Sequence + 1, Replica: "b"})
			time.Sleep(5 * time.Millisecond)
		}
	})
	st := stopped(t, dir)
	_, err := store.BeginEpoch(t.Context(), st, bus, store.NewEpoch{Listen: 500 * time.Millisecond})
	if !errors.Is(err, store.ErrWouldLose) || !strings.Contains(err.Error(), "replica b stands at sequence 2") {
		t.Errorf("%v", err)
	}
	_, err = store.BeginEpoch(t.Context(), st, bus, store.NewEpoch{Listen: 500 * time.Millisecond, GiveUp: true})
	if err != nil {
		t.Errorf("giving it up: %v", err)
	}
	cancel()
	beating.Wait()
}

// writer is a replica that writes as fast as it can, and knows what was acknowledged.
type writer struct {
	*running
	acked atomic.Int64
	late  atomic.Int64 // acknowledged although the append began after the new epoch
	began atomic.Bool
}

func (w *writer) write(ctx context.Context, name string) {
	for i := 0; ctx.Err() == nil; i++ {
		log, state := w.Log(), w.State()
		if log == nil || w.Status().Phase != store.Live {
			time.Sleep(time.Millisecond)
			continue
		}
		late := w.began.Load()
		p := state.Position()
		data, _ := proto.Marshal(&pb.Entry{Epoch: p.Epoch, Founding: p.EpochID})
		limited, cancel := context.WithTimeout(ctx, time.Second)
		sequence, err := log.Append(limited, p.Sequence, "test", data, fmt.Sprintf("%s-%d", name, rand.Uint64()))
		if err == nil {
			if _, err = w.WaitFor(limited, sequence); err == nil {
				w.acked.Add(1)
			}
			if late {
				w.late.Add(1)
			}
		}
		cancel()
	}
}

// A log was created again, and a replica begins to write to it at the moment at which
// another begins a new epoch. Either its entries are seen, and nothing begins; or
// they are to be given up, and after the epoch has begun it gets no
// acknowledgement any more.
func TestNewEpochAgainstAWriter(t *testing.T) {
	if testing.Short() {
		t.Skip("many rounds")
	}
	refused, begun := 0, 0
	for round := range 24 {
		giveUp := round%2 == 1
		server, dir := streamtest.New(t), t.TempDir()
		a := run(t, server, config(dir))
		a.await(t, store.Live)
		a.append(t, put(t, "a", 1))
		a.append(t, put(t, "b", 1))
		a.stop()
		bus := server.Connect(t, "new-epoch")
		loseLog(t, server, bus)
		w := &writer{running: run(t, server, config(t.TempDir()))} // creates the log again
		w.await(t, store.Live)
		again := w.Log()
		ctx, cancel := context.WithCancel(t.Context())
		var writing sync.WaitGroup
		start := time.Duration(rand.IntN(12)) * time.Millisecond
		writing.Go(func() {
			time.Sleep(start)
			w.write(ctx, t.Name())
		})
		st := open(t, config(dir))
		_, err := store.BeginEpoch(t.Context(), st, bus, store.NewEpoch{Listen: time.Millisecond, GiveUp: giveUp})
		w.began.Store(true)
		acked := w.acked.Load()
		time.Sleep(50 * time.Millisecond) // time in which acknowledgements would come
		cancel()
		writing.Wait()
		switch {
		case err == nil:
			begun++
			if w.late.Load() > 0 || !giveUp && w.acked.Load() > 0 {
				t.Errorf("round %d, give up %t: epoch 2 began; %d writes to epoch 1 were acknowledged, %d of them afterwards", round, giveUp, w.acked.Load(), w.late.Load())
			}
		case errors.Is(err, store.ErrWouldLose) && !giveUp:
			refused++
			if _, last, err := again.Bounds(t.Context()); err != nil || int64(last) < acked {
				t.Errorf("round %d: refused, and the log has %d of %d entries, %v", round, last, acked, err)
			}
		case errors.Is(err, store.ErrOutrun): // on a slow machine
			refused++
		default:
			t.Errorf("round %d, give up %t: %v", round, giveUp, err)
		}
		_ = st.Close()
		w.stop()
		server.Stop(t)
	}
	t.Logf("%d refused, %d begun", refused, begun)
	if begun == 0 {
		t.Error("no epoch ever began")
	}
}

// new-epoch was killed after it had ended the epoch: no replica can write, also after a
// restart, until it is run again.
func TestNewEpochIsInterrupted(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	a := run(t, server, config(dir))
	a.await(t, store.Live)
	a.append(t, put(t, "a", 1))
	log := a.Log()
	p := a.State().Position()
	data, err := proto.Marshal(&pb.Entry{Epoch: p.Epoch, Founding: p.EpochID, EndsEpoch: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), 1, "end", data, "end-1"); err != nil {
		t.Fatal(err)
	}
	if s := a.await(t, store.Hold); s.Position.Sequence != 1 || !strings.Contains(s.Reason, "ended at sequence 2") {
		t.Errorf("%+v", s)
	}
	a.stop()
	again := run(t, server, config(dir))
	if s := again.await(t, store.Hold); s.Position.Sequence != 1 {
		t.Errorf("%+v", s)
	}
	again.stop()
	if _, err := store.BeginEpoch(t.Context(), stopped(t, dir), server.Connect(t, "new-epoch"), quick()); err != nil {
		t.Error(err)
	}
}

// The servers' data was restored from before: the log is a part of what the replica
// has, and is ended where it stands.
func TestNewEpochAfterARollback(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	a := run(t, server, config(dir))
	a.await(t, store.Live)
	a.append(t, put(t, "a", 1))
	server.Stop(t)
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(server.Dir())); err != nil {
		t.Fatal(err)
	}
	server.Start(t)
	a.await(t, store.Live)
	a.append(t, put(t, "b", 1))
	a.stop()
	server.Stop(t)
	server.SetDir(copied)
	server.Start(t)
	bus := server.Connect(t, "new-epoch")
	old, err := bus.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log, err := store.BeginEpoch(t.Context(), stopped(t, dir), bus, quick())
	if err != nil {
		t.Fatal(err)
	}
	if log.Identity().Epoch != 2 || log.First() != 3 {
		t.Errorf("%+v begins at %d", log.Identity(), log.First())
	}
	if _, last, err := old.Bounds(t.Context()); err != nil || last != 2 {
		t.Errorf("the old log ends at %d, %v; want the entry that ends it at 2", last, err)
	}
	if _, err := old.Append(t.Context(), 1, "test", nil, "late"); !errors.Is(err, stream.ErrConflict) {
		t.Errorf("an append after what a replica of the old epoch has: %v", err)
	}
}
