package cow_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/cow"
)

var sizes = []int{1000, 100_000, 1_000_000}

const spread = 0x9e3779b97f4a7c15 // keys that are far apart

func filled(n int) cow.Map[uint64, [24]byte] {
	e := cow.New[uint64, [24]byte]().Edit()
	for i := range n {
		e.Set(uint64(i)*spread, [24]byte{})
	}
	return e.Map()
}

// BenchmarkGet looks up another key each time. B/entry is the map's memory.
func BenchmarkGet(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			before := heap()
			m := filled(n)
			held := heap() - before
			i := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := m.Get(i % uint64(n) * spread); !ok {
					b.Fatal("not there")
				}
				i++
			}
			if n > 1000 { // of a small one, what else there is says as much
				b.ReportMetric(held/float64(n), "B/entry")
			}
			runtime.KeepAlive(m)
		})
	}
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkSet makes a version that differs in one entry.
func BenchmarkSet(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			m, i := filled(n), uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				m = m.Set(i%uint64(n)*spread, [24]byte{1})
				i++
			}
		})
	}
}

// BenchmarkFill makes a map at once.
func BenchmarkFill(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if filled(n).Len() != n {
					b.Fatal("some are missing")
				}
			}
		})
	}
}
