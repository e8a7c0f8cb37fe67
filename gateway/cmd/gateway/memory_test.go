package main

import (
	"runtime/debug"
	"testing"
)

func TestRoomPercent(t *testing.T) {
	for size, most := range map[int]int{0: 32 << 20, 1 << 20: 32 << 20, 90 << 20: 32 << 20, 1 << 30: 315 << 20} {
		if got := roomPercent(size) * (size + baseSize) / 100; got > most || got < most*9/10 {
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
	adjust(100 << 20)
	if got := debug.SetGCPercent(defaultPercent); got != roomPercent(100<<20) {
		t.Errorf("%d with a state of 100 MiB", got)
	}
}
