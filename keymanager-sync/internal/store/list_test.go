package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// fill writes n subscriptions of n/10 applications.
func fill(t *testing.T, r *running, n int) {
	t.Helper()
	var changes []*pb.Change
	for i := range n {
		resource, err := proto.Marshal(&pb.Subscription{
			Application: fmt.Sprintf("app-%d", i%(n/10)), Plan: "gold", Status: pb.Subscription_ACCEPTED,
		})
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, &pb.Change{Kind: pb.Kind_KIND_SUBSCRIPTION, Id: fmt.Sprintf("s-%06d", i), Version: 1, Resource: resource, CreatedAt: 1})
	}
	r.append(t, changes...)
}

func TestListPagesInOrder(t *testing.T) {
	const n = 2500
	r := run(t, streamtest.New(t), config(t.TempDir()))
	r.await(t, store.Live)
	r.append(t, put(t, "zzz", 1)) // another kind, a neighbour in the file
	fill(t, r, n)
	after, seen := "", 0
	for pages := 1; ; pages++ {
		page, err := r.List(store.Query{Kind: pb.Kind_KIND_SUBSCRIPTION, After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range page.Records {
			if want := fmt.Sprintf("s-%06d", seen); record.Ref().ID != want {
				t.Fatalf("record %d is %s, want %s", seen, record.Ref().ID, want)
			}
			seen++
		}
		if page.Next == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		after = page.Next
	}
	if seen != n {
		t.Errorf("%d records", seen)
	}
	page, err := r.List(store.Query{Kind: pb.Kind_KIND_APPLICATION})
	if err != nil || len(page.Records) != 1 || page.Next != "" {
		t.Errorf("applications: %d, next %q, %v", len(page.Records), page.Next, err)
	}
	for _, limit := range []int{-1, 1001} {
		if _, err := r.List(store.Query{Kind: pb.Kind_KIND_APPLICATION, Limit: limit}); err == nil {
			t.Errorf("limit %d is accepted", limit)
		}
	}
}

func TestListFilters(t *testing.T) {
	r := run(t, streamtest.New(t), config(t.TempDir()))
	r.await(t, store.Live)
	fill(t, r, 200)
	decoded := 0
	page, err := r.List(store.Query{
		Kind: pb.Kind_KIND_SUBSCRIPTION, Contains: []string{"app-7"},
		Match: func(record catalog.Record) bool {
			decoded++
			resource, _ := record.Decode()
			s, ok := resource.(*pb.Subscription)
			return ok && s.GetApplication() == "app-7"
		},
	})
	if err != nil || len(page.Records) != 10 {
		t.Errorf("%d records, %v", len(page.Records), err)
	}
	if decoded != 10 {
		t.Errorf("%d resources passed the sieve, want 10", decoded)
	}
}

func TestSnapshotIsExactAndKept(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.SnapshotAge, cfg.MaxDownloads = time.Minute, 2
	empty := open(t, config(t.TempDir()))
	if _, err := empty.Snapshot(t.Context()); !errors.Is(err, store.ErrEmpty) {
		t.Errorf("snapshot before joining: %v", err)
	}
	_ = empty.Close()
	r := run(t, streamtest.New(t), cfg)
	r.await(t, store.Live)
	r.append(t, put(t, "a", 1), broken("x"))
	first, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reader, err := snapshot.NewReader(bytes.NewReader(first.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	header := reader.Header()
	if header.GetStream() != "PORTCULLIS-000001" || header.GetSequence() != 1 || header.GetSetHash() != r.State().SetHash() {
		t.Errorf("header %v", header)
	}
	builder := catalog.NewBuilder(r.State().Position(), nil)
	for {
		change, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		builder.Add(change)
	}
	same(t, builder.State(), r.State())
	if want := fmt.Sprintf(`"1-1-%016x"`, r.State().SetHash()); first.ETag != want {
		t.Errorf("etag %s, want %s", first.ETag, want)
	}

	// Under writes the same bytes are handed out for a while.
	r.append(t, put(t, "b", 1))
	if again, err := r.Snapshot(t.Context()); err != nil || again != first {
		t.Errorf("built again within SnapshotAge, %v", err)
	}
	one, ok1 := r.Admit()
	_, ok2 := r.Admit()
	if _, ok3 := r.Admit(); !ok1 || !ok2 || ok3 {
		t.Errorf("admitted %t %t %t, want two", ok1, ok2, ok3)
	}
	one()
	one() // released once only
	_, ok4 := r.Admit()
	if _, ok5 := r.Admit(); !ok4 || ok5 {
		t.Errorf("after one release admitted %t %t, want one", ok4, ok5)
	}
}

func TestSnapshotIsRenewedWhenTheStateMoved(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.SnapshotAge = time.Nanosecond
	r := run(t, streamtest.New(t), cfg)
	r.await(t, store.Live)
	r.append(t, put(t, "a", 1))
	first, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if again, _ := r.Snapshot(t.Context()); again != first {
		t.Error("built again although nothing has changed")
	}
	r.append(t, put(t, "b", 1))
	time.Sleep(50 * time.Millisecond)
	if again, err := r.Snapshot(t.Context()); err != nil || again.Sequence != 2 {
		t.Errorf("snapshot %v, %v; want sequence 2", again, err)
	}
}
