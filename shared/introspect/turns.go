package introspect

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// Bounds of one server's work.
const (
	maxAtATime = 64
	maxWaiting = 1024
)

// turns lets so many questions at a time through to a server, and so many wait. When
// one ends, it is the turn of the caller with the fewest at work, and of its question
// that waits longest: a caller who asks about one made-up token after another has all
// places while nobody else wants any, and keeps nobody else waiting for longer than one
// of its questions takes. Of the room for waiting a caller may have as much as it
// leaves free.
type turns struct {
	mu      sync.Mutex
	callers map[netip.Addr]*caller
	atWork  int
	waiting []*turn // by arrival
}

// caller is one of those who have questions at work or waiting.
type caller struct {
	address         netip.Addr
	atWork, waiting int
}

type turn struct {
	of    *caller
	ready chan struct{} // closed when it is its turn
}

// network is what of an address one caller has to itself: an IPv4 address, or the /64
// of an IPv6 address, of which a host has as many as it likes.
func network(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return address
}

// take waits for a turn, which the caller gives back by done; false: there is no room
// to wait, or ctx has ended.
func (t *turns) take(ctx context.Context, address netip.Addr) (turnOf *caller, ok bool) {
	one, ready := t.join(network(address))
	if one == nil {
		return nil, false
	}
	if ready == nil {
		return one.of, true
	}
	select {
	case <-ready:
		return one.of, true
	case <-ctx.Done():
		t.leave(one)
		return nil, false
	}
}

// join begins a turn, or makes it wait until ready is closed; nil: there is no room.
func (t *turns) join(address netip.Addr) (one *turn, ready chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.callers[address]
	if c == nil {
		c = &caller{address: address}
	}
	one = &turn{of: c}
	switch {
	case t.atWork < maxAtATime:
		t.begin(c)
	case c.waiting >= maxWaiting-len(t.waiting):
		return nil, nil
	default:
		one.ready = make(chan struct{})
		c.waiting++
		t.waiting = append(t.waiting, one)
	}
	if t.callers == nil {
		t.callers = map[netip.Addr]*caller{}
	}
	t.callers[address] = c
	return one, one.ready
}

func (t *turns) begin(c *caller) {
	c.atWork++
	t.atWork++
}

// leave takes a turn out that nobody waits for any more.
func (t *turns) leave(one *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, one); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		one.of.waiting--
		t.forget(one.of)
		return
	}
	t.end(one.of) // its turn came at the same moment
}

// done ends a turn.
func (t *turns) done(c *caller) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(c)
}

func (t *turns) end(c *caller) {
	c.atWork--
	t.atWork--
	t.next()
	t.forget(c)
}

// next begins the turn that is due.
func (t *turns) next() {
	due := -1
	for i, one := range t.waiting {
		if due < 0 || one.of.atWork < t.waiting[due].of.atWork {
			due = i
		}
	}
	if due < 0 {
		return
	}
	one := t.waiting[due]
	t.waiting = slices.Delete(t.waiting, due, due+1)
	one.of.waiting--
	t.begin(one.of)
	close(one.ready)
}

func (t *turns) forget(c *caller) {
	if c.atWork == 0 && c.waiting == 0 {
		delete(t.callers, c.address)
	}
}
