package jwks

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// Outcome is how a fetch ended; it is meant as a metric label.
type Outcome string

// The outcomes.
const (
	Success      Outcome = "success"
	NotModified  Outcome = "not_modified"
	Unreachable  Outcome = "unreachable"   // no connection, or TLS failed
	Timeout      Outcome = "timeout"       // no whole answer in time
	BadStatus    Outcome = "bad_status"    // neither 200 nor an expected 304
	BadRedirect  Outcome = "bad_redirect"  // to another host, to plain HTTP, or too many
	TooLarge     Outcome = "too_large"     // more bytes than allowed
	Invalid      Outcome = "invalid"       // not a JWK set, or too many keys
	NoUsableKey  Outcome = "no_usable_key" // a JWK set without one key that can be used
	BadDiscovery Outcome = "bad_discovery" // the provider's metadata cannot be used
	NoSecret     Outcome = "no_secret"     // bearer_token or client_key cannot be read or used
)

// Config is what a Fetcher works with. Its Logger is told of failures and, once, of each key
// that cannot be used. Callbacks may be nil; they are called from several goroutines, for
// one issuer one after another, and must not block long.
type Config struct {
	Logger *slog.Logger
	// Update gets an issuer's sources, all of them, after every successful fetch.
	// changed reports whether their URLs or keys differ from the last time.
	Update func(issuerID string, sources []*pb.KeySet_Source, changed bool)
	// Known returns the sources an issuer is known to have, when the Fetcher
	// gets it for the first time. So a restart does not forget the last good set
	// of a URL that is down.
	Known func(issuerID string) []*pb.KeySet_Source
	// Fetched counts a fetch. One that several issuers share counts once, for the
	// one who needed it first.
	Fetched func(issuerID string, outcome Outcome)
	// Secrets reads what issuers name for their key servers, before each fetch.
	Secrets keyset.Secrets

	// Floor is the shortest time between a fetch and one that Refresh asks for. Default 10s.
	Floor time.Duration
	// MinTTL bounds what an answer's max-age may ask for. Default 10s.
	MinTTL time.Duration
	// Backoff is the pause after a first failure, MaxBackoff the longest. Defaults 1s and 60s.
	Backoff, MaxBackoff time.Duration
}

// Fetcher fetches key sets. Make it with New and let Run work.
type Fetcher struct {
	cfg  Config
	wake chan struct{} // of capacity 1: the wanted issuers have changed

	sites sites

	mu      sync.Mutex
	wanted  map[string]*pb.Issuer
	workers map[string]*worker
	behind  bool // workers are not yet those of wanted
}

// New makes a Fetcher; it does nothing before Run.
func New(cfg Config) *Fetcher {
	setDefault(&cfg.Floor, 10*time.Second)
	setDefault(&cfg.MinTTL, 10*time.Second)
	setDefault(&cfg.Backoff, time.Second)
	setDefault(&cfg.MaxBackoff, time.Minute)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Update == nil {
		cfg.Update = func(string, []*pb.KeySet_Source, bool) {}
	}
	if cfg.Known == nil {
		cfg.Known = func(string) []*pb.KeySet_Source { return nil }
	}
	if cfg.Fetched == nil {
		cfg.Fetched = func(string, Outcome) {}
	}
	return &Fetcher{
		cfg: cfg, wake: make(chan struct{}, 1),
		sites:  sites{secrets: cfg.Secrets, backoff: cfg.Backoff, maxBackoff: cfg.MaxBackoff, byKey: map[siteKey]*site{}},
		wanted: map[string]*pb.Issuer{}, workers: map[string]*worker{},
	}
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d <= 0 {
		*d = to
	}
}

// SetIssuers says whose keys to fetch from now on; those without URLs and
// discovery are passed over. An issuer whose settings are the same goes on undisturbed.
func (f *Fetcher) SetIssuers(issuers []*pb.Issuer) {
	wanted := make(map[string]*pb.Issuer, len(issuers))
	for _, issuer := range issuers {
		if len(issuer.GetKeys().GetJwksUrls()) > 0 || issuer.GetDiscovery() {
			wanted[issuer.GetId()] = settingsOf(issuer)
		}
	}
	f.mu.Lock()
	f.wanted, f.behind = wanted, true
	select { // under the lock, so that reconcile sees whether it is behind
	case f.wake <- struct{}{}:
	default:
	}
	f.mu.Unlock()
}

// settingsOf copies what matters for fetching.
func settingsOf(issuer *pb.Issuer) *pb.Issuer {
	return proto.CloneOf(&pb.Issuer{
		Id: issuer.GetId(), Issuer: issuer.GetIssuer(), Discovery: issuer.GetDiscovery(), Jwks: issuer.GetJwks(),
		Metadata: issuer.GetMetadata(), MetadataUrl: issuer.GetMetadataUrl(),
		Keys: &pb.Keys{JwksUrls: issuer.GetKeys().GetJwksUrls()},
	})
}

// Refresh asks for an issuer's keys now, as for an unknown `kid`. It returns at
// once. If the issuer was fetched less than Config.Floor ago, it is fetched when
// that time is over. It is false if the issuer is not known or a refresh waits
// already. A URL that pauses after a failure is not tried sooner.
func (f *Fetcher) Refresh(issuerID string) bool {
	f.mu.Lock()
	w := f.workers[issuerID]
	f.mu.Unlock()
	return w != nil && w.refresh(time.Now())
}

// Untried are the ids of issuers whose keys are to be fetched and of whom some URL has
// neither been read nor failed yet, sorted.
func (f *Fetcher) Untried() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.behind {
		return slices.Sorted(maps.Keys(f.wanted))
	}
	var ids []string
	for id, w := range f.workers {
		if w.untried.Load() > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Run fetches until ctx ends, and returns when all it started has ended.
func (f *Fetcher) Run(ctx context.Context) {
	defer f.stopAll()
	for {
		f.reconcile(ctx)
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
	}
}

// reconcile stops workers that are not wanted any more and starts those that are missing.
func (f *Fetcher) reconcile(ctx context.Context) {
	f.mu.Lock()
	wanted := f.wanted
	f.behind = true
	var ended []*worker
	for id, w := range f.workers {
		if !proto.Equal(wanted[id], w.issuer) {
			delete(f.workers, id)
			ended = append(ended, w)
		}
	}
	f.mu.Unlock()
	left := map[string][]*pb.KeySet_Source{}
	for _, w := range ended {
		left[w.issuer.GetId()] = w.stop()
	}
	for id, issuer := range wanted {
		if f.has(id) {
			continue
		}
		had, known := left[id]
		if !known {
			had = f.cfg.Known(id)
		} else {
			// The settings have changed: what was fetched under nobody knows which is not kept.
			had = slices.DeleteFunc(had, func(s *pb.KeySet_Source) bool { return s.GetFetchedUnder() == "" })
		}
		w, err := newWorker(f.cfg, &f.sites, issuer, had)
		if err != nil {
			f.cfg.Logger.LogAttrs(ctx, slog.LevelError, "cannot fetch the keys of an issuer",
				slog.String("issuer", id), slog.Any("error", err))
			continue
		}
		w.resumed = !known
		w.start(ctx)
		f.mu.Lock()
		f.workers[id] = w
		f.mu.Unlock()
	}
	f.mu.Lock()
	f.behind = len(f.wake) > 0
	f.mu.Unlock()
}

func (f *Fetcher) has(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.workers[id] != nil
}

func (f *Fetcher) stopAll() {
	f.mu.Lock()
	workers := f.workers
	f.workers = map[string]*worker{}
	f.mu.Unlock()
	for _, w := range workers {
		w.stop()
	}
}
