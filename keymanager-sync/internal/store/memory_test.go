package store

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

func remembering(t *testing.T) *Store {
	t.Helper()
	st, err := Open(Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func write(t *testing.T, st *Store, memories ...memory) {
	t.Helper()
	if err := st.disk.write(update{before: st.State(), after: st.State(), memories: memories}); err != nil {
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

func knows(t *testing.T, st *Store, key string) bool {
	t.Helper()
	_, ok, err := st.Remembered(key)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestMemoriesAreForgottenWithAge(t *testing.T) {
	st, now := remembering(t), time.Now()
	at := func(i int, age time.Duration) memory {
		return memory{key: fmt.Sprintf("key-%d", i), Memory: Memory{Sequence: uint64(i), Time: now.Add(-age), Command: "c"}}
	}
	write(t, st, at(1, 8*24*time.Hour))
	if knows(t, st, "key-2") {
		t.Fatal("what was never written is remembered")
	}
	write(t, st, at(2, 6*24*time.Hour), at(3, 0))
	if knows(t, st, "key-1") || !knows(t, st, "key-2") || !knows(t, st, "key-3") {
		t.Errorf("after a week: %t %t %t, want the first forgotten", knows(t, st, "key-1"), knows(t, st, "key-2"), knows(t, st, "key-3"))
	}
}

func TestMemoriesAreBounded(t *testing.T) {
	st, now := remembering(t), time.Now()
	write(t, st, memory{key: "first", Memory: Memory{Sequence: 1, Time: now}}, memory{key: "second", Memory: Memory{Sequence: 2, Time: now}})
	// As if there were as many as there may be.
	err := st.disk.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyMemories), binary.BigEndian.AppendUint64(nil, memoryLimit))
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, st, memory{key: "third", Memory: Memory{Sequence: 3, Time: now}})
	if knows(t, st, "first") || !knows(t, st, "second") || !knows(t, st, "third") {
		t.Error("want exactly the oldest forgotten")
	}
}

// The first transaction of a key is the one that was carried out.
func TestFirstMemoryStands(t *testing.T) {
	st, now := remembering(t), time.Now()
	write(t, st, memory{key: "k", Memory: Memory{Sequence: 1, Time: now, Command: "one"}})
	write(t, st, memory{key: "k", Memory: Memory{Sequence: 2, Time: now, Command: "two"}})
	if m, ok, err := st.Remembered("k"); err != nil || !ok || m.Sequence != 1 || m.Command != "one" {
		t.Errorf("remembered %+v, %v", m, err)
	}
}

// What cannot be made durable is not shown, and stops the store.
func TestFailingDiskShowsNothing(t *testing.T) {
	st := remembering(t)
	before := st.State().At(catalog.Position{Epoch: 1, EpochID: "f"})
	st.state.Store(before)
	entry, err := proto.Marshal(&pb.Entry{Epoch: 1, Founding: "f", Transactions: []*pb.Transaction{{
		Changes: []*pb.Change{{Kind: pb.Kind_KIND_APPLICATION, Id: "a", Version: 1}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.disk.close(); err != nil {
		t.Fatal(err)
	}
	err = st.fold([]stream.Message{{Sequence: 1, ID: "x", Data: entry}})
	if _, ok := errors.AsType[*HoldError](err); !ok || st.State() != before {
		t.Errorf("fold: %v, state at %s", err, st.State().Position())
	}
	st.trouble(err)
	if s := st.Status(); s.Phase != Hold || s.Reason == "" {
		t.Errorf("status %+v", s)
	}
}
