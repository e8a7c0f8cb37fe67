package main

import (
	"runtime/debug"
)

const (
	// Garbage may take this much before it is collected, or roomShare percent of a
	// large state. A state has next to no pointers, so that a collection costs a few
	// milliseconds of one processor whatever its size (GODEBUG=gctrace=1).
	room      = 32 << 20
	roomShare = 30
	// What a node needs besides the state.
	baseSize = 8 << 20
	// GOGC while the first state is loaded.
	loadPercent = 25
	// Above it memory that was needed for loading goes back to the system at once.
	largeState = 16 << 20
	// The Go runtime's own choice.
	defaultPercent = 100
)

// tuneGC sets GOGC for loading the state, and returns a function that sets it for a
// state of so many bytes; nil if the environment sets GOGC, which takes precedence.
func tuneGC() func(bytes int) {
	if set := debug.SetGCPercent(loadPercent); set != defaultPercent {
		debug.SetGCPercent(set)
		return nil
	}
	return func(bytes int) {
		debug.SetGCPercent(roomPercent(bytes))
		if bytes > largeState {
			debug.FreeOSMemory()
		}
	}
}

// roomPercent is what GOGC should be for a state of so many bytes.
func roomPercent(bytes int) int {
	return max(room*100/(bytes+baseSize), roomShare)
}
