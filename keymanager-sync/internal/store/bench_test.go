package store

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// large is a state of n subscriptions.
func large(b *testing.B, n int) *catalog.State {
	b.Helper()
	builder := catalog.NewBuilder(catalog.Position{Epoch: 1, EpochID: "f", Sequence: 1}, nil)
	for i := range n {
		resource, err := proto.Marshal(&pb.Subscription{
			Application: fmt.Sprintf("app-%d", i/10), Plan: fmt.Sprintf("plan-%d", i%10), Status: pb.Subscription_ACCEPTED,
		})
		if err != nil {
			b.Fatal(err)
		}
		raw, err := proto.Marshal(&pb.Change{Kind: pb.Kind_KIND_SUBSCRIPTION, Id: fmt.Sprintf("s-%07d", i), Version: 1, Resource: resource, CreatedAt: 1})
		if err != nil {
			b.Fatal(err)
		}
		builder.Add(string(raw))
	}
	return builder.State()
}

// BenchmarkMillion reports what the store costs with a million subscriptions.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	dir := b.TempDir()
	st, err := Open(Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	figures := map[string]float64{} // reported at the end: the loop resets what was reported before
	took := func(unit string, do func()) {
		began := time.Now()
		do()
		figures[unit] = float64(time.Since(began).Microseconds()) / 1000
	}
	state := large(b, n)
	took("replace-ms", func() { err = replace(st.disk, state) })
	if err != nil {
		b.Fatal(err)
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	took("open-ms", func() { st, err = Open(Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)}) })
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	took("snapshot-ms", func() { _, err = st.Snapshot(b.Context()) })
	if err != nil {
		b.Fatal(err)
	}
	took("all-pages-ms", func() { walk(b, st, n) })
	took("page-of-one-application-ms", func() {
		page, err := st.List(Query{
			Kind: pb.Kind_KIND_SUBSCRIPTION, After: "s-0500000", Contains: []string{"app-60000"}, Limit: 1000,
		})
		if err != nil || len(page.Records) != 10 {
			b.Fatalf("%d records, %v", len(page.Records), err)
		}
	})
	figures["file-MiB"] = st.disk.size() / (1 << 20)
	after := state.At(catalog.Position{Epoch: 1, EpochID: "f", Sequence: 2})
	touched := map[catalog.Ref]struct{}{{Kind: pb.Kind_KIND_SUBSCRIPTION, ID: "s-0777777"}: {}}
	for b.Loop() {
		if err := st.disk.write(update{before: state, after: after, touched: touched}); err != nil {
			b.Fatal(err)
		}
	}
	for unit, value := range figures {
		b.ReportMetric(value, unit)
	}
}

func walk(b *testing.B, st *Store, want int) {
	b.Helper()
	seen, after := 0, ""
	for {
		page, err := st.List(Query{Kind: pb.Kind_KIND_SUBSCRIPTION, After: after, Limit: 1000})
		if err != nil {
			b.Fatal(err)
		}
		seen += len(page.Records)
		if after = page.Next; after == "" {
			break
		}
	}
	if seen != want {
		b.Fatalf("%d records", seen)
	}
}
