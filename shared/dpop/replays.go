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
//
// Proofs have owners. Each may fill as much of the memory as it leaves free: alone
// half of it, where one other does the same a third, and who needs little finds room
// beside any number of them. So nobody who uses proofs without measure keeps others
// from theirs.
type Replays struct {
	shards [replayShards]replayShard
	full   atomic.Uint64

	owners owners
}

type replayShard struct {
	mu    sync.Mutex
	used  map[[16]byte]use
	swept int64
}

// use is a proof's. It is as small as it can be, since there are many.
type use struct {
	until uint32 // seconds since 1970: until 2106
	owner uint32 // its number in owners
}

// owners counts the proofs of each owner that has any.
type owners struct {
	mu      sync.Mutex
	numbers map[[16]byte]uint32
	list    []owner
	free    []uint32 // numbers of no owner
	total   int
	most    int
	swept   int64 // when all shards were swept last because an owner had no room
}

type owner struct {
	name  [16]byte
	count int
}

// NewReplays makes a memory for so many proofs; 0: 524,288, which take up to about 30 MiB.
func NewReplays(entries int) *Replays {
	if entries <= 0 {
		entries = 512 << 10
	}
	return &Replays{owners: owners{numbers: map[[16]byte]uint32{}, most: entries}}
}

// id names a proof: its jti is unique only for its key.
func id(thumbprint, jti string) [16]byte {
	var room [maxID + 64]byte
	sum := sha256.Sum256(append(append(append(room[:0], thumbprint...), ' '), jti...))
	return [16]byte(sum[:16])
}

func nameOf(owner string) [16]byte {
	sum := sha256.Sum256([]byte(owner))
	return [16]byte(sum[:16])
}

// Used reports whether a proof was used before, at now (Unix seconds).
func (r *Replays) Used(thumbprint, jti string, now int64) bool {
	key := id(thumbprint, jti)
	s := &r.shards[key[0]%replayShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knows(key, now)
}

func (s *replayShard) knows(key [16]byte, now int64) bool {
	had, known := s.used[key]
	return known && now <= int64(had.until)
}

// Use marks a proof of an owner as used; until is the last second in which it would be
// accepted. An owner is who answers for the proof's token: keys are free to make. The
// error is ErrReplayed, ErrShare or ErrFull.
func (r *Replays) Use(owner, thumbprint, jti string, now, until int64) error {
	number, err := r.take(nameOf(owner), now)
	if err == nil {
		if err = r.remember(id(thumbprint, jti), number, now, until); err != nil {
			r.owners.giveBack(number, 1)
		}
	}
	if err == ErrFull || err == ErrShare { //nolint:errorlint // constants, never wrapped
		r.full.Add(1)
	}
	return err
}

// take counts one more proof for an owner. What has expired is looked for before
// anybody is refused, but not more than once in a second.
func (r *Replays) take(owner [16]byte, now int64) (number uint32, err error) {
	number, sweep, err := r.owners.take(owner, now)
	if sweep {
		for i := range r.shards {
			r.sweep(&r.shards[i], now)
		}
		number, _, err = r.owners.take(owner, now)
	}
	return number, err
}

func (r *Replays) remember(key [16]byte, owner uint32, now, until int64) error {
	s := &r.shards[key[0]%replayShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.knows(key, now) {
		return ErrReplayed
	}
	if s.used == nil {
		s.used = map[[16]byte]use{}
	}
	if now-s.swept >= sweepInterval {
		r.sweepLocked(s, now)
	}
	if had, known := s.used[key]; known { // expired since the sweep
		r.owners.giveBack(had.owner, 1)
	}
	s.used[key] = use{until: uint32(until), owner: owner}
	return nil
}

func (r *Replays) sweep(s *replayShard, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.sweepLocked(s, now)
}

func (r *Replays) sweepLocked(s *replayShard, now int64) {
	s.swept = now
	gone := map[uint32]int{}
	for key, had := range s.used {
		if now > int64(had.until) {
			delete(s.used, key)
			gone[had.owner]++
		}
	}
	for owner, n := range gone {
		r.owners.giveBack(owner, n)
	}
}

// take counts one more proof, if the owner has not more than are free. sweep: it has,
// and nobody has tried in this second to make room.
func (o *owners) take(name [16]byte, now int64) (number uint32, sweep bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	number, known := o.numbers[name]
	count := 0
	if known {
		count = o.list[number].count
	}
	if free := o.most - o.total; count >= free {
		sweep = o.swept != now
		o.swept = now
		if free <= 0 {
			return 0, sweep, ErrFull
		}
		return 0, sweep, ErrShare
	}
	if !known {
		number = o.add(name)
	}
	o.list[number].count++
	o.total++
	return number, false, nil
}

func (o *owners) add(name [16]byte) uint32 {
	number := uint32(len(o.list))
	if n := len(o.free); n > 0 {
		number = o.free[n-1]
		o.free = o.free[:n-1]
		o.list[number].name = name
	} else {
		o.list = append(o.list, owner{name: name})
	}
	o.numbers[name] = number
	return number
}

func (o *owners) giveBack(number uint32, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.total -= n
	one := &o.list[number]
	if one.count -= n; one.count == 0 {
		delete(o.numbers, one.name)
		o.free = append(o.free, number)
	}
}

// Size returns how many proofs are remembered, and how many were refused
// because there was no room for them.
func (r *Replays) Size() (entries int, refused uint64) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		entries += len(s.used)
		s.mu.Unlock()
	}
	return entries, r.full.Load()
}
