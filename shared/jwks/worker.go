package jwks

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/discovery"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/mask"
)

// The defaults of an issuer's JWKS settings.
const (
	defaultTTL      = time.Hour
	defaultTimeout  = 10 * time.Second
	defaultMaxStale = 24 * time.Hour
)

// worker fetches one issuer's key sets, each URL in its own goroutine.
type worker struct {
	cfg    Config
	issuer *pb.Issuer
	client *client // for discovery
	sites  *sites
	ttl    time.Duration
	stale  time.Duration

	// resumed: the sources it began with were fetched under the same settings.
	resumed bool
	// lost: a source it had belongs to none of its URLs any more.
	lost      bool
	cancel    context.CancelFunc
	group     sync.WaitGroup
	endpoints []*endpoint
	untried   atomic.Int32 // endpoints without any outcome

	// mu orders updates: the last one is the newest.
	mu        sync.Mutex
	lastFetch time.Time
	putOff    *time.Timer // a refresh that waits for the floor; nil: none
}

// endpoint is one URL, or the one that discovery finds.
type endpoint struct {
	url       string // configured; empty: discovery
	site      *site  // of the URL; nil: not discovered yet
	refresh   chan struct{}
	source    *pb.KeySet_Source // the last good set; guarded by worker.mu
	skipped   []keyset.Skipped  // its keys that cannot be used, which have been named
	failures  int
	next      time.Time // when to look again
	taken     time.Time // when the fetch ended whose outcome was taken last
	discovery bool
}

// newWorker makes a worker that begins with the sources that were had, as far as they
// were fetched under the issuer's settings.
func newWorker(cfg Config, all *sites, issuer *pb.Issuer, had []*pb.KeySet_Source) (*worker, error) {
	settings := issuer.GetJwks()
	asked := auth{} // for its metadata
	if issuer.GetDiscovery() {
		asked = authOf(issuer, discovery.URLs(issuer)[0], cfg.Secrets)
	}
	client, err := newClient(settings.GetCaPem(), duration(settings.GetTimeout(), defaultTimeout), asked)
	if err != nil {
		return nil, err
	}
	w := &worker{
		cfg: cfg, issuer: issuer, client: client, sites: all,
		ttl:   duration(settings.GetTtl(), defaultTTL),
		stale: duration(settings.GetMaxStale(), defaultMaxStale),
	}
	known := len(had)
	had = keyset.Sources(issuer, &pb.KeySet{Sources: had})
	urls := slices.Compact(slices.Sorted(slices.Values(issuer.GetKeys().GetJwksUrls())))
	for _, url := range urls {
		p := &endpoint{url: url, refresh: make(chan struct{}, 1)}
		if i := slices.IndexFunc(had, func(s *pb.KeySet_Source) bool { return s.GetUrl() == url }); i >= 0 {
			p.source = had[i]
		}
		w.endpoints = append(w.endpoints, p)
	}
	if issuer.GetDiscovery() {
		p := &endpoint{refresh: make(chan struct{}, 1), discovery: true}
		if i := slices.IndexFunc(had, func(s *pb.KeySet_Source) bool { return !slices.Contains(urls, s.GetUrl()) }); i >= 0 {
			p.source = had[i]
		}
		w.endpoints = append(w.endpoints, p)
	}
	w.lost = len(w.sources()) < known
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
	w.untried.Store(int32(len(w.endpoints)))
	for _, p := range w.endpoints {
		w.group.Go(func() { w.run(ctx, p) })
	}
}

// stop ends the worker and returns the sources it had.
func (w *worker) stop() []*pb.KeySet_Source {
	w.cancel()
	w.group.Wait()
	w.mu.Lock()
	if w.putOff != nil {
		w.putOff.Stop() // if it has begun, it finds no endpoint to wake
	}
	w.mu.Unlock()
	w.client.close()
	for _, p := range w.endpoints {
		w.sites.release(p.site)
	}
	return w.sources()
}

func (w *worker) sources() []*pb.KeySet_Source {
	var all []*pb.KeySet_Source
	for _, p := range w.endpoints {
		if p.source != nil {
			all = append(all, proto.CloneOf(p.source))
		}
	}
	return all
}

// refresh has the URLs fetched now or, if that is too soon after the last
// fetch, as soon as it is not. It is false if that is to happen already.
func (w *worker) refresh(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	wait := time.Duration(0)
	if !w.lastFetch.IsZero() {
		wait = w.lastFetch.Add(w.cfg.Floor).Sub(now)
	}
	switch {
	case wait <= 0:
		w.ask(now)
	case w.putOff == nil:
		asked := w.lastFetch
		w.putOff = time.AfterFunc(wait, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.putOff = nil
			if w.lastFetch.Equal(asked) { // or else there was a fetch meanwhile
				w.ask(time.Now())
			}
		})
	default:
		return false
	}
	return true
}

// ask wakes the endpoints; w.mu is held.
func (w *worker) ask(now time.Time) {
	w.lastFetch = now
	for _, p := range w.endpoints {
		select {
		case p.refresh <- struct{}{}:
		default:
		}
	}
}

