package authn

import (
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/dpop"
	"github.com/portcullis-gateway/portcullis/shared/introspect"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

const (
	// negativeTTL is how long a refusal is remembered, in seconds.
	negativeTTL = 5
	// askInterval is the time between two reports of unknown keys of one issuer, in seconds.
	askInterval = 10
)

// Config sets the bounds of an Authenticator; zero values mean the defaults.
type Config struct {
	// MaxTokenBytes is the longest accepted token. Default 16 KiB, at most 64 KiB.
	MaxTokenBytes int
	// CacheEntries and CacheBytes bound the validated tokens that came more than once.
	// Defaults 100,000 and 256 MiB. Of those that came once, the newest 4,096 are kept in an
	// eighth of CacheBytes, and of as many others as CacheEntries their signature, which
	// takes about 140 bytes.
	CacheEntries, CacheBytes int
	// NegativeEntries and NegativeBytes bound the refused tokens. Defaults 4,096 and 8 MiB.
	NegativeEntries, NegativeBytes int
	// IntrospectionEntries and IntrospectionBytes bound the tokens that introspection
	// servers called active; as many refused ones are kept as NegativeEntries and
	// NegativeBytes say. Defaults 20,000 and 64 MiB.
	IntrospectionEntries, IntrospectionBytes int
	// Proofs bounds the DPoP proofs that are remembered as used. Default 524,288.
	Proofs int
	// Verifications is how many signatures are checked at a time. Default: one per processor.
	Verifications int
	// OnUnknownKey is called with the id of an issuer whose token names a key that is not
	// there, at most once in 10 s per issuer. It must not block. Nil: nobody asks.
	OnUnknownKey func(issuerID string)
}

// Authenticator validates tokens and remembers the outcome. It is safe for
// concurrent use and outlives every Keyring.
type Authenticator struct {
	cfg       Config
	seed      maphash.Seed
	positive  *cache[*Token] // tokens that came more than once
	newcomers *newcomers
	negative  *cache[refused]
	flights   singleflight.Group
	verifying chan struct{} // a place for each signature check at work
	verified  func()        // gives one back; made once

	asked     *cache[*Token]   // introspected tokens
	inactive  *cache[inactive] // and refused ones
	inquiries singleflight.Group
	servers   *introspect.Pool
	outcomes  map[introspect.Outcome]*atomic.Uint64 // one for each; the map never changes
	proofs    *dpop.Replays

	mu      sync.Mutex
	unknown map[string]int64 // issuer id → when an unknown key was last reported

	hits, misses, negativeHits, validations atomic.Uint64
	askedHits, askedMisses, askedNegative   atomic.Uint64
}

// refused is a remembered refusal. It holds for one keyring only.
type refused struct {
	ring   *Keyring
	denial *denial.Denial
	from   int64
}

// New makes an Authenticator.
func New(cfg Config) *Authenticator {
	def := func(n *int, to int) {
		if *n <= 0 {
			*n = to
		}
	}
	def(&cfg.MaxTokenBytes, token.DefaultSize)
	def(&cfg.CacheEntries, 100_000)
	def(&cfg.CacheBytes, 256<<20)
	def(&cfg.NegativeEntries, 4096)
	def(&cfg.NegativeBytes, 8<<20)
	def(&cfg.IntrospectionEntries, 20_000)
	def(&cfg.IntrospectionBytes, 64<<20)
	def(&cfg.Verifications, runtime.GOMAXPROCS(0))
	outcomes := map[introspect.Outcome]*atomic.Uint64{}
	for _, o := range introspect.Outcomes() {
		outcomes[o] = new(atomic.Uint64)
	}
	a := &Authenticator{
		cfg:       cfg,
		seed:      maphash.MakeSeed(),
		positive:  newCache[*Token](cfg.CacheEntries, cfg.CacheBytes),
		newcomers: newNewcomers(cfg.CacheBytes/newcomersShare, cfg.CacheEntries),
		negative:  newCache[refused](cfg.NegativeEntries, cfg.NegativeBytes),
		verifying: make(chan struct{}, cfg.Verifications),
		asked:     newCache[*Token](cfg.IntrospectionEntries, cfg.IntrospectionBytes),
		inactive:  newCache[inactive](cfg.NegativeEntries, cfg.NegativeBytes),
		servers:   introspect.NewPool(),
		outcomes:  outcomes,
		proofs:    dpop.NewReplays(cfg.Proofs),
		unknown:   map[string]int64{},
	}
	a.positive.evicted = a.newcomers.keepSignature
	a.verified = func() { <-a.verifying }
	return a
}

// Token validates a token by the issuers of ring at now (seconds since 1970). The
// error is a *denial.Denial: InvalidToken, TokenTooLong, TokenExpired or
// KeysUnavailable. For a token that is remembered it does not allocate. compact is not kept.
func (a *Authenticator) Token(ring *Keyring, compact []byte, now int64) (*Token, error) {
	if len(compact) > a.cfg.MaxTokenBytes {
		return nil, denial.TokenTooLong.Because(cause.TooLong)
	}
	hash := maphash.Bytes(a.seed, compact)
	if t, ok := a.recall(hash, compact); ok {
		if ring.has(t.Issuer) {
			switch t.state(now) {
			case live:
				a.hits.Add(1)
				return t, nil
			case expired:
				a.hits.Add(1)
				a.positive.remove(hash, compact)
				return nil, denial.TokenExpired
			default: // validated again
			}
		}
		a.positive.remove(hash, compact)
	}
	if d := a.refusal(ring, hash, compact, now); d != nil {
		a.negativeHits.Add(1)
		return nil, d
	}
	a.misses.Add(1)
	return a.validate(ring, hash, compact, now)
}

// recall finds a token that was validated before. One that came once only before is now
// one that comes again.
func (a *Authenticator) recall(hash uint64, compact []byte) (*Token, bool) {
	if t, ok := a.positive.get(hash, compact); ok {
		return t, true
	}
	e, ok := a.newcomers.whole.take(hash, compact)
	if ok {
		a.positive.put(hash, e.compact, e.value, e.size)
	}
	return e.value, ok
}

// refusal returns the remembered refusal of a token, or nil.
func (a *Authenticator) refusal(ring *Keyring, hash uint64, compact []byte, now int64) *denial.Denial {
	r, ok := a.negative.get(hash, compact)
	if !ok || r.ring != ring || now < r.from || now >= r.from+negativeTTL {
		return nil
	}
	return r.denial
}

// flight is the outcome of one validation, with the keyring it holds for.
type flight struct {
	ring  *Keyring
	token *Token
	fail  Failure
}

// validate checks a token that is not remembered. Requests that carry it at the
// same moment share the check, unless they see different keyrings.
func (a *Authenticator) validate(ring *Keyring, hash uint64, compact []byte, now int64) (*Token, error) {
	own := string(compact) // outlives the request
	shared, _, _ := a.flights.Do(own, func() (any, error) {
		// Another flight may have landed after this request looked.
		if t, ok := a.recall(hash, compact); ok && ring.has(t.Issuer) && t.state(now) == live {
			return flight{ring: ring, token: t}, nil
		}
		if known := a.refusal(ring, hash, compact, now); known != nil {
			return flight{ring: ring, fail: Failure{Denial: known}}, nil //nolint:nilerr // the refusal is the result
		}
		signed := a.newcomers.signature(hash, compact)
		t, fail := a.check(ring, compact, now, signed)
		a.remember(ring, hash, own, now, t, fail, signed != nil)
		return flight{ring, t, fail}, nil
	})
	done, ok := shared.(flight)
	if !ok || done.ring != ring {
		t, fail := a.check(ring, compact, now, nil)
		done = flight{ring, t, fail}
	}
	if done.fail.Denial != nil {
		return nil, done.fail.Denial
	}
	return done.token, nil
}

// remember keeps the outcome of a check. again: the token came before.
func (a *Authenticator) remember(ring *Keyring, hash uint64, compact string, now int64, t *Token, fail Failure, again bool) {
	switch {
	case fail.Denial == nil && again:
		a.newcomers.forget(hash)
		a.positive.put(hash, compact, t, t.size(len(compact)))
	case fail.Denial == nil:
		a.newcomers.whole.put(hash, compact, t, t.size(len(compact)))
	case fail.costly:
		a.negative.put(hash, compact, refused{ring, fail.Denial, now}, len(compact)+128)
	}
}

// Explain validates a token without any cache, and says why if it is refused.
func (a *Authenticator) Explain(ring *Keyring, compact []byte, now int64) (*Token, Failure) {
	return a.check(ring, compact, now, nil)
}

// unknownKey reports an issuer's missing key, but not too often.
func (a *Authenticator) unknownKey(issuerID string, now int64) {
	if a.cfg.OnUnknownKey == nil {
		return
	}
	a.mu.Lock()
	last, known := a.unknown[issuerID]
	due := !known || now-last >= askInterval || now < last
	if due {
		a.unknown[issuerID] = now
	}
	a.mu.Unlock()
	if due {
		a.cfg.OnUnknownKey(issuerID)
	}
}

// Stats are running totals and present sizes.
type Stats struct {
	Hits, Misses, NegativeHits, Evictions uint64
	// Validations counts full checks, which are fewer than the misses when requests share one.
	Validations uint64
	// SignatureHits are the validations for which the signature was known.
	SignatureHits  uint64
	Entries, Bytes int
	// Signatures are the tokens of which only the signature is remembered.
	Signatures                     int
	NegativeEntries, NegativeBytes int
	// Introspected are those of introspected tokens.
	Introspected Introspected
	// Proofs are the DPoP proofs remembered as used; ProofsRefused those for which there was no room.
	Proofs        int
	ProofsRefused uint64
}

// Introspected are running totals and present sizes of introspection.
type Introspected struct {
	Hits, Misses, NegativeHits, Evictions uint64
	Entries, Bytes                        int
	NegativeEntries, NegativeBytes        int
	// Outcomes counts the questions to servers by how they ended.
	Outcomes map[introspect.Outcome]uint64
	// OpenCircuits are servers that are not asked at present because they fail;
	// Openings is how often that has begun.
	OpenCircuits int
	Openings     uint64
}

// Stats returns the caches' figures.
func (a *Authenticator) Stats() Stats {
	s := Stats{
		Hits: a.hits.Load(), Misses: a.misses.Load(), NegativeHits: a.negativeHits.Load(),
		Evictions: a.positive.evictions.Load(), Validations: a.validations.Load(),
	}
	s.Evictions += a.newcomers.whole.evictions.Load()
	s.SignatureHits, s.Signatures = a.newcomers.hits.Load(), a.newcomers.count()
	s.Entries, s.Bytes = a.positive.size()
	entries, bytes := a.newcomers.whole.size()
	s.Entries, s.Bytes = s.Entries+entries, s.Bytes+bytes
	s.NegativeEntries, s.NegativeBytes = a.negative.size()
	s.Proofs, s.ProofsRefused = a.proofs.Size()
	in := &s.Introspected
	in.Hits, in.Misses, in.NegativeHits = a.askedHits.Load(), a.askedMisses.Load(), a.askedNegative.Load()
	in.Evictions = a.asked.evictions.Load()
	in.Entries, in.Bytes = a.asked.size()
	in.NegativeEntries, in.NegativeBytes = a.inactive.size()
	in.OpenCircuits, in.Openings = a.servers.Circuits()
	in.Outcomes = make(map[introspect.Outcome]uint64, len(a.outcomes))
	for o, n := range a.outcomes {
		in.Outcomes[o] = n.Load()
	}
	return s
}
