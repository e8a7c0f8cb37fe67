package catalog

import (
	"iter"
	"slices"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/heap"
)

// Changes yields every change that a snapshot must hold to build this state, as
// they lie in memory, which is about as they came: what belongs together is close
// together, for the compressor and for who reads it. Rejected ones come after the
// good values they could not replace.
func (s *State) Changes() iter.Seq[string] { return s.ChangesWithPauses(func() {}) }

// Between two pauses of ChangesWithPauses are so many changes looked up, or yielded.
const (
	lookedUpUntilPause = 2048
	yieldedUntilPause  = 128
)

// ChangesWithPauses is Changes, and calls pause every few dozen microseconds, for the
// sake of others on the same processor.
func (s *State) ChangesWithPauses(pause func()) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, addresses := range s.addressesByChunk(pause) {
			slices.Sort(addresses)
			if !s.yieldAll(addresses, pause, yield) {
				return
			}
		}
		for _, r := range s.rejects.All() {
			if !yield(r.raw) {
				return
			}
		}
	}
}

func (s *State) yieldAll(addresses []heap.Address, pause func(), yield func(string) bool) bool {
	for i, a := range addresses {
		if i%yieldedUntilPause == 0 {
			pause()
		}
		if !yield(s.heap.At(a)) {
			return false
		}
	}
	return true
}

func (s *State) addressesByChunk(pause func()) [][]heap.Address {
	addresses, n := make([][]heap.Address, s.heap.Chunks()), 0
	for i := range s.tables {
		for l := range s.tables[i].All() {
			a := l.address()
			addresses[a.Chunk()] = append(addresses[a.Chunk()], a)
			if n++; n%lookedUpUntilPause == 0 {
				pause()
			}
		}
	}
	return addresses
}

// SnapshotHeader describes the state for a snapshot made of Changes. writer
// says who writes it, for people to read.
func (s *State) SnapshotHeader(at time.Time, writer string) *pb.SnapshotHeader {
	return &pb.SnapshotHeader{
		Epoch: s.position.Epoch, Founding: s.position.EpochID, Sequence: s.position.Sequence,
		Changes: uint64(s.ChangeCount()), Counts: s.Counts(), SetHash: s.setHash,
		WrittenAt: at.UnixMilli(), Writer: writer,
	}
}
