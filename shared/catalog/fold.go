package catalog

import (
	"fmt"
	"slices"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// editor builds the next State out of one.
type editor struct {
	base         *State
	position     Position
	setHash      uint64
	tables       [kindCount]*cow.Edit[string, string]
	rejects      *cow.Edit[Ref, reject]
	clients      *cow.Edit[clientKey, ClientRef]
	apiKeys      *cow.Edit[[32]byte, KeyRef]
	certificates *cow.Edit[[32]byte, KeyRef]
	grants       *cow.Edit[uint64, Grant]
	revocations  *revocationEdit
	applications *cow.Edit[string, name]
	plans        *cow.Edit[string, name]
	lastHandle   Handle
	plansOf      *cow.Edit[string, []string]
	drafted      *cow.Edit[hostPath, []string]
	deployed     *cow.Edit[hostPath, []string]
	effects      Effects
}

func (s *State) edit(p Position) *editor {
	ed := &editor{
		base: s, position: p, setHash: s.setHash,
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

func (ed *editor) state() *State {
	s := &State{
		position: ed.position, setHash: ed.setHash,
		rejects: ed.rejects.Map(), clients: ed.clients.Map(), apiKeys: ed.apiKeys.Map(), certificates: ed.certificates.Map(),
		grants: ed.grants.Map(), revocations: ed.revocations.done(), applications: ed.applications.Map(), plans: ed.plans.Map(),
		lastHandle: ed.lastHandle, plansOf: ed.plansOf.Map(),
		drafted: ed.drafted.Map(), deployed: ed.deployed.Map(),
	}
	for i := range ed.tables {
		s.tables[i] = ed.tables[i].Map()
	}
	return s
}

// undecodable begins the name of a rejected change that names no resource.
const undecodable = "undecodable-"

// fold applies one change. It keeps raw.
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
		ed.effects.Touched = append(ed.effects.Touched, c.ref())
		ed.drop(c.ref())
		ed.forget(c.ref())
		return
	}
	content, err := understand(c)
	if err != nil {
		ed.reject(c, err)
		return
	}
	ed.effects.Touched = append(ed.effects.Touched, c.ref())
	if old, existed := ed.tables[c.kind].Swap(c.id, c.raw); existed {
		ed.dropped(c.ref(), old)
	}
	ed.forget(c.ref())
	ed.setHash += hashOf(c.raw)
	ed.index(c, content)
}

// reject notes a change that cannot be understood. Its bytes count in the set
// hash instead of the last good value's, so that the hash still tells whether
// this side has seen what the others have.
func (ed *editor) reject(c change, reason error) {
	ref := c.ref()
	if c.restrictive && known(c.kind) {
		ed.drop(ref)
		ed.effects.Touched = append(ed.effects.Touched, ref)
	}
	if old, ok := ed.rejects.Get(ref); ok {
		ed.setHash -= hashOf(old.raw)
	} else if known(c.kind) {
		if good, ok := ed.tables[c.kind].Get(c.id); ok {
			ed.setHash -= hashOf(good)
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
	if raw, ok := ed.tables[ref.Kind].Get(ref.ID); ok {
		ed.tables[ref.Kind].Delete(ref.ID)
		ed.dropped(ref, raw)
	}
}

// dropped undoes what a resource that is no longer in its table has left elsewhere.
func (ed *editor) dropped(ref Ref, raw string) {
	c := mustChange(raw)
	content, err := understand(c)
	if err != nil {
		panic("BUG: a state holds a resource that it does not understand: " + err.Error())
	}
	ed.unindex(c, content)
	if _, rejected := ed.rejects.Get(ref); !rejected {
		ed.setHash -= hashOf(raw)
	}
}

// content is what the indexes need of a resource; only the member of its kind is set.
type content struct {
	subscription subscription
	application  application
	resource     Resource
}

// understand decodes a resource as far as the fold needs it, and checks what a
// node could not live with.
func understand(c change) (content, error) {
	switch c.kind { //nolint:exhaustive // the two kinds of which there are many
	case pb.Kind_KIND_SUBSCRIPTION:
		s, err := decodeSubscription(c.resource)
		return content{subscription: s}, err
	case pb.Kind_KIND_APPLICATION:
		a, err := decodeApplication(c.resource)
		return content{application: a}, err
	}
	m, err := decodeResource(c)
	if err != nil {
		return content{}, err
	}
	if d, ok := m.(*pb.Deployment); ok && d.GetApi() == nil {
		return content{}, fmt.Errorf("%s holds no Api", c.ref())
	}
	return content{resource: m}, nil
}

func (ed *editor) index(c change, of content) {
	switch c.kind { //nolint:exhaustive // the others are messages
	case pb.Kind_KIND_SUBSCRIPTION:
		ed.grant(c.id, of.subscription)
		return
	case pb.Kind_KIND_APPLICATION:
		ed.indexApplication(c.id, of.application)
		return
	}
	switch m := of.resource.(type) {
	case *pb.Plan:
		ed.acquire(ed.plans, c.id)
		addTo(ed.plansOf, m.GetApi(), c.id)
	case *pb.Api:
		for _, at := range placesOf(m) {
			addTo(ed.drafted, at, c.id)
		}
	case *pb.Deployment:
		for _, at := range placesOf(m.GetApi()) {
			addTo(ed.deployed, at, c.id)
		}
	case *pb.Revocation:
		ed.revocations.add(m, c.createdAt)
	}
}

func (ed *editor) unindex(c change, of content) {
	switch c.kind { //nolint:exhaustive // the others are messages
	case pb.Kind_KIND_SUBSCRIPTION:
		ed.ungrant(c.id, of.subscription)
		return
	case pb.Kind_KIND_APPLICATION:
		ed.unindexApplication(c.id, of.application)
		return
	}
	switch m := of.resource.(type) {
	case *pb.Plan:
		ed.release(ed.plans, c.id)
		removeFrom(ed.plansOf, m.GetApi(), c.id)
	case *pb.Api:
		for _, at := range placesOf(m) {
			removeFrom(ed.drafted, at, c.id)
		}
	case *pb.Deployment:
		for _, at := range placesOf(m.GetApi()) {
			removeFrom(ed.deployed, at, c.id)
		}
	case *pb.Revocation:
		ed.revocations.remove(m)
	}
}

// addTo and removeFrom keep small lists of ids; the slices in the map are never written in place.
func addTo[K comparable](m *cow.Edit[K, []string], key K, id string) {
	ids, _ := m.Get(key)
	if !slices.Contains(ids, id) {
		m.Set(key, append(slices.Clone(ids), id))
	}
}

func removeFrom[K comparable](m *cow.Edit[K, []string], key K, id string) {
	ids, _ := m.Get(key)
	i := slices.Index(ids, id)
	switch {
	case i < 0:
	case len(ids) == 1:
		m.Delete(key)
	default:
		m.Set(key, slices.Delete(slices.Clone(ids), i, i+1))
	}
}
