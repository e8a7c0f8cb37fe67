package fleet

import (
	"context"
	"log/slog"
	"slices"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func (f *Fleet) heardBeat(b *pb.Heartbeat) {
	if b.GetLeft() {
		f.heardLast(b)
		return
	}
	now := time.Now()
	f.mu.Lock()
	before, known := f.nodes[b.GetNode()]
	delete(f.left, b.GetNode())
	if !known && len(f.nodes) >= mostNodes {
		f.mu.Unlock()
		return
	}
	node := before.hear(b, now)
	f.nodes[b.GetNode()] = node
	if !known || before.Heartbeat.GetSequence() != b.GetSequence() || before.Heartbeat.GetEpoch() != b.GetEpoch() ||
		before.Heartbeat.GetState() != b.GetState() {
		f.wake()
	}
	f.mu.Unlock()
	if node.duplicate(now) && !before.duplicate(now) {
		f.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "several processes use the same node id; give each its own",
			slog.String("node", b.GetNode()), slog.Int("processes", len(node.processes)))
	}
}

// heardLast takes the last heartbeat of a process, which decides nothing more. Other
// processes with its node's id stay as they are: the one that took its place may have
// been heard already. Should an earlier heartbeat arrive after all, the process counts
// once more, until it has been silent for long enough.
func (f *Fleet) heardLast(b *pb.Heartbeat) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, known := f.nodes[b.GetNode()]
	if node, others := before.without(b); others {
		f.nodes[b.GetNode()] = node
	} else if known || len(f.left) < mostNodes {
		delete(f.nodes, b.GetNode())
		f.left[b.GetNode()] = time.Now()
		select {
		case f.departed <- struct{}{}:
		default: // it is being looked at
		}
	}
	f.wake()
}

// wake wakes all that wait for nodes. The caller holds the lock.
func (f *Fleet) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// without is the node after the process of a last heartbeat has left; others reports
// whether there are more.
func (n Node) without(b *pb.Heartbeat) (rest Node, others bool) {
	for _, p := range n.processes {
		if p.beat.GetStartedAt() != b.GetStartedAt() {
			rest.processes = append(rest.processes, p)
		}
	}
	if len(rest.processes) == 0 {
		return Node{}, false
	}
	last := rest.processes[len(rest.processes)-1]
	rest.Heartbeat, rest.Seen = last.beat, last.seen
	rest.recorded, rest.news, rest.written = n.recorded, n.news, n.written
	if len(rest.processes) > 1 {
		rest.twins = n.twins
	}
	return rest, true
}

// hear is the node after a heartbeat. A process that ended is never heard again
// after the one that took its place: if it is, both are there.
func (n Node) hear(b *pb.Heartbeat, now time.Time) Node {
	next := Node{Heartbeat: b, Seen: now, twins: n.twins, recorded: n.recorded, news: n.news, written: n.written, processes: make([]process, 0, len(n.processes)+1)}
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

// Schema is the version of the resource schema that the node knows. Nodes that were
// built before heartbeats said it know version 1.
func (n Node) Schema() uint32 { return max(n.Heartbeat.GetSchema(), 1) }

// duplicate reports whether several processes use the node's id.
func (n Node) duplicate(now time.Time) bool {
	return !n.twins.IsZero() && now.Sub(n.twins) < LiveFor
}

// applied reports whether all processes of the node's id that serve have applied a
// sequence. loading: none serves yet.
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
