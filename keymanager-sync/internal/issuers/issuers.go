// Package issuers keeps what changes by itself: issuers' key sets, which it
// fetches and writes to the log; revocations, which it removes when they have
// outlived every token they concern; and subscriptions of closed plans that were
// too many to be closed together with the plan.
//
// One replica is enough for that, the leader (see fleet.Leader). Nothing breaks
// if two believe to be it for a moment: keys are compared with the state when
// their change is decided, so the second finds nothing to do.
package issuers

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/jwks"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

const (
	// How often it is asked who leads.
	leadInterval = 100 * time.Millisecond
	// Changes of issuers are looked for at most so often.
	settleTime = 50 * time.Millisecond
	// Pause before a key set that could not be written is tried again.
	retryPause = time.Second
	// Of one write.
	submitTimeout = 20 * time.Second

	// Where an Issuer does not say: of its JWKS.
	defaultTTL = time.Hour

	actor = "keymanager-sync"
)

// Config is what a Keeper works with.
type Config struct {
	Bus    *stream.Bus
	Store  *store.Store
	Ledger *ledger.Ledger
	// Leads reports whether this replica is the one that works; nil: it is.
	Leads  func() bool
	Logger *slog.Logger
	// Registry receives the metrics; nil: none are shown.
	Registry prometheus.Registerer
	// Secrets reads what issuers name for their key servers.
	Secrets keyset.Secrets
	// RefreshFloor is the shortest time between two fetches for one issuer that
	// nodes ask for. Default 10s.
	RefreshFloor time.Duration
	// SweepInterval is how often expired revocations, and open subscriptions of
	// closed plans, are looked for. Default 1m.
	SweepInterval time.Duration
	// SweepGrace is how long after its end a revocation is removed: longer than any
	// issuer's clock_skew, so that no token comes back. Default 15m.
	SweepGrace time.Duration
}

// Keeper does the leader's work.
type Keeper struct {
	cfg     Config
	metrics metrics
}

// New makes a Keeper; Run does the work.
func New(cfg Config) *Keeper {
	if cfg.Leads == nil {
		cfg.Leads = func() bool { return true }
	}
	if cfg.SweepInterval <= 0 {
		cfg.SweepInterval = time.Minute
	}
	if cfg.SweepGrace <= 0 {
		cfg.SweepGrace = 15 * time.Minute
	}
	return &Keeper{cfg: cfg, metrics: newMetrics(cfg.Registry)}
}

// Run works whenever this replica leads and its store is live, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	ticker := time.NewTicker(leadInterval)
	defer ticker.Stop()
	for {
		if k.leads() {
			k.lead(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (k *Keeper) leads() bool {
	return k.cfg.Leads() && k.cfg.Store.Status().Phase == store.Live
}

// lead works until this replica does not lead any more.
func (k *Keeper) lead(ctx context.Context) {
	k.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "this replica fetches key sets and sweeps")
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	inbox := newInbox()
	fetcher := jwks.New(jwks.Config{
		Logger: k.cfg.Logger,
		Update: func(id string, sources []*pb.KeySet_Source, _ bool) { inbox.put(id, sources) },
		Known:  k.known,
		Fetched: func(_ string, outcome jwks.Outcome) {
			k.metrics.fetches.WithLabelValues(string(outcome)).Inc()
		},
		Floor: k.cfg.RefreshFloor, Secrets: k.cfg.Secrets,
	})
	unsubscribe, err := k.cfg.Bus.SubscribeKeyRefresh(func(r *pb.KeyRefresh) { k.refresh(fetcher, r) })
	if err != nil {
		k.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "requests for key sets cannot be heard", slog.Any("error", err))
		return
	}
	defer unsubscribe()
	running.Go(func() { fetcher.Run(ctx) })
	running.Go(func() { k.write(ctx, inbox) })
	running.Go(func() { k.sweepRegularly(ctx) })
	k.steer(ctx, fetcher, inbox)
}

// steer gives the fetcher the issuers to fetch for, as long as this replica leads.
func (k *Keeper) steer(ctx context.Context, fetcher *jwks.Fetcher, inbox *inbox) {
	ticker := time.NewTicker(leadInterval)
	defer ticker.Stop()
	var given map[string]look
	for {
		changed := k.cfg.Store.Changed()
		var err error
		if given, err = k.update(ctx, fetcher, inbox, given); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ticker.C:
			if !k.leads() {
				return
			}
			continue
		}
		if pause(ctx, settleTime) != nil {
			return
		}
	}
}

