package authn

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

const (
	// wholeNewcomers is how many tokens that came once are kept whole, and newcomersShare
	// the part of the memory for validated tokens that they may take besides.
	wholeNewcomers = 4096
	newcomersShare = 8
)

// newcomers are tokens that came once. Most tokens of clients that fetch one for each
// request never come again, and whole they take kilobytes. So only the newest few are
// kept whole; of those that make room for others, what is dear stays: that the signature
// was found good. One that comes a second time moves to the cache of validated tokens.
type newcomers struct {
	whole  *cache[*Token]
	signed [shardCount]signatures
	hits   atomic.Uint64 // signatures that need not be checked again
}

// signature is that a token was signed with a key of an issuer. It belongs to exactly
// this compiled issuer, as a validated token does, and says nothing of anything else.
type signature struct {
	sha256 [sha256.Size]byte // of the compact serialisation
	issuer *Issuer
	key    *keyset.Key
}

// signatures are those of one shard.
type signatures struct {
	mu  sync.Mutex
	lru *simplelru.LRU[uint64, signature]
}

// newNewcomers bounds the tokens that are kept whole in bytes, and the signatures in number.
func newNewcomers(bytes, signatures int) *newcomers {
	n := &newcomers{whole: newCache[*Token](min(wholeNewcomers, signatures), bytes)}
	for i := range n.signed {
		n.signed[i].lru = newLRU[signature](signatures, nil)
	}
	n.whole.evicted = n.keepSignature
	return n
}

func (n *newcomers) keepSignature(hash uint64, t *Token) {
	s := &n.signed[hash%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Add(hash, signature{t.SHA256, t.Issuer, t.key})
}

// signature finds out that a token's signature was found good before; nil: that is not known.
func (n *newcomers) signature(hash uint64, compact []byte) *signature {
	s := &n.signed[hash%shardCount]
	s.mu.Lock()
	known, ok := s.lru.Peek(hash)
	s.mu.Unlock()
	if !ok || known.sha256 != sha256.Sum256(compact) {
		return nil
	}
	found := known // what is not found costs no allocation
	return &found
}

// forget takes the signature of a token out that is now remembered whole.
func (n *newcomers) forget(hash uint64) {
	s := &n.signed[hash%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Remove(hash)
}

// count is the number of signatures that are kept.
func (n *newcomers) count() (total int) {
	for i := range n.signed {
		s := &n.signed[i]
		s.mu.Lock()
		total += s.lru.Len()
		s.mu.Unlock()
	}
	return total
}

// by returns the key, if the signature is one of this issuer's tokens and the key may
// still be used; nil: the signature must be checked.
func (s *signature) by(issuer *Issuer, now int64) *keyset.Key {
	if s == nil || s.issuer != issuer || !s.key.ValidAt(now) {
		return nil
	}
	return s.key
}
