package issuers

import (
	"context"
	"log/slog"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Revocations removed by one command.
const sweepBatch = 1000

func (k *Keeper) sweepRegularly(ctx context.Context) {
	for {
		if pause(ctx, k.cfg.SweepInterval) != nil {
			return
		}
		if err := k.sweep(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "expired revocations could not be removed", slog.Any("error", err))
		}
	}
}

// sweep removes the revocations that ended long enough ago, batch by batch.
func (k *Keeper) sweep(ctx context.Context) error {
	before := time.Now().Add(-k.cfg.SweepGrace)
	ended := endedBefore(k.cfg.View.State(), before)
	for len(ended) > 0 {
		batch := ended[:min(len(ended), sweepBatch)]
		ended = ended[len(batch):]
		limited, cancel := context.WithTimeout(ctx, submitTimeout)
		result, err := k.cfg.Ledger.Submit(limited, command.Sweep{Revocations: batch, Before: before}, ledger.Meta{Actor: actor})
		cancel()
		if err != nil {
			return err
		}
		k.metrics.swept.Add(float64(len(result.Changes)))
	}
	return nil
}

func endedBefore(s *catalog.State, before time.Time) []string {
	var ids []string
	for record := range s.All(pb.Kind_KIND_REVOCATION) {
		resource, err := record.Decode()
		if r, ok := resource.(*pb.Revocation); ok && err == nil && command.Expired(r, before) {
			ids = append(ids, r.GetId())
		}
	}
	return ids
}
