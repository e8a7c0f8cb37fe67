//go:build unix

package feed

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// BenchmarkJournal is what the journal costs a node with 100,000 subscriptions.
//
// "entry" is an entry's way to the disk, together with 19 others and their fsync.
// The others apply 2,000 changes a second, in batches of 20, and a heartbeat waits
// for one of each ("awaited") or for none ("unheeded"); an operation is a second
// with and a second without a journal. They report the processor time, in percent of
// one processor, and the time from an entry's arrival to its heartbeat. Run them
// with -benchtime 5x or more: they report medians.
func BenchmarkJournal(b *testing.B) {
	builder := catalog.NewBuilder(catalog.Position{Epoch: 1, EpochID: "f"}, nil)
	for i := range 10_000 {
		builder.Add(encoded(b, &pb.Application{Clients: []*pb.Client{{Issuer: "acme", ClientId: fmt.Sprint("client-", i)}}}, fmt.Sprint("app-", i)))
		for j := range 10 {
			builder.Add(subscription(b, i, j, pb.Subscription_ACCEPTED))
		}
	}
	state := builder.State()
	b.Run("entry", func(b *testing.B) { benchmarkEntry(b, state) })
	for name, awaited := range map[string]bool{"parallel-awaited": true, "parallel-unheeded": false} {
		b.Run(name, func(b *testing.B) { benchmarkPaced(b, state, awaited) })
	}
}

// pausesOf are entries of one change each; every twentieth is awaited if that is asked for.
func pausesOf(b *testing.B, n int, awaited bool) []stream.Message {
	b.Helper()
	all := make([]stream.Message, n)
	for i := range all {
		c := new(pb.Change)
		if err := proto.Unmarshal([]byte(subscription(b, i%10_000, i%10, pb.Subscription_PAUSED)), c); err != nil {
			b.Fatal(err)
		}
		data, err := proto.Marshal(&pb.Entry{
			Epoch: 1, Founding: "f", Awaited: awaited && i%20 == 19,
			Transactions: []*pb.Transaction{{Actor: "admin", Command: "pause", Changes: []*pb.Change{c}}},
		})
		if err != nil {
			b.Fatal(err)
		}
		all[i] = stream.Message{Sequence: uint64(i + 1), Data: data}
	}
	return all
}

func newBenched(b *testing.B, state *catalog.State, journal bool) *Feed {
	b.Helper()
	pool := fast.NewPool()
	b.Cleanup(pool.Close)
	cfg := Config{
		NodeID: "gw-1", Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
		Compiler: &Compiler{Upstreams: pool.Prepare}, Counters: func() (uint64, uint64) { return 0, 0 },
	}
	if journal {
		var err error
		if cfg.Disk, err = snapshot.OpenDir(b.TempDir()); err != nil {
			b.Fatal(err)
		}
	}
	feed := New(cfg)
	if err := feed.install(state); err != nil {
		b.Fatal(err)
	}
	if journal {
		feed.recorder.loaded(state.Position())
	}
	return feed
}

func benchmarkEntry(b *testing.B, state *catalog.State) {
	b.Helper()
	feed := newBenched(b, state, true)
	journal := feed.cfg.Disk.Journal()
	defer journal.Close()
	entries := pausesOf(b, 20, true)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if n++; n%len(entries) == 0 {
			feed.recorder.applied(entries, true)
			feed.recorder.flush(journal)
			for i := range entries {
				entries[i].Sequence += uint64(len(entries))
			}
		}
	}
}

func benchmarkPaced(b *testing.B, state *catalog.State, awaited bool) {
	b.Helper()
	entries := pausesOf(b, 2000, awaited)
	var cpu, late [2][]float64
	for b.Loop() {
		for i, journal := range []bool{false, true} {
			used, worst := second(b, newBenched(b, state, journal), entries)
			cpu[i], late[i] = append(cpu[i], used.Seconds()*100), append(late[i], float64(worst.Microseconds())/1000)
		}
	}
	ratios := func(of [2][]float64) float64 {
		all := make([]float64, len(of[0]))
		for i := range all {
			all[i] = of[1][i] / of[0][i]
		}
		return median(all)
	}
	b.ReportMetric(median(cpu[0]), "%cpu-without")
	b.ReportMetric(median(cpu[1]), "%cpu-with")
	b.ReportMetric(ratios(cpu), "cpu-ratio")
	if awaited {
		b.ReportMetric(median(late[0]), "p99-ms-without")
		b.ReportMetric(median(late[1]), "p99-ms-with")
		b.ReportMetric(ratios(late), "p99-ratio")
	}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// second applies entries for a second, and returns the processor time that took and
// the 99th percentile of the times until a heartbeat named an awaited one.
func second(b *testing.B, feed *Feed, entries []stream.Message) (cpu, p99 time.Duration) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var g sync.WaitGroup
	if feed.recorder != nil {
		g.Go(func() { feed.recorder.run(ctx) })
	}
	const batch = 20
	arrived := make([]time.Time, len(entries)/batch)
	var mu sync.Mutex
	var waits []time.Duration
	g.Go(func() {
		for named := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-feed.beat:
			}
			raw, err := proto.Marshal(feed.heartbeat())
			if err != nil || len(raw) == 0 {
				panic(err)
			}
			sequence := int(feed.heartbeat().GetSequence())
			mu.Lock()
			for ; named < sequence/batch; named++ {
				waits = append(waits, time.Since(arrived[named]))
			}
			mu.Unlock()
		}
	})
	breath, err := newBreather()
	if err != nil {
		b.Fatal(err)
	}
	defer breath.close()
	before := processorTime(b)
	tick := time.NewTicker(time.Second / time.Duration(len(arrived)))
	defer tick.Stop()
	for i := range arrived {
		<-tick.C
		mu.Lock()
		arrived[i] = time.Now()
		mu.Unlock()
		if err := feed.applyBatch(entries[i*batch:(i+1)*batch], breath); err != nil {
			b.Fatal(err)
		}
	}
	<-tick.C
	cpu = processorTime(b) - before
	cancel()
	g.Wait()
	if len(waits) == 0 {
		return cpu, 0
	}
	slices.Sort(waits)
	return cpu, waits[len(waits)*99/100]
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
