package feed

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// BenchmarkApplyBatch is all that a node does with entries of one change each when
// they have arrived: fold, compile, publish; over a million subscriptions. An
// operation is one change.
func BenchmarkApplyBatch(b *testing.B) {
	builder := catalog.NewBuilder(catalog.Position{Epoch: 1, EpochID: "f"}, nil)
	for i := range 100_000 {
		builder.Add(encoded(b, &pb.Application{Clients: []*pb.Client{{Issuer: "acme", ClientId: fmt.Sprint("client-", i)}}}, fmt.Sprint("app-", i)))
		for j := range 10 {
			builder.Add(subscription(b, i, j, pb.Subscription_ACCEPTED))
		}
	}
	state := builder.State()
	entries := make([][]byte, 200_000)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range entries {
		c := new(pb.Change)
		raw := subscription(b, rnd.IntN(100_000), rnd.IntN(10), []pb.Subscription_Status{pb.Subscription_ACCEPTED, pb.Subscription_PAUSED}[rnd.IntN(2)])
		if err := proto.Unmarshal([]byte(raw), c); err != nil {
			b.Fatal(err)
		}
		data, err := proto.Marshal(&pb.Entry{Epoch: 1, Founding: "f", Transactions: []*pb.Transaction{{Actor: "admin", Command: "pause", Changes: []*pb.Change{c}}}})
		if err != nil {
			b.Fatal(err)
		}
		entries[i] = data
	}
	for _, size := range []int{1, 4, 20, 100} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			pool := fast.NewPool()
			defer pool.Close()
			feed := New(Config{
				Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()), Compiler: &Compiler{Upstreams: pool.Prepare},
			})
			if err := feed.install(state); err != nil {
				b.Fatal(err)
			}
			breath, err := newBreather()
			if err != nil {
				b.Fatal(err)
			}
			defer breath.close()
			sequence, batch := uint64(0), make([]stream.Message, 0, size)
			b.ReportAllocs()
			for b.Loop() {
				batch = append(batch, stream.Message{Sequence: sequence + 1, Data: entries[sequence%uint64(len(entries))]})
				sequence++
				if len(batch) < size {
					continue
				}
				if err := feed.applyBatch(batch, breath); err != nil {
					b.Fatal(err)
				}
				batch = batch[:0]
			}
		})
	}
}

func encoded(b *testing.B, r catalog.Resource, id string) string {
	b.Helper()
	content, err := proto.Marshal(r)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := proto.Marshal(&pb.Change{Kind: catalog.KindOf(r), Id: id, Version: 1, Resource: content, CreatedAt: 1_700_000_000})
	if err != nil {
		b.Fatal(err)
	}
	return string(raw)
}

func subscription(b *testing.B, i, j int, status pb.Subscription_Status) string {
	b.Helper()
	return encoded(b, &pb.Subscription{Application: fmt.Sprint("app-", i), Plan: fmt.Sprint("plan-", (i+7*j)%100), Status: status}, fmt.Sprintf("sub-%d-%d", i, j))
}
