package fleet

import (
	"context"
	"slices"
	"strings"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Applied says on which nodes a change is in force.
type Applied struct {
	// Nodes have applied it, and report nothing of it that they could not put in force.
	Nodes []string
	// Failed have applied its sequence, and could not put some of it in force.
	Failed []Failure
	// Laggards are live and have not applied it.
	Laggards []string
	// Silent belong to the fleet and are not live: whether they serve, and what, is
	// unknown. They are not waited for.
	Silent []string
	// Duplicates are ids that several live processes use, see Node.Duplicate. They
	// are among Nodes, Failed or Laggards too.
	Duplicates []string
}

// Failure is a node that could not put a change in force.
type Failure struct {
	Node string
	// Rejects are what the node reports of the change; at least one.
	Rejects []*pb.Reject
}

// Everywhere reports whether all live nodes have applied the change's sequence.
func (a *Applied) Everywhere() bool { return len(a.Laggards) == 0 }

// Change is what is asked about: an entry of the log, and what it changes.
type Change struct {
	Epoch, Sequence uint64
	// Concerns are the resources that the change is in force with: what it changes,
	// and what holds that, such as the Api of a changed plan. A node that has reached
	// Sequence and still rejects one of them does not have the change in force.
	Concerns []catalog.Ref
	// Unchanged: the write changed nothing, and Sequence is that of somebody else's
	// change. Only what it concerns counts.
	Unchanged bool
}

// WaitApplied returns when all live nodes have applied the change, or when ctx
// ends; then the laggards are named. Just after a start it first listens for
// longer than two heartbeat intervals, so that an empty table is not taken for an
// empty fleet. Nodes that are still loading serve no requests and do not count, nor
// do nodes that have left; nodes that are draining decide until they leave, and count.
func (f *Fleet) WaitApplied(ctx context.Context, change Change) *Applied {
	for {
		applied, changed, settled := f.applied(change)
		if settled && applied.Everywhere() {
			return applied
		}
		timer := time.NewTimer(sweepInterval) // nodes also stop being live
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			applied, _, _ = f.applied(change)
			return applied
		}
		timer.Stop()
	}
}

func (f *Fleet) applied(change Change) (a *Applied, changed <-chan struct{}, settled bool) {
	a = new(Applied)
	now, state := time.Now(), f.cfg.Store.State()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropRemoved(state, now)
	for _, n := range f.absent(state) {
		a.Silent = append(a.Silent, n.Heartbeat.GetNode())
	}
	for id, n := range f.nodes {
		if now.Sub(n.Seen) >= LiveFor {
			if n.Heartbeat.GetState() != pb.Heartbeat_DRAINING {
				a.Silent = append(a.Silent, id)
			}
			continue
		}
		a.add(id, n, change, now)
	}
	a.sort()
	return a, f.changed, !f.since.IsZero() && now.Sub(f.since) >= settleTime
}

// add sorts in one live node.
func (a *Applied) add(id string, n Node, change Change, now time.Time) {
	if n.duplicate(now) {
		a.Duplicates = append(a.Duplicates, id)
	}
	switch applied, loading := n.applied(change.Epoch, change.Sequence, now); {
	case loading:
	case !applied:
		a.Laggards = append(a.Laggards, id)
	default:
		if rejects := n.rejectsOf(change, now); len(rejects) > 0 {
			a.Failed = append(a.Failed, Failure{id, rejects})
			return
		}
		a.Nodes = append(a.Nodes, id)
	}
}

func (a *Applied) sort() {
	slices.Sort(a.Nodes)
	slices.Sort(a.Laggards)
	slices.Sort(a.Silent)
	slices.Sort(a.Duplicates)
	slices.SortFunc(a.Failed, func(x, y Failure) int { return strings.Compare(x.Node, y.Node) })
}

// rejectsOf are what the node's live processes report of a change that they could
// not put in force.
func (n Node) rejectsOf(change Change, now time.Time) []*pb.Reject {
	if !n.duplicate(now) {
		return rejectsOf(n.Heartbeat, change)
	}
	var all []*pb.Reject
	for _, p := range n.processes {
		if now.Sub(p.seen) < LiveFor {
			all = append(all, rejectsOf(p.beat, change)...)
		}
	}
	return all
}

// rejectsOf are the rejects of a heartbeat that concern a change: those of its very
// sequence, and those of the resources that it is in force with. Where the
// heartbeat names fewer rejects than there are, and all it names are as new as the
// change, one that is not named may concern it, which counts.
func rejectsOf(b *pb.Heartbeat, change Change) []*pb.Reject {
	if b.GetEpoch() != change.Epoch {
		return nil
	}
	var found []*pb.Reject
	oldest := ^uint64(0)
	for _, r := range b.GetRejects() {
		oldest = min(oldest, r.GetSequence())
		ref := RefOf(r)
		if r.GetSequence() == change.Sequence && !change.Unchanged || slices.Contains(change.Concerns, ref) {
			found = append(found, r)
		}
	}
	if unnamed := int(b.GetRejectCount()) - len(b.GetRejects()); len(found) == 0 && unnamed > 0 && oldest >= change.Sequence {
		return append(found, &pb.Reject{
			Sequence: change.Sequence,
			Reason:   "the node reports more resources that are not in force than it names",
		})
	}
	return found
}

// RefOf is the resource that a node rejects. The kind is KIND_UNSPECIFIED if this
// version does not know it.
func RefOf(r *pb.Reject) catalog.Ref {
	kind, known := pb.Kind_value[r.GetKind()]
	if !known {
		kind = int32(catalog.KindByName(r.GetKind()))
	}
	return catalog.Ref{Kind: pb.Kind(kind), ID: r.GetId()}
}

// Rejects is the number of resources that the node could not put in force.
func (n Node) Rejects() int {
	return max(int(n.Heartbeat.GetRejectCount()), len(n.Heartbeat.GetRejects()))
}
