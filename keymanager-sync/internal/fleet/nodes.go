package fleet

import (
	"context"
	"log/slog"
	"slices"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func (f *Fleet) heardBeat(b *pb.Heartbeat) {
	now := time.Now()
	f.mu.Lock()
	before, known := f.nodes[b.GetNode()]
	if !known && len(f.nodes) >= mostNodes {
		f.mu.Unlock()
		return
	}
	node := before.hear(b, now)
	f.nodes[b.GetNode()] = node
	if !known || before.Heartbeat.GetSequence() != b.GetSequence() || before.Heartbeat.GetEpoch() != b.GetEpoch() ||
		before.Heartbeat.GetState() != b.GetState() {
		close(f.changed)
		f.changed = make(chan struct{})
	}
	f.mu.Unlock()
	if node.duplicate(now) && !before.duplicate(now) {
		f.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "several processes use the same node id; give each its own",
			slog.String("node", b.GetNode()), slog.Int("processes", len(node.processes)))
	}
}

// hear is the node after a heartbeat. A process that ended is never heard again
// after the one that took its place: if it is, both are there.
func (n Node) hear(b *pb.Heartbeat, now time.Time) Node {
	next := Node{Heartbeat: b, Seen: now, twins: n.twins, processes: make([]process, 0, len(n.processes)+1)}
	for _, p := range n.processes {
		again := p.beat.GetStartedAt() == b.GetStartedAt()
		if again && n.Heartbeat.GetStartedAt() != b.GetStartedAt() {
			next.twins = now
		}
		if !again && now.Sub(p.seen) < LiveFor {
			next.processes = append(next.processes, p)
		}
	}
	// In the order in which they were heard.
	next.processes = append(next.processes, process{b, now})
	if len(next.processes) > mostTwins {
		next.processes = slices.Clone(next.processes[1:])
	}
	return next
}

// duplicate tells whether several processes use the node's id.
func (n Node) duplicate(now time.Time) bool {
	return !n.twins.IsZero() && now.Sub(n.twins) < LiveFor
}

// applied tells whether the node has applied a sequence: whoever of its id
// serves. loading: nobody does yet.
func (n Node) applied(epoch, sequence uint64, now time.Time) (applied, loading bool) {
	if !n.duplicate(now) {
		return has(n.Heartbeat, epoch, sequence), n.Heartbeat.GetState() == pb.Heartbeat_LOADING
	}
	applied, loading = true, true
	for _, p := range n.processes {
		if now.Sub(p.seen) >= LiveFor || p.beat.GetState() == pb.Heartbeat_LOADING {
			continue
		}
		loading = false
		applied = applied && has(p.beat, epoch, sequence)
	}
	return applied, loading
}

func has(b *pb.Heartbeat, epoch, sequence uint64) bool {
	return b.GetEpoch() > epoch || (b.GetEpoch() == epoch && b.GetSequence() >= sequence)
}
