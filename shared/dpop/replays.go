package dpop

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
)

const (
	replayShards = 64
	// sweepInterval is the time between two searches for what has expired, in seconds.
	sweepInterval = 15
)

// Replays remembers the proofs that were used, each until it is too old to be
// accepted anyway. It is safe for concurrent use.
type Replays struct {
	shards [replayShards]replayShard
	each   int
	full   atomic.Uint64
}

type replayShard struct {
	mu    sync.Mutex
	until map[[16]byte]int64
	swept int64
}

// NewReplays makes a memory for so many proofs; 0: 524,288, which take up to about 30 MiB.
func NewReplays(entries int) *Replays {
	if entries <= 0 {
		entries = 512 << 10
	}
	return &Replays{each: max(entries/replayShards, 1)}
}

// id names a proof: its jti is unique only for its key.
func id(thumbprint, jti string) [16]byte {
	sum := sha256.Sum256([]byte(thumbprint + " " + jti))
	return [16]byte(sum[:16])
}

// Used reports whether a proof was used before, at now (Unix seconds).
func (r *Replays) Used(thumbprint, jti string, now int64) bool {
	key := id(thumbprint, jti)
	s := &r.shards[key[0]%replayShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	until, known := s.until[key]
	return known && now <= until
}

// Use marks a proof as used; until is the last second in which it would be
// accepted. The error is ErrReplayed or ErrFull.
func (r *Replays) Use(thumbprint, jti string, now, until int64) error {
	key := id(thumbprint, jti)
	s := &r.shards[key[0]%replayShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if had, known := s.until[key]; known && now <= had {
		return ErrReplayed
	}
	if s.until == nil {
		s.until = map[[16]byte]int64{}
	}
	if now-s.swept >= sweepInterval || len(s.until) >= r.each && now != s.swept {
		s.sweep(now)
	}
	if len(s.until) >= r.each {
		r.full.Add(1)
		return ErrFull
	}
	s.until[key] = until
	return nil
}

func (s *replayShard) sweep(now int64) {
	s.swept = now
	for key, until := range s.until {
		if now > until {
			delete(s.until, key)
		}
	}
}

// Size returns how many proofs are remembered, and how many were refused
// because there was no room.
func (r *Replays) Size() (entries int, refused uint64) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		entries += len(s.until)
		s.mu.Unlock()
	}
	return entries, r.full.Load()
}
