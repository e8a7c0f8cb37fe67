package catalog

import (
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/heap"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
)

// What the pieces in a state's heap are.
const (
	tagChange          heap.Tag = iota // an encoded pb.Change
	tagApplicationName                 // the id of an application
	tagPlanName                        // the id of a plan
)

// location is where a change is: its address in the heap, and whether its id is
// where quickID looks for it.
type location uint64

const (
	oddID        = location(1) << heap.AddressBits // quickID does not find the id
	locationBits = heap.AddressBits + 1            // an index keeps more in the bits above
)

func (l location) address() heap.Address { return heap.Address(l &^ oddID) }

// store reads changes and names in a heap.
type store struct{ *heap.Heap }

// raw is the encoded change at a location.
func (s store) raw(l location) string { return s.At(l.address()) }

// change is the change at a location.
func (s store) change(l location) wire.Change { return mustChange(s.raw(l)) }

// id is the id of the change at a location.
func (s store) id(l location) string {
	if l&oddID == 0 {
		return quickID(s.raw(l))
	}
	return s.change(l).ID
}

func (s store) hasID(id string) func(*location) bool {
	return func(l *location) bool { return s.id(*l) == id }
}

// quickID is the id of a change that is encoded in the usual order: its kind in one
// byte and then its id. Whatever it returns for others, it does not fail.
func quickID(raw string) string {
	if len(raw) < 4 || raw[2] != 0x12 {
		return ""
	}
	n, at := int(raw[3]), 4
	if n >= 0x80 {
		if len(raw) < 5 || raw[4] >= 0x80 {
			return ""
		}
		n, at = n&0x7f|int(raw[4])<<7, 5
	}
	if len(raw) < at+n {
		return ""
	}
	return raw[at : at+n]
}

// The following decode what the fold has decoded before.

func mustChange(raw string) wire.Change {
	c, err := wire.ReadChange(raw)
	if err != nil {
		panic("BUG: a state holds an undecodable change: " + err.Error())
	}
	return c
}

func mustSubscription(c wire.Change) wire.Subscription {
	s, err := wire.ReadSubscription(c.Resource)
	if err != nil {
		panic("BUG: a state holds an undecodable subscription: " + err.Error())
	}
	return s
}

func mustApplication(c wire.Change) wire.Application {
	a, err := wire.ReadApplication(c)
	if err != nil {
		panic("BUG: a state holds an undecodable application: " + err.Error())
	}
	return a
}

func mustUnderstand(c wire.Change) version {
	v, err := indexes[c.Kind].understand(c)
	if err != nil {
		panic("BUG: a state holds a resource that it does not understand: " + err.Error())
	}
	return v
}
