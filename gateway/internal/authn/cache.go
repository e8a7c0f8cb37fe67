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
}

type shard[V any] struct {
	mu       sync.Mutex
	lru      *simplelru.LRU[uint64, entry[V]]
	bytes    int
	maxBytes int
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
		s.maxBytes = max(bytes/shardCount, 1)
		lru, err := simplelru.NewLRU(max(entries/shardCount, 1), func(_ uint64, e entry[V]) { s.bytes -= e.size })
		if err != nil {
			panic("BUG: make LRU: " + err.Error())
		}
		s.lru = lru
	}
	return c
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

// put copies compact. What is larger than a shard is not kept.
func (c *cache[V]) put(hash uint64, compact []byte, value V, size int) {
	s := c.shard(hash)
	if size > s.maxBytes {
		return
	}
	e := entry[V]{string(compact), value, size}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Remove(hash)
	evicted := uint64(0)
	for s.bytes+size > s.maxBytes {
		if _, _, ok := s.lru.RemoveOldest(); !ok {
			break
		}
		evicted++
	}
	s.bytes += size
	if s.lru.Add(hash, e) {
		evicted++
	}
	c.evictions.Add(evicted)
}

// remove forgets a token.
func (c *cache[V]) remove(hash uint64, compact []byte) {
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.lru.Peek(hash); ok && e.compact == string(compact) {
		s.lru.Remove(hash)
	}
}

func (c *cache[V]) size() (entries, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		entries, bytes = entries+s.lru.Len(), bytes+s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}
