package fleet

import (
	"context"
	"log/slog"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// A node belongs to the fleet from its first heartbeat until its last one says
// that it has left, or until an operator removes it. That is written to the log as
// resources of KIND_MEMBER, so all replicas agree, and one that has just started
// knows of nodes that it cannot hear. Heartbeats are never written; a node costs
// an entry when it joins, when its program is exchanged, when it has fallen silent,
// and when it leaves. Those of one tick travel together.
const (
	memberTick = time.Second
	// The leader writes at once, another replica when the leader has not for so long.
	standIn = 3 * time.Second
	// After so much silence it is recorded when a node was last heard, and where it stood.
	recordSilence = time.Minute
	// A draining node that went without a last heartbeat belongs to the fleet for so long.
	drainingFor = time.Minute
	// What one tick writes; the rest follows with the next.
	mostAtOnce = 1000
	// A node with a longer id is not recorded.
	longestID = 128
	// Between two records of the same node.
	recordPause   = time.Minute
	memberTimeout = 10 * time.Second
)

// Submit carries out a command that no client waits for.
type Submit func(ctx context.Context, cmd command.Command) error

// KeepMembers records in the log who belongs to the fleet, until ctx ends.
func (f *Fleet) KeepMembers(ctx context.Context, submit Submit) error {
	ticker := time.NewTicker(memberTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-f.departed:
		}
		cmd := f.unrecorded(time.Now())
		if len(cmd.Present)+len(cmd.Gone) == 0 {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, memberTimeout)
		err := submit(limited, cmd)
		cancel()
		if err != nil && ctx.Err() == nil {
			f.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "who belongs to the fleet could not be recorded", slog.Any("error", err))
		}
	}
}

// unrecorded is what the log does not say yet of the fleet.
func (f *Fleet) unrecorded(now time.Time) (cmd command.Members) {
	if !f.writable() {
		return cmd
	}
	leads, state := f.Leader(), f.cfg.Store.State()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropRemoved(state, now)
	for id, n := range f.nodes {
		m, known := catalog.Lookup[*pb.Member](state, pb.Kind_KIND_MEMBER, id)
		if !n.worthRecording(m, known, now) {
			n.news = time.Time{}
			f.nodes[id] = n
			continue
		}
		if n.news.IsZero() {
			n.news = now
		}
		if leads || now.Sub(n.news) > standIn {
			n.written = now
			cmd.Present = append(cmd.Present, n.member())
		}
		f.nodes[id] = n
		if len(cmd.Present) == mostAtOnce {
			break
		}
	}
	cmd.Gone = f.gone(state, leads, now)
	return cmd
}

// worthRecording reports whether the log does not say of a node what it should.
func (n Node) worthRecording(m *pb.Member, known bool, now time.Time) bool {
	id, silent := n.Heartbeat.GetNode(), now.Sub(n.Seen)
	switch {
	case len(id) > longestID || !utf8.ValidString(id) || n.duplicate(now):
		return false
	case !known:
		return silent < LiveFor && !n.recorded // one that was recorded has been removed
	case now.Sub(n.written) < recordPause:
		return false
	case silent < LiveFor:
		return m.GetVersion() != n.Heartbeat.GetVersion() || m.GetSchema() != n.Schema()
	}
	return silent > recordSilence && n.Seen.Sub(m.GetHeardAt().AsTime()) > recordSilence/2
}

// member is what is recorded of a node.
func (n Node) member() *pb.Member {
	b := n.Heartbeat
	return &pb.Member{
		Id: b.GetNode(), HeardAt: timestamppb.New(n.Seen), Version: b.GetVersion(), Schema: n.Schema(),
		Epoch: b.GetEpoch(), Sequence: b.GetSequence(),
	}
}

// gone are the recorded nodes that do not belong to the fleet any longer: those
// that said so, and those that have been silent for longer than the settings allow.
func (f *Fleet) gone(state *catalog.State, leads bool, now time.Time) (ids []string) {
	for id, left := range f.left {
		if _, known := state.Get(pb.Kind_KIND_MEMBER, id); !known {
			delete(f.left, id)
		} else if leads || now.Sub(left) > standIn {
			ids = append(ids, id)
		}
	}
	if !leads {
		return ids
	}
	for record := range state.All(pb.Kind_KIND_MEMBER) {
		id := record.Ref().ID
		n, heard := f.nodes[id]
		silent := now.Sub(f.since) // this replica has not heard it since it listens
		if heard {
			silent = now.Sub(n.Seen)
		}
		ended := heard && n.Heartbeat.GetState() == pb.Heartbeat_DRAINING && silent > drainingFor
		forgotten := f.cfg.ForgetAfter > 0 && silent > f.cfg.ForgetAfter
		if (ended || forgotten) && !slices.Contains(ids, id) && len(ids) < mostAtOnce {
			ids = append(ids, id)
		}
	}
	return ids
}

// absent are the recorded nodes that this replica has not heard since it listens;
// the caller holds the lock.
func (f *Fleet) absent(state *catalog.State) (nodes []Node) {
	for record := range state.All(pb.Kind_KIND_MEMBER) {
		id := record.Ref().ID
		if _, heard := f.nodes[id]; heard {
			continue
		}
		if _, left := f.left[id]; left {
			continue
		}
		if m, ok := catalog.Lookup[*pb.Member](state, pb.Kind_KIND_MEMBER, id); ok {
			nodes = append(nodes, Node{
				Heartbeat: &pb.Heartbeat{
					Node: id, Version: m.GetVersion(), Schema: m.GetSchema(), Epoch: m.GetEpoch(), Sequence: m.GetSequence(),
				},
				Seen: m.GetHeardAt().AsTime(), Unheard: true,
			})
		}
	}
	return nodes
}

// dropRemoved forgets silent nodes that were recorded and are no longer: somebody
// has removed them. The caller holds the lock.
func (f *Fleet) dropRemoved(state *catalog.State, now time.Time) {
	for id, n := range f.nodes {
		_, known := state.Get(pb.Kind_KIND_MEMBER, id)
		switch {
		case known && !n.recorded:
			n.recorded = true
			f.nodes[id] = n
		case !known && n.recorded && now.Sub(n.Seen) >= LiveFor:
			delete(f.nodes, id)
		case !known && n.recorded:
			n.recorded = false // it is alive, and joins again
			f.nodes[id] = n
		}
	}
}

// Live reports whether a node is heard.
func (f *Fleet) Live(node string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, heard := f.nodes[node]
	return heard && time.Since(n.Seen) < LiveFor
}
