package catalog

import (
	"sync"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/heap"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// bulk defers the indexing of applications and subscriptions while a snapshot is
// read, of which there may be millions. They are indexed together in the end, on two
// processors, in tables that are made at once: a fraction of the time of folding
// each (BenchmarkBuilder), and no table has room to spare.
//
// The result is that of folding. A change whose result depends on order (a removal,
// one that cannot be understood) ends the deferral. A duplicate that is found in the
// end (two changes of the same resource, two open subscriptions of an application to
// a plan) undoes it: then all are folded one by one.
type bulk struct {
	applications, subscriptions, grants int
}

// outcome is what becomes of a change.
type outcome int

const (
	deferred  outcome = iota // it is indexed later
	immediate                // it is folded now; the deferred ones do not matter to it
	ordered                  // the deferred ones are indexed before it is folded
)

// add copies a change into the heap, if its indexing can be deferred.
func (k *bulk) add(ed *editor, raw string) outcome {
	c, err := wire.ReadChange(raw)
	if err != nil || !deferrable(c.Kind) {
		return immediate
	}
	v, err := indexes[c.Kind].understand(c)
	if err != nil || c.Removed || quickID(raw) != c.ID {
		return ordered
	}
	if c.Kind == pb.Kind_KIND_APPLICATION {
		k.applications++
	} else {
		k.subscriptions++
		if Open(v.subscription.Status) {
			k.grants++
		}
	}
	ed.heap.Add(tagChange, raw)
	ed.setHash += hashOf(raw)
	return deferred
}

// deferrable reports whether a kind is one of which there are many.
func deferrable(k pb.Kind) bool {
	return k == pb.Kind_KIND_SUBSCRIPTION || k == pb.Kind_KIND_APPLICATION
}

// index indexes what was deferred, and ends the deferral.
func (b *Builder) index() {
	ed, k := b.ed, b.bulk
	b.bulk = nil
	all, plans, lastHandle := written{ed.heap.Written()}, ed.plans.Table(), ed.lastHandle
	var tables [2]cow.Table[location] // of applications, of subscriptions
	var different, unique bool
	var group sync.WaitGroup
	group.Go(func() { tables, different = k.tables(&all, ed.seeds) })
	unique = k.names(ed, &all)
	group.Wait()
	if different && unique {
		ed.tables[pb.Kind_KIND_APPLICATION], ed.tables[pb.Kind_KIND_SUBSCRIPTION] = tables[0].Edit(), tables[1].Edit()
		return
	}
	ed.plans, ed.lastHandle = plans.Edit(), lastHandle
	ed.applications, ed.grants = cow.TableEdit[name]{}, cow.TableEdit[grantEntry]{}
	ed.clients, ed.apiKeys, ed.certificates = cow.TableEdit[clientEntry]{}, cow.TableEdit[credentialEntry]{}, cow.TableEdit[credentialEntry]{}
	all.each(func(l location, c wire.Change) {
		ed.setHash -= hashOf(c.Raw)
		ed.heap.Remove(l.address())
		b.fold(c.Raw)
	})
}

// written is what a Builder has written so far.
type written struct{ heap.Written }

// each yields the changes of applications and subscriptions, in the order in which
// they came. In a Builder none of them was removed.
func (w *written) each(yield func(location, wire.Change)) {
	w.Each(func(tag heap.Tag, a heap.Address, data string) {
		if tag != tagChange {
			return
		}
		if c := mustChange(data); deferrable(c.Kind) {
			yield(location(a), c)
		}
	})
}

// tables are the tables of both kinds. different is false if a resource is there twice.
func (k *bulk) tables(w *written, seeds seeds) (tables [2]cow.Table[location], different bool) {
	applications := make([]cow.Hashed[location], 0, k.applications)
	subscriptions := make([]cow.Hashed[location], 0, k.subscriptions)
	w.each(func(l location, c wire.Change) {
		h := cow.Hashed[location]{Hash: seeds.id(c.ID), Entry: l}
		if c.Kind == pb.Kind_KIND_APPLICATION {
			applications = append(applications, h)
		} else {
			subscriptions = append(subscriptions, h)
		}
	})
	store := store{&w.Heap}
	same := func(a, b *location) bool { return store.id(*a) == store.id(*b) }
	var ok [2]bool
	tables[0], ok[0] = cow.Bulk(applications, same)
	tables[1], ok[1] = cow.Bulk(subscriptions, same)
	return tables, ok[0] && ok[1]
}

// names makes the other indexes. It is false if an application has two open
// subscriptions to the same plan.
func (k *bulk) names(ed *editor, w *written) bool {
	grants := make([]cow.Hashed[grantEntry], 0, k.grants)
	var last acquired
	w.each(func(l location, c wire.Change) {
		if c.Kind == pb.Kind_KIND_APPLICATION {
			v := mustUnderstand(c)
			v.at = l
			relateApplication(ed, version{}, v)
			return
		}
		s := mustSubscription(c)
		if s.Application != last.id {
			last.settle(ed)
			last = acquired{id: s.Application, handle: ed.acquire(tagApplicationName, s.Application)}
		} else {
			last.more++
		}
		plan := ed.acquire(tagPlanName, s.Plan)
		if Open(s.Status) {
			key := grantKey(last.handle, plan)
			grants = append(grants, cow.Hashed[grantEntry]{Hash: ed.seeds.mix(key), Entry: grantEntry{key, grantWord(l, &s)}})
		}
	})
	last.settle(ed)
	table, unique := cow.Bulk(grants, func(a, b *grantEntry) bool { return a.key == b.key })
	ed.grants = table.Edit()
	return unique
}

// acquired is an application that several subscriptions in a row are of.
type acquired struct {
	id     string
	handle Handle
	more   uint32 // reasons to keep the name that are not counted yet
}

// settle counts the reasons.
func (a *acquired) settle(ed *editor) {
	if a.more > 0 {
		n, _ := ed.applications.Put(ed.seeds.id(a.id), ed.store().isName(a.id), nil)
		n.refs += a.more
	}
}
