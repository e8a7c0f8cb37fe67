package catalog

import (
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/heap"
	"github.com/portcullis-gateway/portcullis/shared/catalog/internal/wire"
	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// Handle is a small number that stands for an application or a plan in indexes
// and counters of this process. 0 stands for none. It is not the same in
// another process, nor after a resync.
type Handle uint32

// The entries of indexes have no pointers and no strings: locations in the heap, and
// ranges in the changes there.

// name is an id's handle, and how many reasons there are to keep it: the
// resource itself and each subscription that names it.
type name struct {
	id     heap.Address
	handle Handle
	refs   uint32
}

// clientEntry is a client of an application.
type clientEntry struct {
	at               location // of the application's change
	id, issuer, name wire.Range
	handle           Handle
	environment      pb.Client_Environment
}

// credentialEntry is an API key or a client certificate.
type credentialEntry struct {
	sum       [32]byte
	at        location // of the application's change
	id, keyID wire.Range
	handle    Handle
	expiresAt int64
}

// grantEntry is an open subscription.
type grantEntry struct {
	key  uint64 // grantKey
	word uint64 // the location of its change; above it the status, and dated
}

// dated says that a subscription begins or ends at some time, which its change says.
const dated = 1 << 63

func (g *grantEntry) at() location { return location(g.word & (1<<locationBits - 1)) }

func (g *grantEntry) status() pb.Subscription_Status {
	return pb.Subscription_Status(g.word &^ dated >> locationBits)
}

func grantWord(at location, s *wire.Subscription) uint64 {
	word := uint64(at) | uint64(s.Status)<<locationBits
	if s.StartsAt != 0 || s.EndsAt != 0 {
		word |= dated
	}
	return word
}

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
}

// Active reports whether the grant entitles at this time, in seconds since 1970.
func (g Grant) Active(now int64) bool {
	return g.Status == pb.Subscription_ACCEPTED && g.StartsAt <= now && (g.EndsAt == 0 || now < g.EndsAt)
}

// HostPath is a host and a context path, where one Api at most may be.
type HostPath struct {
	// Host is in lower case; empty: every host.
	Host string
	Path string
}

// HostPaths are the pairs of host and context path that an Api takes, one for
// each of its hosts.
func HostPaths(api *pb.Api) []HostPath {
	if len(api.GetHosts()) == 0 {
		return []HostPath{{"", api.GetContextPath()}}
	}
	pairs := make([]HostPath, len(api.GetHosts()))
	for i, h := range api.GetHosts() {
		pairs[i] = HostPath{strings.ToLower(h), api.GetContextPath()}
	}
	return pairs
}

// seeds make the hashes of a state's tables different from those of any other
// process, so that nobody can choose ids that fall together.
type seeds struct {
	text   maphash.Seed
	number uint64
}

func newSeeds() seeds {
	s := maphash.MakeSeed()
	return seeds{s, maphash.String(s, "")}
}

func (s *seeds) id(id string) uint64 { return maphash.String(s.text, id) }

func (s *seeds) client(issuer, clientID string) uint64 {
	return maphash.String(s.text, issuer)*mixer ^ maphash.String(s.text, clientID)
}

// mixer is an odd number without a pattern.
const mixer = 0x9e3779b97f4a7c15

// mix is a hash of a number (after the finalizer of MurmurHash3).
func (s *seeds) mix(n uint64) uint64 {
	h := n ^ s.number
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (s *seeds) sum(sum *[32]byte) uint64 { return s.mix(binary.LittleEndian.Uint64(sum[:])) }

// Handle is the number of an application or plan; 0 if it does not exist.
func (s *State) Handle(kind pb.Kind, id string) Handle {
	names := &s.applications
	if kind == pb.Kind_KIND_PLAN {
		names = &s.plans
	}
	if n := names.Find(s.seeds.id(id), s.store().isName(id)); n != nil {
		return n.handle
	}
	return 0
}

func (s store) isName(id string) func(*name) bool {
	return func(n *name) bool { return s.At(n.id) == id }
}

// Client finds the application of an issuer's client.
func (s *State) Client(issuer, clientID string) (ClientRef, bool) {
	e := s.clients.Find(s.seeds.client(issuer, clientID), s.store().isClient(issuer, clientID))
	if e == nil {
		return ClientRef{}, false
	}
	return ClientRef{Application: e.id.In(s.store().raw(e.at)), Handle: e.handle, Environment: e.environment}, true
}

func (s store) isClient(issuer, clientID string) func(*clientEntry) bool {
	return func(e *clientEntry) bool {
		raw := s.raw(e.at)
		return e.name.In(raw) == clientID && e.issuer.In(raw) == issuer
	}
}

// APIKey finds the application that holds the key with this SHA-256. Whether
// it has expired is for the caller to check.
func (s *State) APIKey(sha256 [32]byte) (KeyRef, bool) { return s.credential(&s.apiKeys, &sha256) }

// Certificate finds the application that holds the client certificate with
// this SHA-256 of its DER encoding. Whether it has expired is for the caller to check.
func (s *State) Certificate(sha256 [32]byte) (KeyRef, bool) {
	return s.credential(&s.certificates, &sha256)
}

func (s *State) credential(index *cow.Table[credentialEntry], sum *[32]byte) (KeyRef, bool) {
	e := index.Find(s.seeds.sum(sum), func(e *credentialEntry) bool { return e.sum == *sum })
	if e == nil {
		return KeyRef{}, false
	}
	raw := s.store().raw(e.at)
	return KeyRef{Application: e.id.In(raw), Handle: e.handle, KeyID: e.keyID.In(raw), ExpiresAt: e.expiresAt}, true
}

// Grant finds the subscription of an application to a plan.
func (s *State) Grant(application, plan Handle) (Grant, bool) {
	e := s.grant(application, plan)
	if e == nil {
		return Grant{}, false
	}
	g := Grant{Status: e.status()}
	if e.word&dated != 0 {
		sub := mustSubscription(s.store().change(e.at()))
		g.StartsAt, g.EndsAt = sub.StartsAt, sub.EndsAt
	}
	return g, true
}

func (s *State) grant(application, plan Handle) *grantEntry {
	key := grantKey(application, plan)
	return s.grants.Find(s.seeds.mix(key), func(g *grantEntry) bool { return g.key == key })
}

// Revocations are the revocations in force. The pointer changes exactly when one of them does.
func (s *State) Revocations() *Revocations { return s.revocations }

func grantKey(application, plan Handle) uint64 { return uint64(application)<<32 | uint64(plan) }

// ParseSHA256 reads a SHA-256 written as 64 hexadecimal digits.
func ParseSHA256(text string) (sum [32]byte, ok bool) {
	if len(text) != 2*len(sum) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(text))
	return sum, err == nil
}
