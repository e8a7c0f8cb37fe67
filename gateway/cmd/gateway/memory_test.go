package main

import (
	"bytes"
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestRoomPercent(t *testing.T) {
	for size, most := range map[int]int{0: 32 << 20, 1 << 20: 32 << 20, 90 << 20: 32 << 20, 1 << 30: 315 << 20} {
		if got := roomPercent(size+baseSize) * (size + baseSize) / 100; got > most || got < most*9/10 {
			t.Errorf("a state of %d bytes leaves %d to garbage, want about %d", size, got, most)
		}
	}
}

// GOGC in the environment takes precedence.
func TestLeaveRoom(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	if tuneGC() != nil || debug.SetGCPercent(defaultPercent) != 77 {
		t.Error("a percentage that was set is not kept")
	}
	adjust := tuneGC()
	if got := debug.SetGCPercent(loadPercent); adjust == nil || got != loadPercent {
		t.Fatalf("%d while loading", got)
	}
	adjust.stateLoaded(100 << 20)
	if got := debug.SetGCPercent(defaultPercent); got != roomPercent(100<<20+baseSize) {
		t.Errorf("%d with a state of 100 MiB", got)
	}
}

// What is in use counts, whatever it is.
func TestRoomFollowsTheHeap(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(defaultPercent))
	c := tuneGC()
	c.stateLoaded(0)
	small := debug.SetGCPercent(defaultPercent)
	kept := bytes.Repeat([]byte("x"), 300<<20)
	runtime.GC()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.watch(ctx)
	for end := time.Now().Add(10 * time.Second); debug.SetGCPercent(defaultPercent) != roomShare; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %d with 300 MiB in use; with nothing it was %d", roomShare, small)
		}
	}
	runtime.KeepAlive(kept)
	if small != roomPercent(baseSize) {
		t.Errorf("%d with nothing in use", small)
	}
}
