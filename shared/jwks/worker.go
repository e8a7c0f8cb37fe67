package jwks

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// The defaults of an issuer's JWKS settings.
const (
	defaultTTL      = time.Hour
	defaultTimeout  = 10 * time.Second
	defaultMaxStale = 24 * time.Hour
)

// worker fetches one issuer's key sets, each URL in a goroutine of its own.
type worker struct {
	cfg    Config
	issuer *pb.Issuer
	client *client
	ttl    time.Duration
	stale  time.Duration

	// resumed: the sources it began with were fetched under the same settings.
	resumed bool
	// lost: a source it had belongs to no place any more.
	lost   bool
	cancel context.CancelFunc
	group  sync.WaitGroup
	places []*place

	// mu orders updates: what is told last is newest.
	mu        sync.Mutex
	lastFetch time.Time
}

// place is one URL, or the one that discovery finds.
type place struct {
	url       string // configured; empty: discovery
	refresh   chan struct{}
	etag      string
	etagOf    string            // the URL the etag belongs to
	source    *pb.KeySet_Source // the last good set; guarded by worker.mu
	failures  int
	fresh     time.Duration // of the last good answer
	discovery bool
}

func newWorker(cfg Config, issuer *pb.Issuer, had []*pb.KeySet_Source) (*worker, error) {
	settings := issuer.GetJwks()
	client, err := newClient(settings.GetCaPem(), duration(settings.GetTimeout(), defaultTimeout))
	if err != nil {
		return nil, err
	}
	w := &worker{
		cfg: cfg, issuer: issuer, client: client,
		ttl:   duration(settings.GetTtl(), defaultTTL),
		stale: duration(settings.GetMaxStale(), defaultMaxStale),
	}
	urls := slices.Compact(slices.Sorted(slices.Values(issuer.GetKeys().GetJwksUrls())))
	for _, url := range urls {
		p := &place{url: url, refresh: make(chan struct{}, 1), fresh: w.ttl}
		if i := slices.IndexFunc(had, func(s *pb.KeySet_Source) bool { return s.GetUrl() == url }); i >= 0 {
			p.source = had[i]
		}
		w.places = append(w.places, p)
	}
	if issuer.GetDiscovery() {
		p := &place{refresh: make(chan struct{}, 1), fresh: w.ttl, discovery: true}
		if i := slices.IndexFunc(had, func(s *pb.KeySet_Source) bool { return !slices.Contains(urls, s.GetUrl()) }); i >= 0 {
			p.source = had[i]
		}
		w.places = append(w.places, p)
	}
	w.lost = len(w.sources()) < len(had)
	return w, nil
}

// duration reads a setting; absent: the default.
func duration(d *durationpb.Duration, def time.Duration) time.Duration {
	if d == nil {
		return def
	}
	return d.AsDuration()
}

func (w *worker) start(ctx context.Context) {
	if w.lost {
		w.cfg.Update(w.issuer.GetId(), w.sources(), true)
	}
	ctx, w.cancel = context.WithCancel(ctx)
	for _, p := range w.places {
		w.group.Go(func() { w.run(ctx, p) })
	}
}

// stop ends the worker and returns the sources it had.
func (w *worker) stop() []*pb.KeySet_Source {
	w.cancel()
	w.group.Wait()
	w.client.close()
	return w.sources()
}

func (w *worker) sources() []*pb.KeySet_Source {
	var all []*pb.KeySet_Source
	for _, p := range w.places {
		if p.source != nil {
			all = append(all, proto.CloneOf(p.source))
		}
	}
	return all
}

func (w *worker) refresh(now time.Time, floor time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.lastFetch.IsZero() && now.Sub(w.lastFetch) < floor {
		return false
	}
	w.lastFetch = now
	for _, p := range w.places {
		select {
		case p.refresh <- struct{}{}:
		default:
		}
	}
	return true
}

// run fetches one place again and again.
func (w *worker) run(ctx context.Context, p *place) {
	timer := time.NewTimer(w.firstDelay(p))
	defer timer.Stop()
	for {
		// A refresh does not cut the pause after a failure short.
		refresh := p.refresh
		if p.failures > 0 {
			refresh = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-refresh:
		}
		// Whoever asked until now is served by this fetch.
		select {
		case <-p.refresh:
		default:
		}
		w.fetch(ctx, p)
		timer.Reset(w.delay(p))
	}
}

