package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func startBench(b *testing.B) *ledger.Ledger {
	b.Helper()
	server, logger := streamtest.New(b), slog.New(slog.DiscardHandler)
	bus := server.Connect(b, "bench")
	if _, err := bus.CreateLog(b.Context(), 1, 1, 0); err != nil {
		b.Fatal(err)
	}
	st, err := store.Open(store.Config{Dir: b.TempDir(), Logger: logger})
	if err != nil {
		b.Fatal(err)
	}
	l := ledger.New(ledger.Config{Store: st, Logger: logger})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = st.Run(ctx, bus) })
	running.Go(func() { _ = l.Run(ctx) })
	b.Cleanup(func() {
		cancel()
		running.Wait()
		_ = st.Close()
	})
	for errors.Is(submit(b, l, command.Create{Resource: issuer()}), ledger.ErrUnavailable) {
		continue // until it is live
	}
	return l
}

func submit(b *testing.B, l *ledger.Ledger, cmd command.Command) error {
	b.Helper()
	_, err := l.Submit(b.Context(), cmd, ledger.Meta{})
	return err
}

// One write after another: the latency of a durable write.
func BenchmarkWrite(b *testing.B) {
	l := startBench(b)
	i := 0
	for b.Loop() {
		i++
		id := fmt.Sprintf("app-%d", i)
		if err := submit(b, l, command.Create{Resource: application(id, id)}); err != nil {
			b.Fatal(err)
		}
	}
}

// Chunks of an import: how many resources a second.
func BenchmarkImport(b *testing.B) {
	const chunk = 1000
	l := startBench(b)
	n := 0
	for b.Loop() {
		resources := make([]catalog.Resource, chunk)
		for i := range resources {
			n++
			resources[i] = &pb.Application{Id: fmt.Sprintf("app-%d", n), Name: "n", Clients: []*pb.Client{{Issuer: "idp", ClientId: fmt.Sprintf("c-%d", n)}}}
		}
		if err := submit(b, l, command.Import{Name: "bench", Resources: resources}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "resources/s")
}
