package catalog

import (
	"fmt"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// editor builds the next State out of one.
type editor struct {
	storeEdit
	seeds        seeds
	position     Position
	setHash      uint64
	tables       [kindCount]cow.TableEdit[place]
	rejects      cow.Edit[Ref, reject]
	clients      cow.TableEdit[clientEntry]
	apiKeys      cow.TableEdit[credentialEntry]
	certificates cow.TableEdit[credentialEntry]
	grants       cow.TableEdit[grantEntry]
	revocations  revocationEdit
	applications cow.TableEdit[name]
	plans        cow.TableEdit[name]
	lastHandle   Handle
	plansOf      cow.Edit[string, []string]
	drafted      cow.Edit[HostPath, []string]
	deployed     cow.Edit[HostPath, []string]
	effects      Effects

	pause  func() // nil: none is asked for
	effort int    // since the last
}

// Efforts, of which effortUntilPause takes a few dozen microseconds.
const (
	effortUntilPause = 64
	foldEffort       = 8
	moveEffort       = 2
)

// work counts what was done, and pauses when it was enough.
func (ed *editor) work(effort int) {
	if ed.effort += effort; ed.pause != nil && ed.effort >= effortUntilPause {
		ed.effort = 0
		ed.pause()
	}
}

func (s *State) edit(p Position) *editor {
	ed := &editor{
		storeEdit: s.store.edit(), seeds: s.seeds, position: p, setHash: s.setHash,
		rejects: s.rejects.Edit(), clients: s.clients.Edit(), apiKeys: s.apiKeys.Edit(), certificates: s.certificates.Edit(),
		grants: s.grants.Edit(), revocations: s.revocations.edit(), applications: s.applications.Edit(), plans: s.plans.Edit(),
		lastHandle: s.lastHandle, plansOf: s.plansOf.Edit(),
		drafted: s.drafted.Edit(), deployed: s.deployed.Edit(),
	}
	for i := range s.tables {
		ed.tables[i] = s.tables[i].Edit()
	}
	return ed
}

// state is the version made so far. The editor may go on.
func (ed *editor) state() *State {
	ed.compact()
	s := &State{
		store: ed.done(), seeds: ed.seeds, position: ed.position, setHash: ed.setHash,
		rejects: ed.rejects.Map(), clients: ed.clients.Table(), apiKeys: ed.apiKeys.Table(), certificates: ed.certificates.Table(),
		grants: ed.grants.Table(), revocations: ed.revocations.done(), applications: ed.applications.Table(), plans: ed.plans.Table(),
		lastHandle: ed.lastHandle, plansOf: ed.plansOf.Map(),
		drafted: ed.drafted.Map(), deployed: ed.deployed.Map(),
	}
	for i := range ed.tables {
		s.tables[i] = ed.tables[i].Table()
	}
	return s
}

// undecodable begins the name of a rejected change that names no resource.
const undecodable = "undecodable-"

// fold applies one change. It copies what it keeps of it.
func (ed *editor) fold(raw string) {
	c, err := decodeChange(raw)
	if err != nil {
		// Without an envelope there is no resource to keep or to drop. The name is
		// the same wherever the change is met again, as in a snapshot.
		ed.reject(change{raw: raw, id: fmt.Sprintf("%s%016x", undecodable, hashOf(raw))}, err)
		return
	}
	if !known(c.kind) {
		if c.removed {
			ed.forget(c.ref())
			return
		}
		ed.reject(c, fmt.Errorf("kind %d is not known to this version", c.kind))
		return
	}
	if c.removed {
		ed.effects.Touched = append(ed.effects.Touched, Ref{c.kind, strings.Clone(c.id)})
		ed.drop(c.ref())
		ed.forget(c.ref())
		return
	}
	of, err := indexes[c.kind].understand(c)
	if err != nil {
		ed.reject(c, err)
		return
	}
	ref := ed.put(c, of)
	ed.effects.Touched = append(ed.effects.Touched, ref)
	ed.forget(ref)
	ed.setHash += hashOf(raw)
}

// put makes a change the resource's state. The bytes of its strings may be written
// again afterwards, unlike those of the Ref that it returns.
func (ed *editor) put(c change, of content) Ref {
	is := ed.keep(c)
	id := ed.id(is)
	at, added := ed.tables[c.kind].Put(ed.seeds.id(id), ed.isID(id), func(p *place) uint64 { return ed.seeds.id(ed.id(*p)) })
	was := *at
	*at = is
	var before content
	if !added {
		before = mustUnderstand(mustChange(ed.at(was)))
		ed.uncount(c.ref(), was)
	}
	indexes[c.kind].relate(ed, c, was, before, is, of)
	if !added {
		ed.waste(was)
	}
	return Ref{c.kind, id}
}

// keep adds a change to the store.
func (ed *editor) keep(c change) place {
	p := ed.add(frameChange, c.raw)
	if quickID(c.raw) != c.id {
		p |= oddID
	}
	return p
}

func (s *store) isID(id string) func(*place) bool {
	return func(p *place) bool { return s.id(*p) == id }
}

// find is the bytes of a resource's change.
func (ed *editor) find(ref Ref) (p place, ok bool) {
	at := ed.tables[ref.Kind].Find(ed.seeds.id(ref.ID), ed.isID(ref.ID))
	if at == nil {
		return 0, false
	}
	return *at, true
}

// uncount takes a resource out of the set hash, unless a rejection stands in its
// place there.
func (ed *editor) uncount(ref Ref, was place) {
	if _, rejected := ed.rejects.Get(ref); !rejected {
		ed.setHash -= hashOf(ed.at(was))
	}
}

// reject notes a change that cannot be understood. Its bytes count in the set
// hash instead of the last good value's, so that the hash still tells whether
// this side has seen what the others have.
func (ed *editor) reject(c change, reason error) {
	c.raw, c.id = strings.Clone(c.raw), strings.Clone(c.id)
	ref := c.ref()
	if c.restrictive && known(c.kind) {
		ed.drop(ref)
		ed.effects.Touched = append(ed.effects.Touched, ref)
	}
	if old, ok := ed.rejects.Get(ref); ok {
		ed.setHash -= hashOf(old.raw)
	} else if known(c.kind) {
		if good, ok := ed.find(ref); ok {
			ed.setHash -= hashOf(ed.at(good))
		}
	}
	ed.setHash += hashOf(c.raw)
	ed.rejects.Set(ref, reject{raw: c.raw, sequence: ed.position.Sequence, reason: reason.Error()})
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

// drop takes a resource out of table, indexes and, unless a rejection stands in
// its place there, the set hash.
func (ed *editor) drop(ref Ref) {
	was, ok := ed.find(ref)
	if !ok {
		return
	}
	c := mustChange(ed.at(was))
	ed.tables[ref.Kind].Delete(ed.seeds.id(ref.ID), ed.isID(ref.ID))
	ed.uncount(ref, was)
	indexes[c.kind].relate(ed, c, was, mustUnderstand(c), 0, content{})
	ed.waste(was)
}

// mustUnderstand decodes what was understood before.
func mustUnderstand(c change) content {
	of, err := indexes[c.kind].understand(c)
	if err != nil {
		panic("BUG: a state holds a resource that it does not understand: " + err.Error())
	}
	return of
}
