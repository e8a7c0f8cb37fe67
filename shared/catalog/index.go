package catalog

import (
	"encoding/hex"
	"hash/fnv"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
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
	owner            uint32 // of the subscription's id, so that another one's end does not end this
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
	n, _ := s.names.Get(Ref{kind, id})
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

func ownerOf(id string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum32()
}

// acquire gives a name its handle, or one more reason to keep it.
func (ed *editor) acquire(ref Ref) Handle {
	n, ok := ed.names.Get(ref)
	if !ok {
		ed.lastHandle++
		n.handle = ed.lastHandle
		ref.ID = strings.Clone(ref.ID)
	}
	n.refs++
	ed.names.Set(ref, n)
	return n.handle
}

func (ed *editor) release(ref Ref) Handle {
	n, ok := ed.names.Get(ref)
	switch {
	case !ok:
	case n.refs <= 1:
		ed.names.Delete(ref)
	default:
		n.refs--
		ed.names.Set(ref, n)
	}
	return n.handle
}

func (ed *editor) grant(id string, s subscription) {
	a := ed.acquire(Ref{pb.Kind_KIND_APPLICATION, s.application})
	p := ed.acquire(Ref{pb.Kind_KIND_PLAN, s.plan})
	if open(s.status) {
		ed.grants.Set(grantKey(a, p), Grant{StartsAt: s.startsAt, EndsAt: s.endsAt, Status: s.status, owner: ownerOf(id)})
	}
}

func (ed *editor) ungrant(id string, s subscription) {
	a := ed.release(Ref{pb.Kind_KIND_APPLICATION, s.application})
	p := ed.release(Ref{pb.Kind_KIND_PLAN, s.plan})
	if g, ok := ed.grants.Get(grantKey(a, p)); ok && g.owner == ownerOf(id) {
		ed.grants.Delete(grantKey(a, p))
	}
}

// open tells whether a subscription of this status may still entitle, now or later.
func open(s pb.Subscription_Status) bool {
	return s == pb.Subscription_PENDING || s == pb.Subscription_ACCEPTED || s == pb.Subscription_PAUSED
}

func (ed *editor) indexApplication(a *pb.Application) {
	h := ed.acquire(Ref{pb.Kind_KIND_APPLICATION, a.GetId()})
	for _, c := range a.GetClients() {
		ed.clients.Set(clientKey{c.GetIssuer(), c.GetClientId()},
			ClientRef{Application: a.GetId(), Handle: h, Environment: c.GetEnvironment()})
	}
	for _, k := range a.GetApiKeys() {
		if sum, ok := parseSHA256(k.GetSha256()); ok {
			ed.apiKeys.Set(sum, KeyRef{
				Application: a.GetId(), Handle: h, KeyID: k.GetId(), ExpiresAt: k.GetExpiresAt().GetSeconds(),
			})
		}
	}
	for _, c := range a.GetCertificates() {
		if sum, ok := parseSHA256(c.GetSha256()); ok {
			ed.certificates.Set(sum, KeyRef{
				Application: a.GetId(), Handle: h, KeyID: c.GetId(), ExpiresAt: c.GetExpiresAt().GetSeconds(),
			})
		}
	}
}

func (ed *editor) unindexApplication(a *pb.Application) {
	for _, c := range a.GetClients() {
		key := clientKey{c.GetIssuer(), c.GetClientId()}
		if ref, ok := ed.clients.Get(key); ok && ref.Application == a.GetId() {
			ed.clients.Delete(key)
		}
	}
	for _, k := range a.GetApiKeys() {
		sum, _ := parseSHA256(k.GetSha256())
		if ref, ok := ed.apiKeys.Get(sum); ok && ref.Application == a.GetId() {
			ed.apiKeys.Delete(sum)
		}
	}
	for _, c := range a.GetCertificates() {
		sum, _ := parseSHA256(c.GetSha256())
		if ref, ok := ed.certificates.Get(sum); ok && ref.Application == a.GetId() {
			ed.certificates.Delete(sum)
		}
	}
	ed.release(Ref{pb.Kind_KIND_APPLICATION, a.GetId()})
}

func parseSHA256(text string) (sum [32]byte, ok bool) {
	if len(text) != 2*len(sum) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(text))
	return sum, err == nil
}
