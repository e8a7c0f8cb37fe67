package restrict

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// DefaultKeys is how many counters a Store keeps if nothing else is said: about
// 200 MB at the very most, when each of them has a rate limit.
const DefaultKeys = 1 << 20

// Store holds the counters of one node. It is safe for concurrent use, and
// outlives the plans whose requests it counts.
//
// Memory is bounded. A counter that says no more than none (its window has
// passed) is dropped when others come. If the Store is full of counters that
// still matter, the one that would end soonest, among a few looked at, makes
// room: under a flood of new keys some are forgotten, which Evicted counts.
type Store struct {
	seed    maphash.Seed
	shards  [shards]shard
	perMap  int
	evicted atomic.Uint64
}

const (
	shards = 64
	// looks is how many counters are looked at when one is added.
	looks = 8
)

type shard struct {
	mu       sync.Mutex
	counters map[key]*counter
	_        [40]byte // one shard's lock does not slow down its neighbour's
}

type key struct{ group, subject uint64 }

// NewStore makes a Store of about keys counters; 0: DefaultKeys.
func NewStore(keys int) *Store {
	if keys <= 0 {
		keys = DefaultKeys
	}
	s := &Store{seed: maphash.MakeSeed(), perMap: max(1, keys/shards)}
	for i := range s.shards {
		s.shards[i].counters = make(map[key]*counter)
	}
	return s
}

// Len is the number of counters, those that have ended included.
func (s *Store) Len() int {
	n := 0
	for i := range s.shards {
		s.shards[i].mu.Lock()
		n += len(s.shards[i].counters)
		s.shards[i].mu.Unlock()
	}
	return n
}

// Evicted is how many counters that still mattered were dropped for want of room.
func (s *Store) Evicted() uint64 { return s.evicted.Load() }

func (s *Store) hash(text string) uint64       { return maphash.String(s.seed, text) }
func (s *Store) hashBytes(bytes []byte) uint64 { return maphash.Bytes(s.seed, bytes) }

// take checks all limits of a group and, if none refuses and count is set,
// counts the request in all of them. wait is when the limit that refuses might
// allow a request.
func (s *Store) take(g *group, subject uint64, now int64, count bool) (refused *limit, wait int64) {
	k := key{g.id, subject}
	sh := &s.shards[subject%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c := sh.counters[k]
	if c == nil {
		c = new(counter)
		if count {
			s.makeRoom(sh, now)
			sh.counters[k] = c
		}
	}
	for i := range g.limits {
		if wait = c.wait(&g.limits[i], now); wait > 0 {
			return &g.limits[i], wait
		}
	}
	for i := range g.limits {
		if count {
			c.count(&g.limits[i], now)
		}
	}
	return nil, 0
}

// makeRoom drops what has ended among a few counters, and, if the shard is full
// all the same, the one of them that ends soonest. Go's maps start their
// iteration at random, so every counter is looked at sooner or later.
func (s *Store) makeRoom(sh *shard, now int64) {
	var soonest key
	var ends int64
	seen := 0
	for k, c := range sh.counters {
		if c.ends <= now {
			delete(sh.counters, k)
		} else if ends == 0 || c.ends < ends {
			soonest, ends = k, c.ends
		}
		if seen++; seen == looks {
			break
		}
	}
	if len(sh.counters) >= s.perMap && ends != 0 {
		delete(sh.counters, soonest)
		s.evicted.Add(1)
	}
}
