package fleet_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// keeper is a replica that also records who belongs to the fleet.
type keeper struct {
	*fleet.Fleet
	store  *store.Store
	ledger *ledger.Ledger
	stop   func()
}

func keep(t *testing.T, server *streamtest.Server, name, dir string, forgetAfter time.Duration) *keeper {
	t.Helper()
	bus, logger := server.Connect(t, name), slog.New(slog.DiscardHandler)
	if _, err := bus.CreateLog(t.Context(), 1, 1, 0); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(store.Config{Dir: dir, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{
		store: st, ledger: ledger.New(ledger.Config{Store: st, Logger: logger}),
		Fleet: fleet.New(fleet.Config{Bus: bus, Store: st, Replica: name, Logger: logger, ForgetAfter: forgetAfter}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = st.Run(ctx, bus) })
	running.Go(func() { _ = k.ledger.Run(ctx) })
	running.Go(func() { _ = k.Fleet.Run(ctx) })
	running.Go(func() { _ = k.KeepMembers(ctx, k.submit) })
	k.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		_ = st.Close()
		bus.Close()
	})
	t.Cleanup(k.stop)
	until(t, "the store is live", func() bool { return st.Status().Phase == store.Live })
	return k
}

func (k *keeper) submit(ctx context.Context, cmd command.Command) error {
	_, err := k.ledger.Submit(ctx, cmd, ledger.Meta{Actor: "test"})
	return err
}

func (k *keeper) members() (ids []string) {
	for record := range k.store.State().All(pb.Kind_KIND_MEMBER) {
		ids = append(ids, record.Ref().ID)
	}
	slices.Sort(ids)
	return ids
}

func (k *keeper) member(id string) *pb.Member {
	m, _ := catalog.Lookup[*pb.Member](k.store.State(), pb.Kind_KIND_MEMBER, id)
	return m
}

func (k *keeper) wait(t *testing.T, sequence uint64) *fleet.Applied {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return k.WaitApplied(ctx, fleet.Change{Epoch: 1, Sequence: sequence})
}

// A node that cannot be heard is known after a restart, and to a replica that never
// heard it, until it is removed; a node that leaves in good order is not.
func TestMembersAreKnownDurably(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	a := keep(t, server, "a", dir, 0)
	cut, stays := newNode(t, server, "cut-off", 0), newNode(t, server, "stays", 0)
	cut.set(func(b *pb.Heartbeat) { b.Version = "v1" })
	until(t, "both are recorded", func() bool { return slices.Equal(a.members(), []string{"cut-off", "stays"}) })
	at := a.store.State().Position().Sequence
	stays.set(func(b *pb.Heartbeat) { b.Sequence = 9 })
	cut.stop()
	a.stop()

	b, a := keep(t, server, "b", t.TempDir(), 0), keep(t, server, "a", dir, 0)
	for _, k := range []*keeper{a, b} {
		if got := k.wait(t, at); !slices.Equal(got.Silent, []string{"cut-off"}) || !slices.Equal(got.Nodes, []string{"stays"}) {
			t.Errorf("%+v", got)
		}
		n := k.Report().Nodes[0]
		if n.Heartbeat.GetNode() != "cut-off" || n.Live || !n.Unheard || !n.Member || n.Joined.IsZero() || n.Heartbeat.GetVersion() != "v1" {
			t.Errorf("reported as %+v", n)
		}
	}
	// It goes on as the member that it was, without another entry.
	joined := a.member("cut-off").GetJoinedAt().AsTime()
	back := newNode(t, server, "cut-off", 9)
	back.set(func(b *pb.Heartbeat) { b.Version = "v1" })
	until(t, "it is heard again", func() bool { return a.Live("cut-off") && b.Live("cut-off") })
	back.stop()
	if got := a.member("cut-off").GetJoinedAt().AsTime(); !got.Equal(joined) || a.store.State().Position().Sequence != at {
		t.Errorf("joined %s, was %s; sequence %d, was %d", got, joined, a.store.State().Position().Sequence, at)
	}
	until(t, "it is silent", func() bool { return !a.Live("cut-off") && !b.Live("cut-off") })
	if err := a.submit(t.Context(), command.Members{Gone: []string{"cut-off"}}); err != nil {
		t.Fatal(err)
	}
	stays.stop()
	stays.set(func(b *pb.Heartbeat) { b.Left = true })
	for _, k := range []*keeper{a, b} {
		until(t, "nobody is left", func() bool { return len(k.members()) == 0 })
		if got := k.wait(t, at); len(got.Silent)+len(got.Nodes) > 0 {
			t.Errorf("after all are gone: %+v", got)
		}
		if nodes := k.Report().Nodes; len(nodes) > 0 {
			t.Errorf("after all are gone: %+v", nodes)
		}
	}
}

// A hundred nodes that start together cost a few entries, whatever the number of replicas.
func TestMembersJoinTogether(t *testing.T) {
	server := streamtest.New(t)
	a, b := keep(t, server, "a", t.TempDir(), 0), keep(t, server, "b", t.TempDir(), 0)
	until(t, "a leads", a.Leader)
	bus := server.Connect(t, "nodes")
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = "gw-" + string(rune('a'+i/10)) + string(rune('a'+i%10))
	}
	until(t, "all are recorded", func() bool {
		for _, id := range ids {
			_ = bus.PublishHeartbeat(&pb.Heartbeat{Node: id, Epoch: 1, State: pb.Heartbeat_LIVE, StartedAt: 1})
		}
		return slices.Equal(a.members(), ids) && slices.Equal(b.members(), ids)
	})
	if n := a.store.State().Position().Sequence; n > 5 {
		t.Errorf("%d entries for 100 nodes", n)
	}
}

// Where nodes are forgotten, it is after the silence that was set.
func TestSilentMembersAreForgottenWhenAskedTo(t *testing.T) {
	server := streamtest.New(t)
	a := keep(t, server, "a", t.TempDir(), 6*time.Second)
	n, other := newNode(t, server, "n", 0), newNode(t, server, "other", 0)
	until(t, "both are recorded", func() bool { return slices.Equal(a.members(), []string{"n", "other"}) })
	n.stop()
	stopped := time.Now()
	until(t, "it is forgotten", func() bool { return slices.Equal(a.members(), []string{"other"}) })
	if silent := time.Since(stopped); silent < 5*time.Second {
		t.Errorf("forgotten after %s", silent)
	}
	other.stop()
}