// update gives the fetcher what has changed since the last time, and returns
// what it knows now.
func (k *Keeper) update(ctx context.Context, fetcher *jwks.Fetcher, inbox *inbox, given map[string]look) (map[string]look, error) {
	// Before the state: what is written from now on, it need not contain.
	written := inbox.writtenTo()
	list, seen := issuersOf(k.cfg.Store.State())
	if again := remade(given, seen, written); len(again) > 0 {
		if err := begin(ctx, fetcher, inbox, list, again); err != nil {
			return nil, err
		}
	} else if given == nil || !maps.Equal(given, seen) {
		fetcher.SetIssuers(list)
	}
	for id := range given {
		if _, ok := seen[id]; !ok {
			inbox.unwritten(id)
		}
	}
	return seen, nil
}

// look is what was seen of an issuer.
type look struct {
	raw     string // its Change
	version uint64
	keys    bool // it has a key set in the log
}

func issuersOf(s *catalog.State) ([]*pb.Issuer, map[string]look) {
	list, seen := make([]*pb.Issuer, 0, s.Len(pb.Kind_KIND_ISSUER)), make(map[string]look)
	for record := range s.All(pb.Kind_KIND_ISSUER) {
		resource, err := record.Decode()
		if issuer, ok := resource.(*pb.Issuer); ok && err == nil {
			list = append(list, issuer)
			_, keys := s.Get(pb.Kind_KIND_KEY_SET, issuer.GetId())
			seen[issuer.GetId()] = look{raw: record.Raw(), version: record.Version(), keys: keys}
		}
	}
	return list, seen
}

// remade are the issuers that were removed and created again since they were looked
// at last. Their key sets went with them, and the fetcher, to whom they may look
// the same as before, must not go on as if these were still in the log.
func remade(given, seen map[string]look, written map[string]bool) []string {
	var ids []string
	for id, now := range seen {
		before, known := given[id]
		if known && ((before.raw != now.raw && now.version <= before.version) || ((before.keys || written[id]) && !now.keys)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// begin makes the fetcher begin again with some issuers.
func begin(ctx context.Context, fetcher *jwks.Fetcher, inbox *inbox, list []*pb.Issuer, remade []string) error {
	others := slices.DeleteFunc(slices.Clone(list), func(i *pb.Issuer) bool { return slices.Contains(remade, i.GetId()) })
	fetcher.SetIssuers(others)
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	fetcher.SetIssuers(list)
	for _, id := range remade {
		inbox.unwritten(id)
		// Should the fetcher have seen only the list, it still fetches.
		fetcher.Refresh(id)
	}
	return nil
}

// known are the sources in the log that count for an issuer.
func (k *Keeper) known(id string) []*pb.KeySet_Source {
	s := k.cfg.Store.State()
	issuer, _ := catalog.Lookup[*pb.Issuer](s, pb.Kind_KIND_ISSUER, id)
	set, _ := catalog.Lookup[*pb.KeySet](s, pb.Kind_KIND_KEY_SET, id)
	return keyset.Sources(issuer, set)
}

func (k *Keeper) refresh(fetcher *jwks.Fetcher, r *pb.KeyRefresh) {
	result := "refused"
	if fetcher.Refresh(r.GetIssuer()) {
		result = "granted"
		k.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "key set is fetched because a node met an unknown kid",
			slog.String("issuer", r.GetIssuer()), slog.String("node", r.GetNode()))
	}
	k.metrics.refreshes.WithLabelValues(result).Inc()
}

// write brings what was fetched into the log, one issuer after another.
func (k *Keeper) write(ctx context.Context, inbox *inbox) {
	for {
		id, sources, err := inbox.take(ctx)
		if err != nil {
			return
		}
		if err := k.put(ctx, inbox, id, sources); err != nil {
			k.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "key set could not be written to the log", slog.String("issuer", id), slog.Any("error", err))
			inbox.putBack(id, sources)
			if pause(ctx, retryPause) != nil {
				return
			}
		}
	}
}

func (k *Keeper) put(ctx context.Context, inbox *inbox, id string, sources []*pb.KeySet_Source) error {
	issuer, ok := catalog.Lookup[*pb.Issuer](k.cfg.Store.State(), pb.Kind_KIND_ISSUER, id)
	if !ok {
		return nil // removed meanwhile
	}
	ttl := defaultTTL
	if d := issuer.GetJwks().GetTtl(); d != nil && d.AsDuration() > 0 {
		ttl = d.AsDuration()
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	result, err := k.cfg.Ledger.Submit(ctx, command.PutKeySet{Issuer: id, Sources: sources, RenewAfter: ttl / 2}, ledger.Meta{Actor: actor})
	if ps, ok := errors.AsType[fault.List](err); ok && ps.Has(fault.Dangling) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	inbox.wrote(id)
	if len(result.Changes) > 0 {
		k.metrics.written.Inc()
		set, _ := catalog.Lookup[*pb.KeySet](result.State, pb.Kind_KIND_KEY_SET, id)
		k.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "key set written", slog.String("issuer", id),
			slog.Uint64("generation", set.GetGeneration()), slog.Uint64("sequence", result.Sequence))
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
