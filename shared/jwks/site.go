package jwks

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// site is one URL as some issuers reach it. They share its fetches, so that a
// server sees as many as if one issuer named it. Issuers that trust other roots,
// have another timeout or say in another way who they are have their own site.
type site struct {
	key    siteKey
	client *client
	users  int // guarded by sites.mu

	backoff, maxBackoff time.Duration

	mu       sync.Mutex
	flight   *flight // nil: no fetch is under way
	last     *flight // the fetch that ended last
	good     *answer // of the last fetch that succeeded
	failures int
}

type siteKey struct {
	url, caPEM, auth string
	timeout          time.Duration
}

// flight is one fetch and, once done is closed, how it ended.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int // guarded by site.mu

	at       time.Time // when it ended
	answer   *answer
	err      error
	outcome  Outcome
	failures int           // in a row, this one included
	pause    time.Duration // after a failure
}

// get returns a fetch that ended after the given time: the last one, the one
// that is under way, or a new one; led reports that it is new. It is nil if ctx
// ended before.
func (s *site) get(ctx context.Context, after time.Time) (f *flight, led bool) {
	s.mu.Lock()
	if s.flight == nil && s.last != nil && s.last.at.After(after) {
		defer s.mu.Unlock()
		return s.last, false
	}
	if led = s.flight == nil; led {
		// The fetch goes on for the others when the caller that began it leaves.
		flying, cancel := context.WithCancel(context.WithoutCancel(ctx))
		s.flight = &flight{done: make(chan struct{}), cancel: cancel}
		go s.fly(flying, s.flight)
	}
	f = s.flight
	f.waiting++
	s.mu.Unlock()
	select {
	case <-f.done:
		return f, led
	case <-ctx.Done():
		s.leave(f)
		return nil, false
	}
}

// leave ends a fetch that no issuer waits for any more.
func (s *site) leave(f *flight) {
	s.mu.Lock()
	f.waiting--
	alone := f.waiting == 0
	if alone && s.flight == f {
		s.flight = nil
	}
	s.mu.Unlock()
	if alone {
		f.cancel()
		<-f.done
	}
}

func (s *site) fly(ctx context.Context, f *flight) {
	defer f.cancel()
	defer close(f.done)
	s.mu.Lock()
	had := s.good
	s.mu.Unlock()
	etag := ""
	if had != nil {
		etag = had.etag
	}
	got, err := s.client.keySet(ctx, s.key.url, etag)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.at, f.answer, f.err = time.Now(), got, err
	if s.flight != f {
		return // everybody left
	}
	s.flight, s.last = nil, f
	if err != nil {
		s.failures++
		f.outcome, f.failures, f.pause = outcomeOf(err), s.failures, s.pause()
		return
	}
	s.failures, f.outcome = 0, Success
	if got.unchanged {
		f.outcome = NotModified
		got.jwks, got.etag, got.skipped = had.jwks, had.etag, had.skipped
	}
	s.good = got
}

func outcomeOf(err error) Outcome {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.outcome
	}
	return Unreachable
}

// pause grows with the failures in a row, and is jittered by half.
func (s *site) pause() time.Duration { return backoff(s.backoff, s.maxBackoff, s.failures) }

func backoff(first, most time.Duration, failures int) time.Duration {
	pause := most
	if failures < 20 {
		pause = min(pause, first<<(failures-1))
	}
	return pause/2 + rand.N(pause/2+1) //nolint:gosec // spreads load; nobody gains by guessing it
}

// sites are those that an issuer uses.
type sites struct {
	secrets             keyset.Secrets
	backoff, maxBackoff time.Duration

	mu    sync.Mutex
	byKey map[siteKey]*site
}

// acquire returns the site of a URL for an issuer, for the caller to release.
func (all *sites) acquire(url string, issuer *pb.Issuer, timeout time.Duration) (*site, error) {
	auth := authOf(issuer, url, all.secrets)
	key := siteKey{url, issuer.GetJwks().GetCaPem(), auth.id(), timeout}
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.byKey[key]
	if s == nil {
		client, err := newClient(key.caPEM, key.timeout, auth)
		if err != nil {
			return nil, err
		}
		s = &site{key: key, client: client, backoff: all.backoff, maxBackoff: all.maxBackoff}
		all.byKey[key] = s
	}
	s.users++
	return s, nil
}

func (all *sites) release(s *site) {
	if s == nil {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(all.byKey, s.key)
		s.client.close()
	}
}
