package introspect

import (
	"net/netip"
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

// Turns that are given up come back, whether they were at work or waited; and whose
// turn it is next is who has the fewest at work.
func TestTurnsComeBack(t *testing.T) {
	var ts turns
	one, two, three := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	var working []*caller
	for range maxAtATime - 1 {
		turn, ready := ts.join(one)
		if ready != nil {
			t.Fatal("there are places, and one has to wait")
		}
		working = append(working, turn.of)
	}
	other, _ := ts.join(two)
	working = append(working, other.of)
	first, firstReady := ts.join(one)
	second, secondReady := ts.join(two)
	third, thirdReady := ts.join(three)
	if firstReady == nil || secondReady == nil || thirdReady == nil {
		t.Fatal("more than there are places")
	}
	isReady := func(ready chan struct{}) bool {
		select {
		case <-ready:
			return true
		default:
			return false
		}
	}
	ts.done(working[0])
	if !isReady(thirdReady) || isReady(firstReady) || isReady(secondReady) {
		t.Error("it is not the turn of who has nothing at work")
	}
	ts.leave(second) // it waits
	ts.leave(third)  // its turn has come at the same moment
	if !isReady(firstReady) {
		t.Error("the place of a question that was given up is lost")
	}
	ts.done(first.of)
	for _, c := range working[1:] {
		ts.done(c)
	}
	if ts.atWork != 0 || len(ts.waiting) != 0 || len(ts.callers) != 0 {
		t.Errorf("%d at work, %d wait, %d callers", ts.atWork, len(ts.waiting), len(ts.callers))
	}
}

// Of the room for waiting nobody has more than is left for others.
func TestWaitingIsBounded(t *testing.T) {
	var ts turns
	join := func(address string, times int) (let int) {
		for range times {
			if one, _ := ts.join(network(netip.MustParseAddr(address))); one != nil {
				let++
			}
		}
		return let
	}
	join("192.0.2.1", maxAtATime)
	for _, c := range []struct {
		address string
		want    int
	}{{"192.0.2.1", 512}, {"2001:db8::1", 256}, {"2001:db8::2", 0}, {"192.0.2.2", 128}, {"2001:db8:0:1::1", 64}} {
		if got := join(c.address, maxWaiting); got != c.want {
			t.Errorf("%s: %d may wait, want %d", c.address, got, c.want)
		}
	}
	// Nothing is kept of who was turned away.
	for i := range 1000 {
		ts.join(netip.AddrFrom4([4]byte{10, 0, byte(i / 256), byte(i)}))
	}
	if len(ts.callers) > 70 {
		t.Errorf("%d callers", len(ts.callers))
	}
}
