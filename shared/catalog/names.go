package catalog

import (
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/heap"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// Names give applications and plans their handles, from the first subscription that
// names one, so that it does not matter which of the two is created first.

// acquire gives a name its handle, or one more reason to keep it.
func (ed *editor) acquire(tag heap.Tag, id string) Handle {
	n, added := ed.names(tag).Put(ed.seeds.id(id), ed.store().isName(id), func(n *name) uint64 { return ed.seeds.id(ed.heap.At(n.id)) })
	if added {
		ed.lastHandle++
		n.id, n.handle = ed.heap.Add(tag, id), ed.lastHandle
	}
	n.refs++
	return n.handle
}

// release takes one reason to keep a name away.
func (ed *editor) release(tag heap.Tag, id string) {
	names, hash, is := ed.names(tag), ed.seeds.id(id), ed.store().isName(id)
	n := names.Find(hash, is)
	switch {
	case n == nil:
	case n.refs <= 1:
		ed.heap.Remove(n.id)
		names.Delete(hash, is)
	default:
		n, _ = names.Put(hash, is, nil)
		n.refs--
	}
}

// handle is that of a name, 0 if there is none.
func (ed *editor) handle(tag heap.Tag, id string) Handle {
	if n := ed.names(tag).Find(ed.seeds.id(id), ed.store().isName(id)); n != nil {
		return n.handle
	}
	return 0
}

func (ed *editor) names(tag heap.Tag) *cow.TableEdit[name] {
	if tag == tagPlanName {
		return &ed.plans
	}
	return &ed.applications
}

// moveName moves a name, if it is the one in its index.
func (ed *editor) moveName(tag heap.Tag, from heap.Address, move func() heap.Address) {
	names, hash := ed.names(tag), ed.seeds.id(ed.heap.At(from))
	is := func(n *name) bool { return n.id == from }
	if names.Find(hash, is) == nil {
		return
	}
	n, _ := names.Put(hash, is, nil)
	n.id = move()
}
