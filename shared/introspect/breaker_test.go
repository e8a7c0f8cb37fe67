package introspect

import (
	"errors"
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	b := &breaker{}
	ask := func(d time.Duration, well bool) bool {
		if !b.allow(at(d)) {
			return false
		}
		b.done(at(d), well)
		return true
	}
	// A success in between begins the row again.
	for _, well := range []bool{false, false, false, false, true, false, false, false, false} {
		if !ask(0, well) {
			t.Fatal("opened too early")
		}
	}
	ask(0, false)
	if open, openings := b.state(); !open || openings != 1 {
		t.Fatalf("%v, %d after five failures in a row", open, openings)
	}
	if ask(700*time.Millisecond, true) {
		t.Error("asked while it is open")
	}
	// Half open: one question only, and its failure doubles the pause.
	if !b.allow(at(time.Second)) || b.allow(at(time.Second)) {
		t.Error("half open means one question")
	}
	b.done(at(time.Second), false)
	if ask(2400*time.Millisecond, true) {
		t.Error("the second pause is not longer")
	}
	if !ask(3100*time.Millisecond, true) {
		t.Error("not tried after the second pause")
	}
	if open, openings := b.state(); open || openings != 2 {
		t.Errorf("%v, %d after a success", open, openings)
	}
	// Every second one fails: never five in a row, but half of a window.
	opened := false
	for i := range 40 {
		if opened = !ask(20*time.Second, i%2 == 0); opened {
			if i < windowLeast {
				t.Errorf("opened after %d questions", i)
			}
			break
		}
	}
	if !opened {
		t.Error("a server that fails half the time is asked on")
	}
}

func TestBreakerPausesAreBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b := &breaker{}
	for range 5 {
		b.allow(now)
		b.done(now, false)
	}
	for range 100 {
		now = now.Add(longestPause)
		if !b.allow(now) {
			t.Fatal("not tried again after the longest pause")
		}
		b.done(now, false)
	}
}

// When enough questions wait already, the next is refused at once.
func TestWaitingIsBounded(t *testing.T) {
	c := NewClient(&Settings{timeout: time.Minute})
	for range maxAtATime {
		c.slots <- struct{}{}
	}
	c.waiting.Store(maxWaiting)
	start := time.Now()
	_, err := c.Ask(t.Context(), "t")
	if failure, ok := errors.AsType[*Error](err); !ok || failure.Outcome != Busy || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
	if n := c.waiting.Load(); n != maxWaiting {
		t.Errorf("%d wait", n)
	}
}
