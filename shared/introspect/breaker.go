package introspect

import (
	"math/rand/v2"
	"sync"
	"time"
)

// When the breaker opens, and for how long.
const (
	failuresInRow = 5
	// or, within a window, so many questions of which at least half failed.
	windowLength  = 10 * time.Second
	windowLeast   = 20
	firstPause    = time.Second
	longestPause  = 30 * time.Second
	pauseDoublers = 8
)

// breaker keeps a server that fails from being asked. It is closed while the
// server is well; then open; and after a pause half open, for one question,
// whose outcome closes it or opens it for twice as long.
type breaker struct {
	mu       sync.Mutex
	row      int // failures one after another
	opened   int // how often in a row; 0: closed
	until    time.Time
	probing  bool
	start    time.Time // of the window
	asked    int
	failed   int
	openings uint64
}

// allow reports whether the server may be asked; if so, done must be called.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened == 0 {
		return true
	}
	if now.Before(b.until) || b.probing {
		return false
	}
	b.probing = true
	return true
}

// done records how an allowed question ended: well means that the server works.
func (b *breaker) done(now time.Time, well bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened > 0 {
		switch {
		case !b.probing: // asked before it opened
		case well:
			b.opened, b.row, b.asked, b.failed, b.probing = 0, 0, 0, 0, false
		default:
			b.open(now)
		}
		return
	}
	if now.Sub(b.start) >= windowLength {
		b.start, b.asked, b.failed = now, 0, 0
	}
	b.asked++
	if well {
		b.row = 0
		return
	}
	b.row++
	b.failed++
	if b.row >= failuresInRow || b.asked >= windowLeast && 2*b.failed >= b.asked {
		b.open(now)
	}
}

func (b *breaker) open(now time.Time) {
	pause := min(firstPause<<min(b.opened, pauseDoublers), longestPause)
	b.until = now.Add(pause - rand.N(pause/4)) //nolint:gosec // spreads load; nobody gains by guessing it
	b.opened++
	b.openings++
	b.probing = false
}

// state reports whether the breaker is open, and how often it has opened.
func (b *breaker) state() (open bool, openings uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened > 0, b.openings
}
