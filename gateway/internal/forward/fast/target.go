package fast

import (
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/forward"
)

const (
	// maxIdleTime is how long a connection stays idle: shorter than what
	// common servers allow (Node.js 5 s, Apache 5 s, Go and nginx 60 s and more).
	// The guard catches those that are shorter still.
	maxIdleTime = 30 * time.Second
	// maxConns bounds the open connections to one target.
	maxConns = 8192
	// downTime is how long a target that could not be reached is avoided.
	downTime = time.Second
)

// target is one server and the connections to it. Targets are shared by all
// Upstreams that name the server with the same settings, and outlive them.
type target struct {
	address        string
	tls            *tls.Config
	connectTimeout time.Duration

	// downUntil is the time until which other targets are preferred; nil: none.
	downUntil atomic.Pointer[time.Time]

	mu    sync.Mutex
	idle  []*conn // the one used last is at the end
	open  int
	sweep bool // a sweep is scheduled
}

// take returns an idle connection, unchecked, or nil.
func (t *target) take() *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.idle)
	if n == 0 {
		return nil
	}
	c := t.idle[n-1]
	t.idle[n-1] = nil
	t.idle = t.idle[:n-1]
	c.reused = true
	return c
}

// dial opens a connection.
func (t *target) dial() (*conn, error) {
	t.mu.Lock()
	if t.open >= maxConns {
		t.mu.Unlock()
		return nil, forward.ErrTooManyConns
	}
	t.open++
	t.mu.Unlock()
	opened := false
	defer func() {
		if !opened { // also if it panics
			t.mu.Lock()
			t.open--
			t.mu.Unlock()
		}
	}()
	c, err := dial(t.address, t.tls, t.connectTimeout)
	if opened = err == nil; !opened {
		until := time.Now().Add(downTime)
		t.downUntil.Store(&until)
		return nil, fmt.Errorf("connect to %s: %w", t.address, err)
	}
	return c, nil
}

// keep makes c idle, which counts from the beginning of its last exchange.
func (t *target) keep(c *conn) {
	t.mu.Lock()
	c.kept++
	t.idle = append(t.idle, c)
	if !t.sweep {
		t.sweep = true
		time.AfterFunc(maxIdleTime, t.closeIdle)
	}
	t.mu.Unlock()
}

// drop closes c, once.
func (t *target) drop(c *conn) {
	if c.dropped {
		return
	}
	c.dropped = true
	t.mu.Lock()
	t.open--
	t.mu.Unlock()
	_ = c.Close()
}

// abandon drops c after a panic, unless it was kept since: then it may be another
// exchange's by now.
func (t *target) abandon(c *conn, kept uint) {
	t.mu.Lock()
	ours := c.kept == kept
	t.mu.Unlock()
	if ours {
		t.drop(c)
	}
}

// closeIdle closes connections that have been idle for too long, and comes
// again as long as there are idle ones.
func (t *target) closeIdle() {
	limit := time.Now().Add(-maxIdleTime)
	t.mu.Lock()
	n := 0
	for n < len(t.idle) && t.idle[n].idleSince.Before(limit) {
		n++
	}
	old := append([]*conn(nil), t.idle[:n]...)
	kept := copy(t.idle, t.idle[n:])
	clear(t.idle[kept:])
	t.idle = t.idle[:kept]
	t.open -= n
	t.sweep = kept > 0
	if t.sweep {
		time.AfterFunc(t.idle[0].idleSince.Sub(limit)+time.Millisecond, t.closeIdle)
	}
	t.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
}

// closeAll closes every idle connection.
func (t *target) closeAll() {
	t.mu.Lock()
	old := t.idle
	t.idle = nil
	t.open -= len(old)
	t.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
}

// Down reports whether the target was just unreachable.
func (t *target) Down(now time.Time) bool {
	until := t.downUntil.Load()
	return until != nil && now.Before(*until)
}
