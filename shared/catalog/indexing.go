package catalog

import "github.com/portcullis-gateway/portcullis/shared/cow"

// acquire gives a name its handle, or one more reason to keep it.
func (ed *editor) acquire(kind frameKind, id string) Handle {
	n, added := ed.names(kind).Put(ed.seeds.id(id), ed.isName(id), func(n *name) uint64 { return ed.seeds.id(ed.at(n.at)) })
	if added {
		ed.lastHandle++
		n.at, n.handle = ed.add(kind, id), ed.lastHandle
	}
	n.refs++
	return n.handle
}

func (ed *editor) release(kind frameKind, id string) {
	names := ed.names(kind)
	hash := ed.seeds.id(id)
	n := names.Find(hash, ed.isName(id))
	switch {
	case n == nil:
	case n.refs <= 1:
		ed.waste(n.at)
		names.Delete(hash, ed.isName(id))
	default:
		n, _ = names.Put(hash, ed.isName(id), nil)
		n.refs--
	}
}

// handle is that of a name which there is.
func (ed *editor) handle(kind frameKind, id string) Handle {
	if n := ed.names(kind).Find(ed.seeds.id(id), ed.isName(id)); n != nil {
		return n.handle
	}
	return 0
}

func (ed *editor) names(kind frameKind) *cow.TableEdit[name] {
	if kind == framePlan {
		return &ed.plans
	}
	return &ed.applications
}

// relateSubscription replaces what a subscription was by what it is. Where its change is
// reports whether a grant is its own, and not another one's.
func relateSubscription(ed *editor, _ change, was place, before content, is place, after content) {
	if !before.there || !after.there || !sameNames(&before.subscription, &after.subscription) {
		// In this order, so that a name which stays keeps its handle.
		if after.there {
			ed.acquire(frameApplication, after.subscription.application)
			ed.acquire(framePlan, after.subscription.plan)
			ed.grant(ed.pair(&after.subscription), is, &after.subscription)
		}
		if before.there {
			ed.ungrant(ed.pair(&before.subscription), was)
			ed.release(frameApplication, before.subscription.application)
			ed.release(framePlan, before.subscription.plan)
		}
		return
	}
	// Most changes are of the status alone.
	key := ed.pair(&after.subscription)
	if Open(after.subscription.status) {
		ed.grant(key, is, &after.subscription)
	} else {
		ed.ungrant(key, was)
	}
}

func sameNames(a, b *subscription) bool {
	return a.application == b.application && a.plan == b.plan
}

// pair is the key of a subscription whose names are known.
func (ed *editor) pair(s *subscription) uint64 {
	return grantKey(ed.handle(frameApplication, s.application), ed.handle(framePlan, s.plan))
}

func (ed *editor) grant(key uint64, is place, s *subscription) {
	if !Open(s.status) {
		return
	}
	g, _ := ed.grants.Put(ed.seeds.mix(key), func(g *grantEntry) bool { return g.key == key },
		func(g *grantEntry) uint64 { return ed.seeds.mix(g.key) })
	*g = grantEntry{key, grantWord(is, s)}
}

func (ed *editor) ungrant(key uint64, was place) {
	ed.grants.Delete(ed.seeds.mix(key), func(g *grantEntry) bool { return g.key == key && g.owner() == was })
}

// relateApplication replaces what an application was by what it is. The strings of after
// are parts of c.
func relateApplication(ed *editor, c change, was place, before content, is place, after content) {
	var h Handle
	switch {
	case !before.there:
		h = ed.acquire(frameApplication, c.id)
	case after.there:
		h = ed.handle(frameApplication, c.id)
	}
	ed.setClients(c, is, h, after.application.clients)
	ed.setCredentials(&ed.apiKeys, c, is, h, after.application.keys)
	ed.setCredentials(&ed.certificates, c, is, h, after.application.certificates)
	// What is still at the old place was not taken over.
	ed.deleteClients(was, before.application.clients)
	ed.deleteCredentials(&ed.apiKeys, was, before.application.keys)
	ed.deleteCredentials(&ed.certificates, was, before.application.certificates)
	if !after.there {
		ed.release(frameApplication, c.id)
	}
}

func (ed *editor) deleteClients(was place, clients []client) {
	for _, c := range clients {
		ed.clients.Delete(ed.seeds.client(c.key.issuer, c.key.clientID), func(e *clientEntry) bool {
			return e.at == was && ed.isClient(c.key.issuer, c.key.clientID)(e)
		})
	}
}

func (ed *editor) setClients(c change, is place, h Handle, clients []client) {
	for _, n := range clients {
		e, _ := ed.clients.Put(ed.seeds.client(n.key.issuer, n.key.clientID), ed.isClient(n.key.issuer, n.key.clientID), ed.hashClient)
		*e = clientEntry{
			at: is, id: spanOf(c.raw, c.id), issuer: spanOf(c.raw, n.key.issuer), name: spanOf(c.raw, n.key.clientID),
			handle: h, environment: n.environment,
		}
	}
}

func (ed *editor) hashClient(e *clientEntry) uint64 {
	raw := ed.at(e.at)
	return ed.seeds.client(e.issuer.of(raw), e.name.of(raw))
}

func (ed *editor) setCredentials(index *cow.TableEdit[credentialEntry], c change, is place, h Handle, list []credential) {
	for _, n := range list {
		sum, ok := ParseSHA256(n.sha256)
		if !ok {
			continue
		}
		e, _ := index.Put(ed.seeds.sum(&sum), func(e *credentialEntry) bool { return e.sum == sum },
			func(e *credentialEntry) uint64 { return ed.seeds.sum(&e.sum) })
		*e = credentialEntry{
			sum: sum, at: is, id: spanOf(c.raw, c.id), keyID: spanOf(c.raw, n.id),
			handle: h, expiresAt: n.expiresAt,
		}
	}
}

func (ed *editor) deleteCredentials(index *cow.TableEdit[credentialEntry], was place, list []credential) {
	for _, c := range list {
		if sum, ok := ParseSHA256(c.sha256); ok {
			index.Delete(ed.seeds.sum(&sum), func(e *credentialEntry) bool { return e.sum == sum && e.at == was })
		}
	}
}
