package feed

import (
	"context"
	"log/slog"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// UnknownKey has an issuer's keys fetched because a token names a `kid` that they do not
// have: by the control plane, else by the node itself. It is called at most once in 10 s
// for each issuer.
func (f *Feed) UnknownKey(issuer string) {
	if len(f.cfg.Resources) == 0 && f.connected() && f.status.get() == pb.Heartbeat_LIVE {
		if bus := f.bus.Load(); bus != nil {
			err := bus.PublishKeyRefresh(&pb.KeyRefresh{Issuer: issuer, Node: f.cfg.NodeID})
			if err == nil {
				return
			}
		}
	}
	// Nobody fetches for us: do it here. fetchableIssuers has told the fetcher of them.
	f.fetcher.SetIssuers(f.allIssuers(f.current()))
	f.fetcher.Refresh(issuer)
}

// fetchableIssuers are those whose keys the node fetches by itself all the
// time: in file mode all, in a fleet none, because the control plane does.
func (f *Feed) fetchableIssuers(s *catalog.State) []*pb.Issuer {
	if len(f.cfg.Resources) == 0 {
		return nil
	}
	return f.allIssuers(s)
}

func (f *Feed) allIssuers(s *catalog.State) []*pb.Issuer {
	if s == nil {
		return nil
	}
	var all []*pb.Issuer
	for r := range s.All(pb.Kind_KIND_ISSUER) {
		if i, ok := catalog.Lookup[*pb.Issuer](s, pb.Kind_KIND_ISSUER, r.Ref().ID); ok {
			all = append(all, i)
		}
	}
	return all
}

// knownSources lets the fetcher start from what the control plane had fetched.
func (f *Feed) knownSources(issuer string) []*pb.KeySet_Source {
	s := f.view.Load()
	if s == nil {
		return nil
	}
	i, _ := catalog.Lookup[*pb.Issuer](s.State, pb.Kind_KIND_ISSUER, issuer)
	k, _ := catalog.Lookup[*pb.KeySet](s.State, pb.Kind_KIND_KEY_SET, issuer)
	return keyset.Sources(i, k)
}

// keysFetched takes a key set that the node fetched itself.
func (f *Feed) keysFetched(issuer string, sources []*pb.KeySet_Source, _ bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == nil {
		return
	}
	if _, ok := f.state.Get(pb.Kind_KIND_ISSUER, issuer); !ok {
		return
	}
	next := &pb.KeySet{Id: issuer, Generation: f.fetched[issuer].GetGeneration() + 1, Sources: sources}
	f.fetched[issuer] = next
	ref := catalog.Ref{Kind: pb.Kind_KIND_KEY_SET, ID: issuer}
	if err := f.compileLocked(f.state, []Touch{{ref, f.state.Position().Sequence}}); err != nil {
		f.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "fetched keys cannot be used",
			slog.String("issuer", issuer), slog.Any("error", err))
	}
}
