package catalog

import (
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/heap"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// editor builds the next State out of one.
type editor struct {
	heap         heap.Edit
	seeds        seeds
	position     Position
	setHash      uint64
	tables       [kindCount]cow.TableEdit[location]
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
	effort int    // since the last pause
}

func (ed *editor) store() store { return store{&ed.heap.Heap} }

// Efforts, of which effortUntilPause takes a few dozen microseconds.
const (
	effortUntilPause = 64
	foldEffort       = 8
	visitEffort      = 2
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
		heap: s.heap.Edit(), seeds: s.seeds, position: p, setHash: s.setHash,
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
	ed.heap.Compact(ed.visit)
	s := &State{
		heap: ed.heap.Version(), seeds: ed.seeds, position: ed.position, setHash: ed.setHash,
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

// visit follows a compaction: what is still needed is moved, and every index that
// says where it is learns its new address.
func (ed *editor) visit(tag heap.Tag, a heap.Address, move func() heap.Address) {
	switch tag {
	case tagChange:
		ed.moveChange(a, move)
	case tagApplicationName, tagPlanName:
		ed.moveName(tag, a, move)
	}
	ed.work(visitEffort)
}

// moveChange moves a change, if it is the one in its table.
func (ed *editor) moveChange(from heap.Address, move func() heap.Address) {
	c := mustChange(ed.heap.At(from))
	hash, table := ed.seeds.id(c.ID), &ed.tables[c.Kind]
	is := func(l *location) bool { return l.address() == from }
	if table.Find(hash, is) == nil {
		return
	}
	entry, _ := table.Put(hash, is, nil)
	before := *entry
	now := location(move()) | before&oddID
	*entry = now
	if moved := indexes[c.Kind].moved; moved != nil {
		moved(ed, c, before, now)
	}
}
