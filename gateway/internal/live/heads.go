package live

import (
	"context"
	"log/slog"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

const beatEvery = time.Second

// timing is how patient a node is.
type timing struct {
	// The control plane says its head each second; after this much silence the
	// node cannot know whether it is current.
	silent time.Duration
	// A consumer that lags behind a known head for this long is made anew,
	renew time.Duration
	// and after this the state is.
	resync time.Duration
	// A resync is put off by up to this, so that a fleet does not ask all at once.
	jitter time.Duration
	// A node that has followed the log for this long is well.
	calm time.Duration
}

func defaultTiming() timing {
	return timing{silent: 10 * time.Second, renew: 3 * time.Second, resync: 10 * time.Second, jitter: 2 * time.Second, calm: time.Minute}
}

// headSeen takes a control-plane replica's head.
func (l *Live) headSeen(h *pb.Head) {
	s := l.current()
	if s == nil {
		return
	}
	p := s.Position()
	switch {
	case h.GetEpoch() < p.Epoch:
		// A replica that slept through the founding of our epoch.
		l.cfg.Metrics.oldHeads.Inc()
		return
	case h.GetEpoch() > p.Epoch || h.GetFounding() != p.EpochID:
		l.endFollowing(resyncBecause("replica %s is at epoch %d (%s), the state at %s (%s)",
			h.GetReplica(), h.GetEpoch(), h.GetFounding(), p, p.EpochID))
		return
	}
	l.status.headSeen(h.GetSequence(), p.Sequence, time.Now())
	l.mu.Lock()
	hash, known := l.history.get(h.GetSequence())
	l.mu.Unlock()
	if known && hash != h.GetSetHash() {
		l.cfg.Metrics.divergences.Inc()
		l.endFollowing(resyncBecause("at sequence %d the set hash is %016x, replica %s has %016x",
			h.GetSequence(), hash, h.GetReplica(), h.GetSetHash()))
	}
}

// watchHeads sees to it that a node which knows itself behind does something about it.
func (l *Live) watchHeads(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		behind, silent := l.status.behind(time.Now())
		switch {
		case silent > l.timing.silent || !l.connected():
			l.status.staleIfLive()
		case behind > l.timing.resync:
			l.endFollowing(resyncBecause("behind the head for %s", behind.Round(time.Second)))
		case behind > l.timing.renew && behind < l.timing.renew+2*beatEvery:
			l.endFollowing(errRenew)
		default:
			if l.status.liveIfStale() {
				l.fetcher.SetIssuers(nil) // the control plane fetches for us again
			}
		}
	}
}

func (l *Live) connected() bool {
	bus := l.bus.Load()
	return bus != nil && bus.Connected()
}

// endFollowing makes the follower stop with this error.
func (l *Live) endFollowing(cause error) {
	if f := l.following.Load(); f != nil {
		f.end(cause)
	}
}

// beatHeart reports to the control plane each second, at once when somebody waits,
// and a last time when the node has left.
func (l *Live) beatHeart(ctx context.Context, bus *stream.Bus) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		if err := bus.PublishHeartbeat(l.heartbeat()); err != nil && ctx.Err() == nil {
			l.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "heartbeat was not sent", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			l.sayGoodbye(ctx, bus)
			return
		case <-tick.C:
		case <-l.beat:
		}
	}
}

// sayGoodbye sends the last heartbeat of a node that has left. It goes out when bus
// is closed at the latest; if it is lost, the control plane waits for this node until
// it has been silent for long enough, as for one that was killed.
func (l *Live) sayGoodbye(ctx context.Context, bus *stream.Bus) {
	if !l.status.left.Load() {
		return
	}
	last := l.heartbeat()
	last.Left = true
	if err := bus.PublishHeartbeat(last); err != nil {
		l.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "last heartbeat was not sent", slog.Any("error", err))
	}
}

func (l *Live) heartbeat() *pb.Heartbeat {
	now := time.Now()
	requests, denials := l.cfg.Counters()
	hb := &pb.Heartbeat{
		Node: l.cfg.NodeID, Version: l.cfg.Version, State: l.status.get(),
		StartedAt: l.started.UnixMilli(), Time: now.UnixMilli(),
		Requests: requests, Denials: denials, Resyncs: l.status.resyncs.Load(),
		LagSeconds: l.status.lag(now).Seconds(), Schema: pb.SchemaVersion,
	}
	if s := l.current(); s != nil {
		p := l.recorder.reported(s.Position())
		hb.Epoch, hb.Sequence = p.Epoch, p.Sequence
		faults := l.notInForce()
		hb.RejectCount = uint32(len(faults))
		for _, f := range faults[:min(len(faults), maxReported)] {
			hb.Rejects = append(hb.Rejects, &pb.Reject{
				Kind: f.Ref.Kind.String(), Id: f.Ref.ID, Sequence: f.Sequence, Reason: f.Reason,
			})
		}
	}
	return hb
}

// A heartbeat names this many rejects at most.
const maxReported = 20
