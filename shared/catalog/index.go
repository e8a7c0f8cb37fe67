package catalog

import (
	"encoding/hex"
	"strings"

	"github.com/cespare/xxhash/v2"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// Handle is a small number that stands for an application or a plan in indexes
// and counters of this process. 0 stands for none. It is not the same in
// another process, nor after a resync.
type Handle uint32

// name is an id's handle, and how many reasons there are to keep it: the
// resource itself and each subscription that names it.
type name struct {
	handle Handle
	refs   uint32
}

type clientKey struct{ issuer, clientID string }

// ClientRef is the application behind an issuer's client.
type ClientRef struct {
	Application string
	Handle      Handle
	Environment pb.Client_Environment
}

// KeyRef is the application behind an API key or a client certificate.
type KeyRef struct {
	Application string
	Handle      Handle
	KeyID       string
	ExpiresAt   int64 // seconds since 1970; 0: never
}

// Grant is a subscription as a request needs it. Closed and rejected
// subscriptions grant nothing and are not kept.
type Grant struct {
	StartsAt, EndsAt int64 // seconds since 1970; 0: no bound
	Status           pb.Subscription_Status
	owner            uint64 // of the subscription's id, so that another one's end does not end this
}

// Live tells whether the grant entitles at this time, in seconds since 1970.
func (g Grant) Live(now int64) bool {
	return g.Status == pb.Subscription_ACCEPTED && g.StartsAt <= now && (g.EndsAt == 0 || now < g.EndsAt)
}

// hostPath is a place that an Api takes. host is in lower case; "" is every host.
type hostPath struct{ host, path string }

func placesOf(api *pb.Api) []hostPath {
	if len(api.GetHosts()) == 0 {
		return []hostPath{{"", api.GetContextPath()}}
	}
	places := make([]hostPath, len(api.GetHosts()))
	for i, h := range api.GetHosts() {
		places[i] = hostPath{strings.ToLower(h), api.GetContextPath()}
	}
	return places
}

// Handle is the number of an application or plan; 0 if it does not exist.
func (s *State) Handle(kind pb.Kind, id string) Handle {
	names := s.applications
	if kind == pb.Kind_KIND_PLAN {
		names = s.plans
	}
	n, _ := names.Get(id)
	return n.handle
}

// Client finds the application of an issuer's client.
func (s *State) Client(issuer, clientID string) (ClientRef, bool) {
	return s.clients.Get(clientKey{issuer, clientID})
}

// APIKey finds the application that holds the key with this SHA-256. Whether
// it has expired is for the caller to check.
func (s *State) APIKey(sha256 [32]byte) (KeyRef, bool) { return s.apiKeys.Get(sha256) }

// Certificate finds the application that holds the client certificate with
// this SHA-256 of its DER encoding. Whether it has expired is for the caller to check.
func (s *State) Certificate(sha256 [32]byte) (KeyRef, bool) { return s.certificates.Get(sha256) }

// Grant finds the subscription of an application to a plan.
func (s *State) Grant(application, plan Handle) (Grant, bool) {
	return s.grants.Get(grantKey(application, plan))
}

// Revocations are the revocations in force. The pointer changes exactly when one of them does.
func (s *State) Revocations() *Revocations { return s.revocations }

func grantKey(application, plan Handle) uint64 { return uint64(application)<<32 | uint64(plan) }

func ownerOf(id string) uint64 { return xxhash.Sum64String(id) }

// acquire gives a name its handle, or one more reason to keep it.
func (ed *editor) acquire(names *cow.Edit[string, name], id string) Handle {
	n := names.Update(id)
	if n.refs == 0 {
		ed.lastHandle++
		n.handle = ed.lastHandle
	}
	n.refs++
	return n.handle
}

func (ed *editor) release(names *cow.Edit[string, name], id string) Handle {
	n, ok := names.Get(id)
	switch {
	case !ok:
	case n.refs <= 1:
		names.Delete(id)
	default:
		names.Update(id).refs--
	}
	return n.handle
}

func (ed *editor) grant(id string, s subscription) {
	a := ed.acquire(ed.applications, s.application)
	p := ed.acquire(ed.plans, s.plan)
	if open(s.status) {
		ed.grants.Set(grantKey(a, p), Grant{StartsAt: s.startsAt, EndsAt: s.endsAt, Status: s.status, owner: ownerOf(id)})
	}
}

func (ed *editor) ungrant(id string, s subscription) {
	a := ed.release(ed.applications, s.application)
	p := ed.release(ed.plans, s.plan)
	if g, ok := ed.grants.Get(grantKey(a, p)); ok && g.owner == ownerOf(id) {
		ed.grants.Delete(grantKey(a, p))
	}
}

// open tells whether a subscription of this status may still entitle, now or later.
func open(s pb.Subscription_Status) bool {
	return s == pb.Subscription_PENDING || s == pb.Subscription_ACCEPTED || s == pb.Subscription_PAUSED
}

func (ed *editor) indexApplication(id string, a application) {
	h := ed.acquire(ed.applications, id)
	for _, c := range a.clients {
		ed.clients.Set(c.key, ClientRef{Application: id, Handle: h, Environment: c.environment})
	}
	setCredentials(ed.apiKeys, id, h, a.keys)
	setCredentials(ed.certificates, id, h, a.certificates)
}

func (ed *editor) unindexApplication(id string, a application) {
	for _, c := range a.clients {
		if ref, ok := ed.clients.Get(c.key); ok && ref.Application == id {
			ed.clients.Delete(c.key)
		}
	}
	deleteCredentials(ed.apiKeys, id, a.keys)
	deleteCredentials(ed.certificates, id, a.certificates)
	ed.release(ed.applications, id)
}

func setCredentials(index *cow.Edit[[32]byte, KeyRef], application string, h Handle, list []credential) {
	for _, c := range list {
		if sum, ok := parseSHA256(c.sha256); ok {
			index.Set(sum, KeyRef{Application: application, Handle: h, KeyID: c.id, ExpiresAt: c.expiresAt})
		}
	}
}

func deleteCredentials(index *cow.Edit[[32]byte, KeyRef], application string, list []credential) {
	for _, c := range list {
		sum, _ := parseSHA256(c.sha256)
		if ref, ok := index.Get(sum); ok && ref.Application == application {
			index.Delete(sum)
		}
	}
}

func parseSHA256(text string) (sum [32]byte, ok bool) {
	if len(text) != 2*len(sum) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(text))
	return sum, err == nil
}
