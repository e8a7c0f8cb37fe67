package fleet

import (
	"context"
	"slices"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Applied tells where a change is in force.
type Applied struct {
	// Nodes have applied it.
	Nodes []string
	// Laggards are live and have not.
	Laggards []string
	// Silent were heard in the last ten minutes, were not about to end, and are
	// not live: whether they serve, and what, is unknown. They are not waited for.
	Silent []string
	// Duplicates are ids that several live processes use, see Node.Duplicate. They
	// are among Nodes or Laggards too.
	Duplicates []string
}

// Everywhere tells whether all live nodes have applied it.
func (a Applied) Everywhere() bool { return len(a.Laggards) == 0 }

// WaitApplied returns when all live nodes have applied the sequence, or when ctx
// ends; then the laggards are named. Just after a start it first listens for
// longer than two heartbeat intervals, so that an empty table is not taken for an
// empty fleet. Nodes that are still loading serve no requests and do not count, nor
// do nodes that have left; nodes that are draining decide until they leave, and count.
func (f *Fleet) WaitApplied(ctx context.Context, epoch, sequence uint64) Applied {
	for {
		applied, changed, settled := f.applied(epoch, sequence)
		if settled && applied.Everywhere() {
			return applied
		}
		timer := time.NewTimer(sweepInterval) // nodes also stop being live
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			applied, _, _ = f.applied(epoch, sequence)
			return applied
		}
		timer.Stop()
	}
}

func (f *Fleet) applied(epoch, sequence uint64) (a Applied, changed <-chan struct{}, settled bool) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, n := range f.nodes {
		if now.Sub(n.Seen) >= LiveFor {
			if n.Heartbeat.GetState() != pb.Heartbeat_DRAINING {
				a.Silent = append(a.Silent, id)
			}
			continue
		}
		if n.duplicate(now) {
			a.Duplicates = append(a.Duplicates, id)
		}
		switch applied, loading := n.applied(epoch, sequence, now); {
		case loading:
		case applied:
			a.Nodes = append(a.Nodes, id)
		default:
			a.Laggards = append(a.Laggards, id)
		}
	}
	slices.Sort(a.Nodes)
	slices.Sort(a.Laggards)
	slices.Sort(a.Silent)
	slices.Sort(a.Duplicates)
	return a, f.changed, !f.since.IsZero() && now.Sub(f.since) >= settleTime
}
