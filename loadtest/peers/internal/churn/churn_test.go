//go:build linux

package churn

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/world"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// TestEntry: a node understands every change, and each has an effect.
func TestEntry(t *testing.T) {
	w := &writer{sizes: world.Sizes{Apis: 10, Applications: 30, Subscriptions: 10}, begun: time.Now(), identity: stream.Identity{Epoch: 3, EpochID: "f"}}
	state := catalog.NewBuilder(catalog.Position{Epoch: 3, EpochID: "f", Sequence: 7}, nil).State()
	kinds, paused := map[pb.Kind]int{}, 0
	for n := range uint64(4) {
		data, err := w.entry()
		if err != nil {
			t.Fatal(err)
		}
		before := state.SetHash()
		var effects catalog.Effects
		if state, effects, err = state.Apply(8+n, data); err != nil {
			t.Fatal(err)
		}
		if len(effects.Rejects) > 0 || len(effects.Touched) != group || state.SetHash() == before {
			t.Fatalf("%d rejected (%+v), %d touched", len(effects.Rejects), effects.Rejects, len(effects.Touched))
		}
		var e pb.Entry
		if err := proto.Unmarshal(data, &e); err != nil {
			t.Fatal(err)
		}
		for _, tx := range e.GetTransactions() {
			c := tx.GetChanges()[0]
			kinds[c.GetKind()]++
			if c.GetRestrictive() {
				paused++
			}
		}
	}
	all := 4 * group
	if s := kinds[pb.Kind_KIND_SUBSCRIPTION]; s < all*69/100 || s > all*71/100 || paused < s*4/10 || paused > s*6/10 {
		t.Errorf("%v of %d, %d pauses", kinds, all, paused)
	}
	if kinds[pb.Kind_KIND_APPLICATION] < all*19/100 || kinds[pb.Kind_KIND_REVOCATION] < all*9/100 {
		t.Errorf("%v of %d", kinds, all)
	}
}
