package catalog

import "github.com/portcullis-gateway/portcullis/shared/cow"

// How much of a chunk is emptied at a time: a part of a millisecond's worth, and
// many times what was added meanwhile, so that the emptying wins whatever is
// applied: the worst chunk gives a fifth of its bytes back at least.
const (
	compactBytes = 16 << 10
	compactShare = 8
)

// compact moves what is needed out of the chunks with the most waste.
func (ed *editor) compact() {
	budget := compactBytes + compactShare*ed.added
	for budget > 0 {
		l := &ed.leaving
		if l.frames == nil {
			if !ed.wasteful() {
				return
			}
			if l.chunk = ed.worst(); l.chunk < 0 {
				return
			}
			l.frames, l.at = ed.chunks[l.chunk].seal(), 0
		}
		before := l.at
		ed.empty(l, budget)
		budget -= l.at - before
		if l.at == len(l.frames) {
			ed.giveUp(l.chunk)
			*l = leaving{}
		}
	}
}

// empty moves what is needed of the next frames of a chunk.
func (ed *editor) empty(l *leaving, budget int) {
	for end := l.at + budget; l.at < len(l.frames) && l.at < end; {
		from := placeAt(l.chunk, l.at)
		head, width := frameHead(l.frames[l.at:])
		l.at += width + int(head>>frameBits)
		switch kind := frameKind(head & (1<<frameBits - 1)); kind {
		case frameChange:
			ed.moveChange(from)
		case frameApplication, framePlan:
			ed.moveName(kind, from)
		}
		ed.work(moveEffort)
	}
}

// moveChange moves a change, if it is the one in its table.
func (ed *editor) moveChange(from place) {
	c := mustChange(ed.at(from))
	hash, table := ed.seeds.id(c.id), &ed.tables[c.kind]
	is := func(p *place) bool { return *p&^oddID == from }
	if table.Find(hash, is) == nil {
		return
	}
	entry, _ := table.Put(hash, is, nil)
	was := *entry
	to := ed.add(frameChange, c.raw) | was&oddID
	ed.waste(was)
	*entry = to
	if moved := indexes[c.kind].moved; moved != nil {
		moved(ed, c, was, to)
	}
}

func moveSubscription(ed *editor, c change, was, to place) {
	s := mustSubscription(c)
	if !Open(s.status) {
		return
	}
	key := ed.pair(&s)
	hash, is := ed.seeds.mix(key), func(g *grantEntry) bool { return g.key == key && g.owner() == was }
	if ed.grants.Find(hash, is) == nil {
		return // another subscription's
	}
	g, _ := ed.grants.Put(hash, is, nil)
	g.word = grantWord(to, &s)
}

func moveApplication(ed *editor, c change, was, to place) {
	a := mustApplication(c)
	for _, c := range a.clients {
		hash := ed.seeds.client(c.key.issuer, c.key.clientID)
		is := func(e *clientEntry) bool { return e.at == was && ed.isClient(c.key.issuer, c.key.clientID)(e) }
		if ed.clients.Find(hash, is) != nil {
			e, _ := ed.clients.Put(hash, is, nil)
			e.at = to
		}
	}
	ed.moveCredentials(&ed.apiKeys, a.keys, was, to)
	ed.moveCredentials(&ed.certificates, a.certificates, was, to)
}

func (ed *editor) moveCredentials(index *cow.TableEdit[credentialEntry], list []credential, was, to place) {
	for _, c := range list {
		sum, ok := ParseSHA256(c.sha256)
		is := func(e *credentialEntry) bool { return e.sum == sum && e.at == was }
		if hash := ed.seeds.sum(&sum); ok && index.Find(hash, is) != nil {
			e, _ := index.Put(hash, is, nil)
			e.at = to
		}
	}
}

func (ed *editor) moveName(kind frameKind, from place) {
	names, id := ed.names(kind), ed.at(from)
	hash, is := ed.seeds.id(id), func(n *name) bool { return n.at == from }
	if names.Find(hash, is) == nil {
		return
	}
	n, _ := names.Put(hash, is, nil)
	n.at = ed.add(kind, id)
	ed.waste(from)
}
