package catalog

import (
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

func understandApplication(c wire.Change) (version, error) {
	a, err := wire.ReadApplication(c)
	return version{present: true, change: c, application: a}, err
}

// relateApplication keeps what an application is found by: clients, API keys and
// certificates.
func relateApplication(ed *editor, before, after version) {
	if after.present {
		h := ed.handleOf(before, after)
		ed.setClients(after, h)
		ed.setCredentials(&ed.apiKeys, after, h, after.application.Keys)
		ed.setCredentials(&ed.certificates, after, h, after.application.Certificates)
	}
	if before.present {
		// What still has the old location was not taken over.
		ed.deleteClients(before)
		ed.deleteCredentials(&ed.apiKeys, before.at, before.change.Raw, before.application.Keys)
		ed.deleteCredentials(&ed.certificates, before.at, before.change.Raw, before.application.Certificates)
	}
	if !after.present {
		ed.release(tagApplicationName, before.change.ID)
	}
}

// handleOf is the handle of an application that is new or changed.
func (ed *editor) handleOf(before, after version) Handle {
	if before.present {
		return ed.handle(tagApplicationName, after.change.ID)
	}
	return ed.acquire(tagApplicationName, after.change.ID)
}

func (ed *editor) setClients(v version, h Handle) {
	raw := v.change.Raw
	for _, c := range v.application.Clients {
		issuer, id := c.Issuer.In(raw), c.ID.In(raw)
		e, _ := ed.clients.Put(ed.seeds.client(issuer, id), ed.store().isClient(issuer, id), ed.hashClient)
		*e = clientEntry{at: v.at, id: v.change.IDAt, issuer: c.Issuer, name: c.ID, handle: h, environment: c.Environment}
	}
}

func (ed *editor) hashClient(e *clientEntry) uint64 {
	raw := ed.store().raw(e.at)
	return ed.seeds.client(e.issuer.In(raw), e.name.In(raw))
}

func (ed *editor) deleteClients(v version) {
	raw := v.change.Raw
	for _, c := range v.application.Clients {
		issuer, id := c.Issuer.In(raw), c.ID.In(raw)
		ed.clients.Delete(ed.seeds.client(issuer, id), ed.clientAt(v.at, issuer, id))
	}
}

// clientAt is for the client of the application whose change is at a location.
func (ed *editor) clientAt(at location, issuer, id string) func(*clientEntry) bool {
	is := ed.store().isClient(issuer, id)
	return func(e *clientEntry) bool { return e.at == at && is(e) }
}

func (ed *editor) setCredentials(index *cow.TableEdit[credentialEntry], v version, h Handle, list []wire.Credential) {
	for _, c := range list {
		sum, ok := ParseSHA256(c.SHA256.In(v.change.Raw))
		if !ok {
			continue
		}
		e, _ := index.Put(ed.seeds.sum(&sum), func(e *credentialEntry) bool { return e.sum == sum },
			func(e *credentialEntry) uint64 { return ed.seeds.sum(&e.sum) })
		*e = credentialEntry{sum: sum, at: v.at, id: v.change.IDAt, keyID: c.ID, handle: h, expiresAt: c.ExpiresAt}
	}
}

func (ed *editor) deleteCredentials(index *cow.TableEdit[credentialEntry], at location, raw string, list []wire.Credential) {
	for _, c := range list {
		if sum, ok := ParseSHA256(c.SHA256.In(raw)); ok {
			index.Delete(ed.seeds.sum(&sum), credentialAt(at, sum))
		}
	}
}

// credentialAt is for the credential of the application whose change is at a location.
func credentialAt(at location, sum [32]byte) func(*credentialEntry) bool {
	return func(e *credentialEntry) bool { return e.sum == sum && e.at == at }
}

// moveApplication follows an application's change to another location.
func moveApplication(ed *editor, c wire.Change, before, now location) {
	a := mustApplication(c)
	for _, client := range a.Clients {
		issuer, id := client.Issuer.In(c.Raw), client.ID.In(c.Raw)
		hash, is := ed.seeds.client(issuer, id), ed.clientAt(before, issuer, id)
		if ed.clients.Find(hash, is) != nil {
			e, _ := ed.clients.Put(hash, is, nil)
			e.at = now
		}
	}
	for _, k := range a.Keys {
		ed.moveCredential(&ed.apiKeys, k.SHA256.In(c.Raw), before, now)
	}
	for _, k := range a.Certificates {
		ed.moveCredential(&ed.certificates, k.SHA256.In(c.Raw), before, now)
	}
}

func (ed *editor) moveCredential(index *cow.TableEdit[credentialEntry], sha256 string, before, now location) {
	sum, ok := ParseSHA256(sha256)
	if !ok {
		return
	}
	hash, is := ed.seeds.sum(&sum), credentialAt(before, sum)
	if index.Find(hash, is) != nil {
		e, _ := index.Put(hash, is, nil)
		e.at = now
	}
}