// run fetches one endpoint again and again.
func (w *worker) run(ctx context.Context, p *endpoint) {
	p.next = time.Now().Add(w.firstDelay(p))
	if w.resumed && p.source != nil {
		p.taken = p.source.GetFetchedAt().AsTime()
	}
	timer := time.NewTimer(time.Until(p.next))
	defer timer.Stop()
	tried := p.source != nil
	if tried {
		w.untried.Add(-1)
	}
	for {
		// A refresh does not cut the pause after a failure short.
		refresh := p.refresh
		if p.failures > 0 {
			refresh = nil
		}
		after := p.taken
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-refresh:
			// What another issuer has fetched just now will do.
			if recent := time.Now().Add(-w.cfg.Floor); recent.After(after) {
				after = recent
			}
		}
		// This fetch serves all who asked until now.
		select {
		case <-p.refresh:
		default:
		}
		w.fetch(ctx, p, after)
		if !tried {
			tried = true
			w.untried.Add(-1)
		}
		timer.Reset(time.Until(p.next))
	}
}

// firstDelay is none, but for a set known from before the start that is still fresh,
// and of which is known that it was fetched under these settings.
func (w *worker) firstDelay(p *endpoint) time.Duration {
	if !w.resumed || p.source.GetFetchedAt() == nil || p.source.GetFetchedUnder() == "" {
		return 0
	}
	left := time.Until(p.source.GetFetchedAt().AsTime().Add(jitter(w.ttl * 8 / 10)))
	return min(max(left, 0), w.ttl)
}

// jitter shortens d by up to a tenth, so that replicas and issuers do not fetch in step.
func jitter(d time.Duration) time.Duration {
	return d - rand.N(d/10+1) //nolint:gosec // spreads load; nobody gains by guessing it
}

// fetch gets what the endpoint serves, by a fetch that ended after the given time.
func (w *worker) fetch(ctx context.Context, p *endpoint, after time.Time) {
	w.mu.Lock()
	w.lastFetch = time.Now()
	w.mu.Unlock()
	if err := w.find(ctx, p); err != nil {
		if ctx.Err() == nil {
			p.failures++
			p.next = time.Now().Add(backoff(w.cfg.Backoff, w.cfg.MaxBackoff, p.failures))
			w.cfg.Fetched(w.issuer.GetId(), outcomeOf(err))
			w.logFailure(ctx, outcomeOf(err), p.failures, err)
		}
		return
	}
	f, led := p.site.get(ctx, after)
	if f == nil || ctx.Err() != nil {
		return // asked to end: says nothing about the server
	}
	p.taken, p.failures = f.at, f.failures
	if led {
		w.cfg.Fetched(w.issuer.GetId(), f.outcome)
	}
	if f.err != nil {
		p.next = f.at.Add(f.pause)
		w.logFailure(ctx, f.outcome, f.failures, f.err)
		return
	}
	fresh := w.ttl
	if f.answer.maxAge >= 0 {
		fresh = min(max(f.answer.maxAge, w.cfg.MinTTL), w.ttl)
	}
	p.next = f.at.Add(jitter(fresh * 8 / 10))
	w.take(ctx, p, f)
}

func (w *worker) logFailure(ctx context.Context, outcome Outcome, failures int, err error) {
	w.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "fetching a key set failed; the last good one stays",
		slog.String("issuer", w.issuer.GetId()), slog.String("outcome", string(outcome)),
		slog.Int("failures", failures), slog.Any("error", err))
}

// find gives the endpoint its site; by discovery each time, since the answer may change.
func (w *worker) find(ctx context.Context, p *endpoint) error {
	url := p.url
	if p.discovery {
		var err error
		if url, err = w.client.discover(ctx, w.issuer); err != nil {
			return err
		}
	}
	if p.site != nil && p.site.key.url == url {
		return nil
	}
	found, err := w.sites.acquire(url, w.issuer, w.client.timeout)
	if err != nil {
		return err
	}
	w.sites.release(p.site)
	p.site, p.taken = found, time.Time{}
	return nil
}

// take makes a good answer the endpoint's source and reports it.
func (w *worker) take(ctx context.Context, p *endpoint, f *flight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	source := &pb.KeySet_Source{
		Url: f.answer.url, Jwks: f.answer.jwks,
		FetchedAt: timestamppb.New(f.at), UsableUntil: timestamppb.New(f.at.Add(w.ttl + w.stale)),
		FetchedUnder: keyset.FetchedUnder(w.issuer, p.discovery),
	}
	changed := p.source.GetJwks() != source.GetJwks() || p.source.GetUrl() != source.GetUrl()
	p.source = source
	if skipped := f.answer.skipped; !slices.Equal(skipped, p.skipped) {
		p.skipped = skipped
		logSkipped(ctx, w.cfg.Logger, w.issuer.GetId(), source.GetUrl(), skipped)
	}
	w.cfg.Update(w.issuer.GetId(), w.sources(), changed)
}

// logSkipped names the keys that cannot be used, once: a set is fetched again and again.
func logSkipped(ctx context.Context, logger *slog.Logger, issuerID, url string, skipped []keyset.Skipped) {
	for _, s := range skipped {
		logger.LogAttrs(ctx, slog.LevelWarn, "a key of a key set cannot be used", slog.String("issuer", issuerID),
			slog.String("url", mask.URL(url)), slog.Int("index", s.Index), slog.String("kid", s.KeyID), slog.String("reason", s.Reason))
	}
}
