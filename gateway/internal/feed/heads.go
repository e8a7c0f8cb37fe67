package feed

import (
	"context"
	"log/slog"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

const beatEvery = time.Second

// timing are the periods after which a node that is not current acts.
type timing struct {
	// The control plane says its head each second; after this much silence the
	// node cannot know whether it is current.
	silent time.Duration
	// A consumer that lags behind a known head for this long is replaced,
	renew time.Duration
	// and after this the state, by a new snapshot.
	resync time.Duration
	// A resync is put off by up to this, so that a fleet does not ask all at once.
	jitter time.Duration
	// A node that has followed the log for this long counts failures from zero again.
	calm time.Duration
}

func defaultTiming() timing {
	return timing{silent: 10 * time.Second, renew: 3 * time.Second, resync: 10 * time.Second, jitter: 2 * time.Second, calm: time.Minute}
}

// headSeen compares the state with the head of a control-plane replica, and ends the
// following if they are of different epochs or differ in their hash.
func (f *Feed) headSeen(h *pb.Head) {
	s := f.current()
	if s == nil {
		return
	}
	p := s.Position()
	switch {
	case h.GetEpoch() < p.Epoch:
		// A replica that does not know yet that our epoch has begun.
		f.cfg.Metrics.oldHeads.Inc()
		return
	case h.GetEpoch() > p.Epoch || h.GetFounding() != p.EpochID:
		f.endFollowing(resyncBecause("replica %s is at epoch %d (%s), the state at %s (%s)",
			h.GetReplica(), h.GetEpoch(), h.GetFounding(), p, p.EpochID))
		return
	}
	f.status.headSeen(h.GetSequence(), p.Sequence, time.Now())
	f.mu.Lock()
	hash, known := f.history.get(h.GetSequence())
	f.mu.Unlock()
	if known && hash != h.GetSetHash() {
		f.cfg.Metrics.divergences.Inc()
		f.endFollowing(resyncBecause("at sequence %d the set hash is %016x, replica %s has %016x",
			h.GetSequence(), hash, h.GetReplica(), h.GetSetHash()))
	}
}

// watchHeads looks each second how far the node is behind: without a connection, or
// a head for 10 s, it is STALE; behind for 3 s it gets a new consumer, for 10 s a new
// snapshot (defaultTiming).
func (f *Feed) watchHeads(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		behind, silent := f.status.behind(time.Now())
		switch {
		case silent > f.timing.silent || !f.connected():
			f.status.staleIfLive()
		case behind > f.timing.resync:
			f.endFollowing(resyncBecause("behind the head for %s", behind.Round(time.Second)))
		case behind > f.timing.renew && behind < f.timing.renew+2*beatEvery:
			f.endFollowing(errRenew)
		default:
			if f.status.liveIfStale() {
				f.fetcher.SetIssuers(nil) // the control plane fetches for us again
			}
		}
	}
}

func (f *Feed) connected() bool {
	bus := f.bus.Load()
	return bus != nil && bus.Connected()
}

// endFollowing makes the follower stop with this error.
func (f *Feed) endFollowing(cause error) {
	if following := f.following.Load(); following != nil {
		following.end(cause)
	}
}

// beatHeart sends a heartbeat to the control plane each second, at once when one is
// due, and a last time when the node has left.
func (f *Feed) beatHeart(ctx context.Context, bus *stream.Bus) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		if err := bus.PublishHeartbeat(f.heartbeat()); err != nil && ctx.Err() == nil {
			f.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "heartbeat was not sent", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			f.sayGoodbye(ctx, bus)
			return
		case <-tick.C:
		case <-f.beat:
		}
	}
}

// sayGoodbye sends the last heartbeat of a node that has left. It goes out when bus
// is closed at the latest; if it is lost, the control plane waits for this node until
// it has been silent for long enough, as for one that was killed.
func (f *Feed) sayGoodbye(ctx context.Context, bus *stream.Bus) {
	if !f.status.left.Load() {
		return
	}
	last := f.heartbeat()
	last.Left = true
	if err := bus.PublishHeartbeat(last); err != nil {
		f.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "last heartbeat was not sent", slog.Any("error", err))
	}
}

func (f *Feed) heartbeat() *pb.Heartbeat {
	now := time.Now()
	requests, denials := f.cfg.Counters()
	hb := &pb.Heartbeat{
		Node: f.cfg.NodeID, Version: f.cfg.Version, State: f.status.get(),
		StartedAt: f.started.UnixMilli(), Time: now.UnixMilli(),
		Requests: requests, Denials: denials, Resyncs: f.status.resyncs.Load(),
		LagSeconds: f.status.lag(now).Seconds(), Schema: pb.SchemaVersion,
	}
	if s := f.current(); s != nil {
		p := f.recorder.reported(s.Position())
		hb.Epoch, hb.Sequence = p.Epoch, p.Sequence
		faults := f.notInForce()
		hb.RejectCount = uint32(len(faults))
		for _, fault := range faults[:min(len(faults), maxReported)] {
			hb.Rejects = append(hb.Rejects, &pb.Reject{
				Kind: fault.Ref.Kind.String(), Id: fault.Ref.ID, Sequence: fault.Sequence, Reason: fault.Reason,
			})
		}
	}
	return hb
}

// maxReported is how many rejects a heartbeat names at most.
const maxReported = 20
