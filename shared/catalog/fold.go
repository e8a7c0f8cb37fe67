package catalog

import (
	"fmt"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
)

// undecodable begins the name of a rejected change that names no resource.
const undecodable = "undecodable-"

// fold applies one change. It copies what it keeps of it.
func (ed *editor) fold(raw string) {
	c, err := wire.ReadChange(raw)
	if err != nil {
		// Without an envelope there is no resource to keep or to drop. The name is
		// the same wherever the change is met again, as in a snapshot.
		ed.reject(wire.Change{Raw: raw, ID: fmt.Sprintf("%s%016x", undecodable, hashOf(raw))}, err)
		return
	}
	if !known(c.Kind) {
		if c.Removed {
			ed.forget(refOf(c))
			return
		}
		ed.reject(c, fmt.Errorf("kind %d is not known to this version", c.Kind))
		return
	}
	if c.Removed {
		ed.effects.Touched = append(ed.effects.Touched, Ref{c.Kind, strings.Clone(c.ID)})
		ed.drop(refOf(c))
		ed.forget(refOf(c))
		return
	}
	after, err := indexes[c.Kind].understand(c)
	if err != nil {
		ed.reject(c, err)
		return
	}
	ref := ed.put(after)
	ed.effects.Touched = append(ed.effects.Touched, ref)
	ed.forget(ref)
	ed.setHash += hashOf(raw)
}

// put makes a version the resource's state. It copies the version's change.
func (ed *editor) put(after version) Ref {
	after.at = ed.keep(after.change)
	kind, store := after.change.Kind, ed.store()
	id := store.id(after.at)
	entry, added := ed.tables[kind].Put(ed.seeds.id(id), store.hasID(id), func(l *location) uint64 { return ed.seeds.id(store.id(*l)) })
	var before version
	if !added {
		before = ed.versionAt(*entry)
		ed.uncount(Ref{kind, id}, before.change)
	}
	*entry = after.at
	indexes[kind].relate(ed, before, after)
	if !added {
		ed.heap.Remove(before.at.address())
	}
	return Ref{kind, id}
}

// keep copies a change into the heap.
func (ed *editor) keep(c wire.Change) location {
	l := location(ed.heap.Add(tagChange, c.Raw))
	if quickID(c.Raw) != c.ID {
		l |= oddID
	}
	return l
}

// versionAt is the version at a location.
func (ed *editor) versionAt(l location) version {
	v := mustUnderstand(ed.store().change(l))
	v.at = l
	return v
}

// find is where a resource's change is.
func (ed *editor) find(ref Ref) (l location, ok bool) {
	entry := ed.tables[ref.Kind].Find(ed.seeds.id(ref.ID), ed.store().hasID(ref.ID))
	if entry == nil {
		return 0, false
	}
	return *entry, true
}

// uncount takes a resource's change out of the set hash, unless a rejection stands
// for it there.
func (ed *editor) uncount(ref Ref, c wire.Change) {
	if _, rejected := ed.rejects.Get(ref); !rejected {
		ed.setHash -= hashOf(c.Raw)
	}
}

// reject notes a change that cannot be understood. Its bytes count in the set
// hash instead of the last good value's, so that the hash still shows whether
// this side has seen what the others have.
func (ed *editor) reject(c wire.Change, reason error) {
	c.Raw, c.ID = strings.Clone(c.Raw), strings.Clone(c.ID)
	ref := refOf(c)
	if known(c.Kind) {
		if c.Restrictive {
			ed.drop(ref)
		}
		ed.effects.Touched = append(ed.effects.Touched, ref)
	}
	if old, ok := ed.rejects.Get(ref); ok {
		ed.setHash -= hashOf(old.raw)
	} else if known(c.Kind) {
		if good, ok := ed.find(ref); ok {
			ed.setHash -= hashOf(ed.store().raw(good))
		}
	}
	ed.setHash += hashOf(c.Raw)
	ed.rejects.Set(ref, reject{raw: c.Raw, sequence: ed.position.Sequence, reason: reason.Error()})
	ed.effects.Rejects = append(ed.effects.Rejects, Reject{Ref: ref, Sequence: ed.position.Sequence, Reason: reason.Error()})
}

// forget ends a rejection, because a later change decides. A good value under
// the rejection has been dropped before.
func (ed *editor) forget(ref Ref) {
	if ed.rejects.Len() == 0 {
		return
	}
	if old, ok := ed.rejects.Get(ref); ok {
		ed.setHash -= hashOf(old.raw)
		ed.rejects.Delete(ref)
	}
}

// drop takes a resource out of its table, the indexes and, unless a rejection
// stands for it there, the set hash.
func (ed *editor) drop(ref Ref) {
	l, ok := ed.find(ref)
	if !ok {
		return
	}
	before := ed.versionAt(l)
	ed.tables[ref.Kind].Delete(ed.seeds.id(ref.ID), ed.store().hasID(ref.ID))
	ed.uncount(ref, before.change)
	indexes[ref.Kind].relate(ed, before, version{})
	ed.heap.Remove(l.address())
}