// firstDelay is none, but for a set known from before the start that is still fresh.
func (w *worker) firstDelay(p *place) time.Duration {
	if !w.resumed || p.source.GetFetchedAt() == nil {
		return 0
	}
	left := time.Until(p.source.GetFetchedAt().AsTime().Add(jitter(w.ttl * 8 / 10)))
	return min(max(left, 0), w.ttl)
}

func (w *worker) delay(p *place) time.Duration {
	if p.failures == 0 {
		return jitter(p.fresh * 8 / 10)
	}
	pause := w.cfg.MaxBackoff
	if p.failures < 20 {
		pause = min(pause, w.cfg.Backoff<<(p.failures-1))
	}
	return pause/2 + rand.N(pause/2+1) //nolint:gosec // spreads load; nobody gains by guessing it
}

// jitter shortens d by up to a tenth, so that replicas and issuers do not fetch in step.
func jitter(d time.Duration) time.Duration {
	return d - rand.N(d/10+1) //nolint:gosec // spreads load; nobody gains by guessing it
}

func (w *worker) fetch(ctx context.Context, p *place) {
	w.mu.Lock()
	w.lastFetch = time.Now()
	w.mu.Unlock()
	got, err := w.get(ctx, p)
	if ctx.Err() != nil {
		return // asked to end: says nothing about the server
	}
	if err != nil {
		p.failures++
		outcome := Unreachable
		if failed, ok := errors.AsType[*failure](err); ok {
			outcome = failed.outcome
		}
		w.cfg.Fetched(w.issuer.GetId(), outcome)
		w.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "fetching a key set failed; the last good one stays",
			slog.String("issuer", w.issuer.GetId()), slog.String("outcome", string(outcome)),
			slog.Int("failures", p.failures), slog.Any("error", err))
		return
	}
	p.failures = 0
	p.fresh = min(max(got.maxAge, w.cfg.MinTTL), w.ttl)
	if got.maxAge < 0 {
		p.fresh = w.ttl
	}
	outcome := Success
	if got.unchanged {
		outcome = NotModified
	}
	w.cfg.Fetched(w.issuer.GetId(), outcome)
	w.take(ctx, p, got)
}

// get fetches a place's set, where needed after finding its URL.
func (w *worker) get(ctx context.Context, p *place) (*answer, error) {
	url := p.url
	if p.discovery {
		var err error
		if url, err = w.client.discover(ctx, w.issuer.GetIssuer()); err != nil {
			return nil, err
		}
	}
	etag := p.etag
	if p.source == nil || p.etagOf != url {
		etag = ""
	}
	return w.client.keySet(ctx, url, etag)
}

// take makes a good answer the place's source and tells it.
func (w *worker) take(ctx context.Context, p *place, got *answer) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	source := &pb.KeySet_Source{
		Url: got.url, FetchedAt: timestamppb.New(now), UsableUntil: timestamppb.New(now.Add(w.ttl + w.stale)),
	}
	if got.unchanged {
		source.Jwks = p.source.GetJwks()
	} else {
		source.Jwks = got.jwks
		p.etag, p.etagOf = got.etag, got.url
	}
	changed := p.source.GetJwks() != source.GetJwks() || p.source.GetUrl() != source.GetUrl()
	p.source = source
	if changed && len(got.skipped) > 0 {
		w.cfg.Skipped(w.issuer.GetId(), got.skipped)
		logSkipped(ctx, w.cfg.Logger, w.issuer.GetId(), got.skipped)
	}
	w.cfg.Update(w.issuer.GetId(), w.sources(), changed)
}

func logSkipped(ctx context.Context, logger *slog.Logger, issuerID string, skipped []keyset.Skipped) {
	for _, s := range skipped {
		logger.LogAttrs(ctx, slog.LevelWarn, "a key of a key set cannot be used",
			slog.String("issuer", issuerID), slog.Int("index", s.Index), slog.String("kid", s.KeyID), slog.String("reason", s.Reason))
	}
}
