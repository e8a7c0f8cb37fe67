package issuers

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Revocations removed, or subscriptions closed, by one command.
const sweepBatch = 1000

func (k *Keeper) sweepRegularly(ctx context.Context) {
	var clean catalog.Position // of the last state without an orphan
	for {
		if pause(ctx, k.cfg.SweepInterval) != nil {
			return
		}
		if err := k.sweep(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "expired revocations could not be removed", slog.Any("error", err))
		}
		var err error
		if clean, err = k.closeOrphans(ctx, clean); err != nil && ctx.Err() == nil {
			k.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "subscriptions of closed plans could not be closed", slog.Any("error", err))
		}
	}
}

// sweep removes the revocations that ended long enough ago.
func (k *Keeper) sweep(ctx context.Context) error {
	before := time.Now().Add(-k.cfg.SweepGrace)
	swept, err := k.inBatches(ctx, endedBefore(k.cfg.Store.State(), before), func(ids []string) command.Command {
		return command.Sweep{Revocations: ids, Before: before}
	})
	k.metrics.swept.Add(float64(swept))
	return err
}

// closeOrphans closes the open subscriptions of closed plans: the closing of a
// plan takes only so many with it as fit into one entry. Nothing is looked for in
// a state that was found clean; the position of such a state is returned.
func (k *Keeper) closeOrphans(ctx context.Context, clean catalog.Position) (catalog.Position, error) {
	state := k.cfg.Store.State()
	if state.Position() == clean {
		return clean, nil
	}
	orphans := orphansIn(state)
	if len(orphans) == 0 {
		return state.Position(), nil
	}
	closed, err := k.inBatches(ctx, orphans, func(ids []string) command.Command {
		return command.CloseOrphans{Subscriptions: ids}
	})
	k.metrics.closed.Add(float64(closed))
	if closed > 0 {
		k.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "subscriptions of closed plans closed", slog.Int("subscriptions", closed))
	}
	return clean, err
}

// inBatches submits a command for each batch of ids, and counts the changes.
func (k *Keeper) inBatches(ctx context.Context, ids []string, cmd func([]string) command.Command) (changes int, err error) {
	for batch := range slices.Chunk(ids, sweepBatch) {
		limited, cancel := context.WithTimeout(ctx, submitTimeout)
		result, err := k.cfg.Ledger.Submit(limited, cmd(batch), ledger.Meta{Actor: actor})
		cancel()
		if err != nil {
			return changes, err
		}
		changes += len(result.Changes)
	}
	return changes, nil
}

func orphansIn(s *catalog.State) []string {
	plans := make(map[string]bool)
	for record := range s.All(pb.Kind_KIND_PLAN) {
		resource, err := record.Decode()
		if p, ok := resource.(*pb.Plan); ok && err == nil && p.GetStatus() == pb.Plan_CLOSED {
			plans[p.GetId()] = true
		}
	}
	if len(plans) == 0 {
		return nil
	}
	var ids []string
	for record := range s.All(pb.Kind_KIND_SUBSCRIPTION) {
		resource, err := record.Decode()
		if r, ok := resource.(*pb.Subscription); ok && err == nil && plans[r.GetPlan()] && command.Open(r.GetStatus()) {
			ids = append(ids, r.GetId())
		}
	}
	return ids
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
