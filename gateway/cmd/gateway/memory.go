package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// Garbage may take this much before it is collected, or roomShare percent of what
	// is in use. The state of a large fleet has next to no pointers, so that a collection
	// costs a few milliseconds of one processor whatever its size (GODEBUG=gctrace=1).
	room      = 32 << 20
	roomShare = 30
	// What is in use at least, besides the state.
	baseSize = 8 << 20
	// GOGC while the first state is loaded.
	loadPercent = 25
	// Above it memory that was needed for loading goes back to the system at once.
	largeState = 16 << 20
	// The Go runtime's own choice.
	defaultPercent = 100

	liveHeap  = "/gc/heap/live:bytes"
	lookEvery = time.Second
)

// collector sets GOGC by what is in use, so that garbage takes about the same memory
// however many tokens are remembered. The Go runtime would double what is in use.
type collector struct {
	mu  sync.Mutex
	set int // what is in use, as of the last setting; 0: a state is still loaded
}

// tuneGC sets GOGC for loading the state, and returns what sets it from then on; nil if
// the environment sets GOGC, which takes precedence.
func tuneGC() *collector {
	if set := debug.SetGCPercent(loadPercent); set != defaultPercent {
		debug.SetGCPercent(set)
		return nil
	}
	return &collector{}
}

// stateLoaded is told the size of the state in bytes when it has changed by much.
func (c *collector) stateLoaded(bytes int) {
	c.leaveRoom(bytes + baseSize)
	if bytes > largeState {
		debug.FreeOSMemory()
	}
}

// watch looks every second what is in use, until ctx ends.
func (c *collector) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: liveHeap}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(sample)
		c.mu.Lock()
		set := c.set
		c.mu.Unlock()
		// Setting it stops the world, so not for little.
		if live := max(int(sample[0].Value.Uint64()), baseSize); set > 0 && (live > set*5/4 || live < set*3/4) {
			c.leaveRoom(live)
		}
	}
}

func (c *collector) leaveRoom(inUse int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set = inUse
	debug.SetGCPercent(roomPercent(inUse))
}

// roomPercent is what GOGC should be while so many bytes are in use.
func roomPercent(inUse int) int {
	return max(room*100/inUse, roomShare)
}
