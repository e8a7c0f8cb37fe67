package authn

import (
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const shardCount = 32

// cache maps the exact bytes of tokens to V, bounded in entries and bytes, least
// recently used out first. The caller brings the hash. It is split so that requests seldom wait for each other.
type cache[V any] struct {
	shards    [shardCount]shard[V]
	evictions atomic.Uint64
	// evicted is called with what makes room for others, or finds none; nil: nobody cares.
	evicted func(hash uint64, value V)
}

type shard[V any] struct {
	mu       sync.Mutex
	lru      *simplelru.LRU[uint64, entry[V]]
	bytes    int
	maxBytes int
	most     int // entries
}

// entry keeps the token itself: two tokens of one hash are never taken for each other.
type entry[V any] struct {
	compact string
	value   V
	size    int
}

func newCache[V any](entries, bytes int) *cache[V] {
	c := &cache[V]{}
	for i := range c.shards {
		s := &c.shards[i]
		s.maxBytes, s.most = max(bytes/shardCount, 1), max(entries/shardCount, 1)
		s.lru = newLRU(entries, func(_ uint64, e entry[V]) { s.bytes -= e.size })
	}
	return c
}

// newLRU makes the LRU of one shard of a cache with so many entries.
func newLRU[V any](entries int, removed func(uint64, V)) *simplelru.LRU[uint64, V] {
	lru, err := simplelru.NewLRU(max(entries/shardCount, 1), removed)
	if err != nil {
		panic("BUG: make LRU: " + err.Error())
	}
	return lru
}

func (c *cache[V]) shard(hash uint64) *shard[V] { return &c.shards[hash%shardCount] }

// get does not allocate.
func (c *cache[V]) get(hash uint64, compact []byte) (V, bool) {
	s := c.shard(hash)
	s.mu.Lock()
	e, ok := s.lru.Get(hash)
	s.mu.Unlock()
	if !ok || e.compact != string(compact) {
		var none V
		return none, false
	}
	return e.value, true
}

// put keeps a token. What is larger than a shard is not kept.
func (c *cache[V]) put(hash uint64, compact string, value V, size int) {
	s := c.shard(hash)
	if size > s.maxBytes {
		c.gone(hash, value)
		return
	}
	e := entry[V]{compact, value, size}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Remove(hash)
	for s.bytes+size > s.maxBytes || s.lru.Len() >= s.most {
		oldest, e, ok := s.lru.RemoveOldest()
		if !ok {
			break
		}
		c.evictions.Add(1)
		c.gone(oldest, e.value)
	}
	s.bytes += size
	s.lru.Add(hash, e)
}

func (c *cache[V]) gone(hash uint64, value V) {
	if c.evicted != nil {
		c.evicted(hash, value)
	}
}

// take removes a token and returns it.
func (c *cache[V]) take(hash uint64, compact []byte) (entry[V], bool) {
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.lru.Peek(hash)
	if !ok || e.compact != string(compact) {
		return entry[V]{}, false
	}
	s.lru.Remove(hash)
	return e, true
}

// remove forgets a token.
func (c *cache[V]) remove(hash uint64, compact []byte) { c.take(hash, compact) }

func (c *cache[V]) size() (entries, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		entries, bytes = entries+s.lru.Len(), bytes+s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}
