package view

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

func remembering(t *testing.T) *View {
	t.Helper()
	v, err := Open(Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func write(t *testing.T, v *View, memories ...memory) {
	t.Helper()
	if err := v.disk.write(step{before: v.State(), after: v.State(), memories: memories}); err != nil {
		t.Fatal(err)
	}
}

// replace puts another state in the place of the file, with all its memories.
func replace(d *disk, state *catalog.State) error {
	fresh, err := d.prepare(state, math.MaxUint64)
	if err != nil {
		return err
	}
	return d.install(fresh)
}

func knows(t *testing.T, v *View, key string) bool {
	t.Helper()
	_, ok, err := v.Remembered(key)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestMemoriesAreForgottenWithAge(t *testing.T) {
	v, now := remembering(t), time.Now()
	at := func(i int, age time.Duration) memory {
		return memory{key: fmt.Sprintf("key-%d", i), Memory: Memory{Sequence: uint64(i), Time: now.Add(-age), Command: "c"}}
	}
	write(t, v, at(1, 8*24*time.Hour))
	if knows(t, v, "key-2") {
		t.Fatal("what was never written is remembered")
	}
	write(t, v, at(2, 6*24*time.Hour), at(3, 0))
	if knows(t, v, "key-1") || !knows(t, v, "key-2") || !knows(t, v, "key-3") {
		t.Errorf("after a week: %t %t %t, want the first forgotten", knows(t, v, "key-1"), knows(t, v, "key-2"), knows(t, v, "key-3"))
	}
}

func TestMemoriesAreBounded(t *testing.T) {
	v, now := remembering(t), time.Now()
	write(t, v, memory{key: "first", Memory: Memory{Sequence: 1, Time: now}}, memory{key: "second", Memory: Memory{Sequence: 2, Time: now}})
	// As if there were as many as there may be.
	err := v.disk.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyMemories), binary.BigEndian.AppendUint64(nil, memoryLimit))
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, v, memory{key: "third", Memory: Memory{Sequence: 3, Time: now}})
	if knows(t, v, "first") || !knows(t, v, "second") || !knows(t, v, "third") {
		t.Error("want exactly the oldest forgotten")
	}
}

// The first transaction of a key is the one that was carried out.
func TestFirstMemoryStands(t *testing.T) {
	v, now := remembering(t), time.Now()
	write(t, v, memory{key: "k", Memory: Memory{Sequence: 1, Time: now, Command: "one"}})
	write(t, v, memory{key: "k", Memory: Memory{Sequence: 2, Time: now, Command: "two"}})
	if m, ok, err := v.Remembered("k"); err != nil || !ok || m.Sequence != 1 || m.Command != "one" {
		t.Errorf("remembered %+v, %v", m, err)
	}
}

// What cannot be made durable is not shown, and stops the view.
func TestFailingDiskShowsNothing(t *testing.T) {
	v := remembering(t)
	before := v.State().At(catalog.Position{Epoch: 1, EpochID: "f"})
	v.state.Store(before)
	entry, err := proto.Marshal(&pb.Entry{Epoch: 1, Founding: "f", Transactions: []*pb.Transaction{{
		Changes: []*pb.Change{{Kind: pb.Kind_KIND_APPLICATION, Id: "a", Version: 1}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.disk.close(); err != nil {
		t.Fatal(err)
	}
	err = v.fold([]stream.Message{{Sequence: 1, ID: "x", Data: entry}})
	if _, ok := errors.AsType[*HoldError](err); !ok || v.State() != before {
		t.Errorf("fold: %v, state at %s", err, v.State().Position())
	}
	v.trouble(err)
	if s := v.Status(); s.Phase != Hold || s.Reason == "" {
		t.Errorf("status %+v", s)
	}
}
