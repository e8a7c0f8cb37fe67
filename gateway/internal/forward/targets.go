package forward

import (
	"sync/atomic"
	"time"
)

// maxSchedule bounds the length of the order in which weighted targets are taken.
const maxSchedule = 1000

// Group are targets of which any will do. It is safe for concurrent use.
type Group[T interface{ Down(now time.Time) bool }] struct {
	targets  []T
	schedule []uint16 // indexes of targets, in the order in which they are taken
	next     atomic.Uint64
}

// Fill sets the targets and their weights, which are above 0.
func (g *Group[T]) Fill(targets []T, weights []uint32) {
	g.targets, g.schedule = targets, schedule(weights)
}

// Targets are those that Fill set.
func (g *Group[T]) Targets() []T { return g.targets }

// Order calls try with the targets in the order in which a request should try
// them, until it returns false: first the scheduled one, then the others; those
// that are down last.
func (g *Group[T]) Order(try func(T) bool) {
	if len(g.targets) == 1 {
		try(g.targets[0])
		return
	}
	now := time.Now()
	first := int(g.schedule[g.next.Add(1)%uint64(len(g.schedule))])
	for _, wantDown := range [2]bool{false, true} {
		for i := range g.targets {
			t := g.targets[(first+i)%len(g.targets)]
			if t.Down(now) == wantDown && !try(t) {
				return
			}
		}
	}
}

// schedule spreads targets by their weights, smoothly: each step takes the
// target that is furthest behind its share.
func schedule(weights []uint32) []uint16 {
	scaled, length := scale(weights)
	order := make([]uint16, 0, length)
	behind := make([]int, len(weights))
	for range length {
		best := -1
		for i, w := range scaled {
			behind[i] += w
			if w > 0 && (best < 0 || behind[i] > behind[best]) {
				best = i
			}
		}
		behind[best] -= length
		order = append(order, uint16(best))
	}
	return order
}

// scale makes weights as small as their proportions allow, with a sum of about
// maxSchedule at most, and returns the sum.
func scale(weights []uint32) (scaled []int, sum int) {
	var total uint64
	for _, w := range weights {
		total += uint64(w)
	}
	divisor := uint64(gcd(weights))
	scaled = make([]int, len(weights))
	for i, w := range weights {
		n := uint64(w) / divisor
		if total/divisor > maxSchedule && w > 0 {
			n = max(1, uint64(w)*maxSchedule/total)
		}
		scaled[i] = int(n)
		sum += int(n)
	}
	return scaled, sum
}

func gcd(ns []uint32) uint32 {
	var a uint32
	for _, b := range ns {
		for b != 0 {
			a, b = b, a%b
		}
	}
	return max(a, 1)
}
