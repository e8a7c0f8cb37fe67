package store_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// keep makes the log forget all but its last messages.
func keep(t *testing.T, server *streamtest.Server, name string, count int64) {
	t.Helper()
	js := jetStream(t, server)
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.MaxMsgs, config.Discard = count, jetstream.DiscardOld
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

// keyed appends an entry whose transaction has an idempotency key.
func (r *running) keyed(t *testing.T, key string) {
	t.Helper()
	p := r.State().Position()
	data, err := proto.Marshal(&pb.Entry{Epoch: p.Epoch, Founding: p.EpochID, Transactions: []*pb.Transaction{{
		Actor: "test", IdempotencyKey: key, Command: "create " + key, Time: time.Now().UnixMilli(), Changes: []*pb.Change{put(t, key, 1)},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	r.appendRaw(t, data)
}

func knownKeys(t *testing.T, st *store.Store, keys ...string) string {
	t.Helper()
	var known []string
	for _, key := range keys {
		if _, ok, err := st.Remembered(key); err != nil {
			t.Fatal(err)
		} else if ok {
			known = append(known, key)
		}
	}
	return strings.Join(known, " ")
}

// A snapshot says nothing of idempotency keys. A replica that takes one knows
// those that it knew, and those that the log still holds.
func TestSnapshotForgetsNoKey(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	leader := run(t, server, config(t.TempDir()))
	leader.await(t, store.Live)
	away := run(t, server, config(dir))
	away.await(t, store.Live)
	leader.keyed(t, "k1")
	if _, err := away.WaitFor(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	away.stop()
	for n := 2; n <= 6; n++ {
		leader.keyed(t, fmt.Sprintf("k%d", n))
	}
	keep(t, server, leader.Log().Identity().Stream, 3) // 4, 5 and 6
	url := serveSnapshots(t, leader.Store)
	for name, want := range map[string]struct{ dir, known string }{
		"long away": {dir, "k1 k4 k5 k6 k7"}, "empty disk": {t.TempDir(), "k4 k5 k6 k7"},
	} {
		cfg := config(want.dir)
		cfg.Peers, cfg.PeerToken = []string{url}, "secret"
		joined := run(t, server, cfg)
		joined.await(t, store.Live)
		if leader.State().Position().Sequence == 6 {
			keep(t, server, leader.Log().Identity().Stream, 4)
			leader.keyed(t, "k7")
		}
		if _, err := joined.WaitFor(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		if got := knownKeys(t, joined.Store, "k1", "k2", "k3", "k4", "k5", "k6", "k7"); got != want.known {
			t.Errorf("%s: knows %s, want %s", name, got, want.known)
		}
		joined.stop()
	}
}

// What a replica had beyond the one that began the next epoch was given up, so
// its keys must not say that it was carried out.
func TestKeysOfWhatWasGivenUpAreForgotten(t *testing.T) {
	server, dir, behind := streamtest.New(t), t.TempDir(), t.TempDir()
	ahead := run(t, server, config(dir))
	ahead.await(t, store.Live)
	founder := run(t, server, config(behind))
	founder.await(t, store.Live)
	ahead.keyed(t, "kept")
	if _, err := founder.WaitFor(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	founder.stop()
	ahead.keyed(t, "given-up")
	ahead.stop()
	st := open(t, config(behind))
	beginEpoch(t, server, st)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	leader := run(t, server, config(behind))
	leader.await(t, store.Live)
	leader.keyed(t, "new")
	leader.keyed(t, "newer")
	cfg := config(dir)
	cfg.Peers, cfg.PeerToken = []string{serveSnapshots(t, leader.Store)}, "secret"
	joined := run(t, server, cfg)
	joined.await(t, store.Live)
	same(t, joined.State(), leader.State())
	if got := knownKeys(t, joined.Store, "kept", "given-up", "new", "newer"); got != "kept new newer" {
		t.Errorf("knows %s, want kept new newer", got)
	}
}

// A peer's snapshot from before the log begins is of no use: it is not taken,
// and the file on disk stays as it is.
func TestSnapshotThatIsTooOldIsNotTaken(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	leader := run(t, server, config(t.TempDir()))
	leader.await(t, store.Live)
	away := run(t, server, config(dir))
	away.await(t, store.Live)
	leader.keyed(t, "k1")
	if _, err := away.WaitFor(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	away.stop()
	leader.keyed(t, "k2")
	old, err := leader.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := 3; n <= 6; n++ {
		leader.keyed(t, fmt.Sprintf("k%d", n))
	}
	keep(t, server, leader.Log().Identity().Stream, 2) // 5 and 6
	var mu sync.Mutex
	served, asked := old.Bytes, 0
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		_, _ = w.Write(served)
	}))
	t.Cleanup(peer.Close)
	cfg := config(dir)
	cfg.Peers = []string{peer.URL}
	joined := run(t, server, cfg)
	if s := joined.await(t, store.Hold); !strings.Contains(s.Reason, "snapshot is of sequence 2") {
		t.Errorf("reason %q", s.Reason)
	}
	time.Sleep(time.Second)
	mu.Lock()
	if asked > 3 {
		t.Errorf("asked %d times within a second", asked)
	}
	mu.Unlock()
	if _, err := os.Stat(filepath.Join(dir, "view.db.before")); err == nil || joined.State().Position().Sequence != 1 {
		t.Errorf("the file was replaced: %v, at %s", err, joined.State().Position())
	}
	current, err := leader.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); current.Sequence < 6 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if current, err = leader.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	served = current.Bytes
	mu.Unlock()
	joined.await(t, store.Live)
	same(t, joined.State(), leader.State())
}

// record keeps what is logged.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// Replicas of a new fleet start together. Only one can be first; the others
// hear of its log while they listen, and just follow it.
func TestReplicasStartTogetherQuietly(t *testing.T) {
	server := streamtest.New(t)
	text := new(record)
	replicas := make([]*running, 3)
	for i := range replicas {
		cfg := config(t.TempDir())
		cfg.Logger = slog.New(slog.NewTextHandler(text, nil))
		replicas[i] = firstRun(t, server, cfg)
		bus, st := replicas[i].bus, replicas[i].Store
		stop, told := make(chan struct{}), make(chan struct{})
		t.Cleanup(func() {
			close(stop)
			<-told
		})
		go func() { // its heads, as the fleet's table sends them
			defer close(told)
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				if p := st.State().Position(); p.Epoch > 0 {
					_ = bus.PublishHead(&pb.Head{Epoch: p.Epoch, Founding: p.EpochID, Sequence: p.Sequence, Replica: "r"})
				}
			}
		}()
		time.Sleep(300 * time.Millisecond) // not quite together
	}
	began := time.Now()
	for _, r := range replicas {
		r.await(t, store.Live)
	}
	if d := time.Since(began); d > 4*time.Second {
		t.Errorf("all are live only after %s", d)
	}
	if strings.Contains(text.String(), "level=ERROR") || strings.Contains(text.String(), "phase=HOLD") {
		t.Errorf("a start is not quiet:\n%s", text)
	}
}
