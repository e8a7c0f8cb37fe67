package catalog

import (
	"sync"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// bulk holds back the indexing of applications and subscriptions while a snapshot
// is read, of which there may be millions. They are indexed together in the end,
// on two processors, in tables that are made at once: a fraction of the time of
// folding each (BenchmarkBuilderMillion), and no table has room to spare.
//
// The result is that of folding. What could make a difference ends the holding
// back (a change that takes something away, or cannot be understood), or undoes it
// (two changes of the same resource, two open subscriptions of the same pair).
type bulk struct {
	applications, subscriptions, grants int
}

// verdict is what becomes of a change.
type verdict int

const (
	held   verdict = iota // it is indexed later
	folded                // it has nothing to do with those that are held back
	ending                // what is held back must be indexed before it is folded
)

// add takes a change into the store, if it may be indexed later.
func (k *bulk) add(ed *editor, raw string) verdict {
	c, err := decodeChange(raw)
	if err != nil || c.kind != pb.Kind_KIND_SUBSCRIPTION && c.kind != pb.Kind_KIND_APPLICATION {
		return folded
	}
	of, err := indexes[c.kind].understand(c)
	if err != nil || c.removed || quickID(raw) != c.id {
		return ending
	}
	if c.kind == pb.Kind_KIND_APPLICATION {
		k.applications++
	} else {
		k.subscriptions++
		if Open(of.subscription.status) {
			k.grants++
		}
	}
	ed.add(frameChange, raw)
	ed.setHash += hashOf(raw)
	return held
}

// index indexes what was held back, and ends the holding back.
func (b *Builder) index() {
	ed, k := b.ed, b.bulk
	b.bulk = nil
	written, plans, lastHandle := ed.written(), ed.plans.Table(), ed.lastHandle
	var tables [2]cow.Table[place] // of applications, of subscriptions
	var different, unique bool
	var group sync.WaitGroup
	group.Go(func() { tables, different = k.tables(written, ed.seeds) })
	unique = k.names(ed, written)
	group.Wait()
	if different && unique {
		ed.tables[pb.Kind_KIND_APPLICATION], ed.tables[pb.Kind_KIND_SUBSCRIPTION] = tables[0].Edit(), tables[1].Edit()
		return
	}
	ed.plans, ed.lastHandle = plans.Edit(), lastHandle
	ed.applications, ed.grants = cow.TableEdit[name]{}, cow.TableEdit[grantEntry]{}
	ed.clients, ed.apiKeys, ed.certificates = cow.TableEdit[clientEntry]{}, cow.TableEdit[credentialEntry]{}, cow.TableEdit[credentialEntry]{}
	written.each(func(p place, c change) {
		ed.setHash -= hashOf(c.raw)
		ed.waste(p)
		b.fold(c.raw)
	})
}

// tables are the tables of both kinds. different is false if a resource is there twice.
func (k *bulk) tables(w written, seeds seeds) (tables [2]cow.Table[place], different bool) {
	applications := make([]cow.Hashed[place], 0, k.applications)
	subscriptions := make([]cow.Hashed[place], 0, k.subscriptions)
	w.each(func(p place, c change) {
		h := cow.Hashed[place]{Hash: seeds.id(c.id), Entry: p}
		if c.kind == pb.Kind_KIND_APPLICATION {
			applications = append(applications, h)
		} else {
			subscriptions = append(subscriptions, h)
		}
	})
	same := func(a, b *place) bool { return w.store.id(*a) == w.store.id(*b) }
	var ok [2]bool
	tables[0], ok[0] = cow.Bulk(applications, same)
	tables[1], ok[1] = cow.Bulk(subscriptions, same)
	return tables, ok[0] && ok[1]
}

// names makes the other indexes. It is false if an application has two open
// subscriptions to the same plan.
func (k *bulk) names(ed *editor, w written) bool {
	grants := make([]cow.Hashed[grantEntry], 0, k.grants)
	var last acquired
	w.each(func(p place, c change) {
		of := mustUnderstand(c)
		if c.kind == pb.Kind_KIND_APPLICATION {
			relateApplication(ed, c, 0, content{}, p, of)
			return
		}
		s := &of.subscription
		if s.application != last.id {
			last.settle(ed)
			last = acquired{id: s.application, handle: ed.acquire(frameApplication, s.application)}
		} else {
			last.more++
		}
		plan := ed.acquire(framePlan, s.plan)
		if Open(s.status) {
			key := grantKey(last.handle, plan)
			grants = append(grants, cow.Hashed[grantEntry]{Hash: ed.seeds.mix(key), Entry: grantEntry{key, grantWord(p, s)}})
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

func (a *acquired) settle(ed *editor) {
	if a.more > 0 {
		n, _ := ed.applications.Put(ed.seeds.id(a.id), ed.isName(a.id), nil)
		n.refs += a.more
	}
}

// written is what was in a store at some moment. It may be read while more is
// written to the store.
type written struct {
	store  store
	frames [][]byte // of each chunk
}

func (e *storeEdit) written() written {
	w := written{store: e.done(), frames: make([][]byte, len(e.chunks))}
	for i, c := range e.chunks {
		if c != nil {
			w.frames[i] = c.written()
		}
	}
	return w
}

func (c *chunk) written() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.data[:c.used]
}

// each yields the changes of applications and subscriptions, in the order in
// which they came. In a Builder none of them is waste.
func (w *written) each(yield func(place, change)) {
	for i, frames := range w.frames {
		for at := 0; at < len(frames); {
			p := placeAt(i, at)
			head, width := frameHead(frames[at:])
			from := at + width
			at = from + int(head>>frameBits)
			if frameKind(head&(1<<frameBits-1)) != frameChange {
				continue
			}
			c := mustChange(view(frames[from:at]))
			if c.kind == pb.Kind_KIND_SUBSCRIPTION || c.kind == pb.Kind_KIND_APPLICATION {
				yield(p, c)
			}
		}
	}
}
