package authn

import (
	"cmp"
	"slices"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// Issuer is a token issuer in force: a compiled issuer with the keys that count
// now. Another pointer means other settings or other keys. Of one pointer nothing
// changes, but for how long its keys may be used (see Renew).
type Issuer struct {
	def  *compile.Issuer
	keys atomic.Pointer[keyset.Set]
}

// NewIssuer makes an Issuer of what was compiled.
func NewIssuer(compiled *compile.Issuer) *Issuer {
	i := &Issuer{def: compiled}
	i.keys.Store(compiled.Keys)
	return i
}

// Renew takes over the keys of next, if next differs from i in nothing but that
// keys may be used for longer, and reports whether it did. So a key set that was
// fetched again and is the same does not end what was validated with it.
func (i *Issuer) Renew(next *Issuer) bool {
	if i.def.Fetched != next.def.Fetched || !proto.Equal(i.def.Settings, next.def.Settings) || !next.Keys().Extends(i.Keys()) {
		return false
	}
	i.keys.Store(next.Keys())
	return true
}

// SameForApis reports whether an Api that trusts the one would be compiled in the
// same way with the other; nil: there is none.
func (i *Issuer) SameForApis(other *Issuer) bool {
	if i == nil || other == nil {
		return i == other
	}
	return i.def.Name == other.def.Name && (i.def.Introspection == nil) == (other.def.Introspection == nil)
}

// ID is the Issuer's id, which plans name.
func (i *Issuer) ID() string { return i.def.ID }

// Name is the exact `iss` of its tokens, or its pattern; empty: they have none.
func (i *Issuer) Name() string { return i.def.Name }

// ValidateSubscription reports whether its clients need subscriptions.
func (i *Issuer) ValidateSubscription() bool { return i.def.ValidateSubscription }

// SubscriptionClaim is the claim that is trusted in place of subscriptions; empty: none is.
func (i *Issuer) SubscriptionClaim() string { return i.def.SubscriptionClaim }

// Keys are the keys in force, for looking at.
func (i *Issuer) Keys() *keyset.Set { return i.keys.Load() }

// HasKeys reports whether a token of the issuer could be verified at all: it has
// configured keys, or a key set was fetched at least once.
func (i *Issuer) HasKeys() bool { return i.def.Fetched || i.Keys().Len() > 0 }

// Keyring is all issuers in force. It is immutable.
type Keyring struct {
	byName  map[string]*Issuer
	byID    map[string]*Issuer
	members map[*Issuer]struct{}
	tenants []*Issuer // those whose iss is a pattern, by id
	unnamed []*Issuer // those whose tokens have no iss, by id
}

// NewKeyring makes a keyring. Of several issuers of one name, which the catalog
// does not allow, the one with the least id counts.
func NewKeyring(issuers []*Issuer) *Keyring {
	r := &Keyring{byName: make(map[string]*Issuer, len(issuers)), byID: make(map[string]*Issuer, len(issuers)), members: make(map[*Issuer]struct{}, len(issuers))}
	byID := slices.SortedFunc(slices.Values(issuers), func(a, b *Issuer) int { return cmp.Compare(a.def.ID, b.def.ID) })
	for _, issuer := range byID {
		switch {
		case issuer.def.Name == "":
			r.unnamed = append(r.unnamed, issuer)
		case issuer.def.Tenants != nil:
			r.tenants = append(r.tenants, issuer)
		case r.byName[issuer.def.Name] != nil:
			continue
		default:
			r.byName[issuer.def.Name] = issuer
		}
		r.members[issuer] = struct{}{}
		r.byID[issuer.def.ID] = issuer
	}
	return r
}

// ByID finds an issuer by its id.
func (r *Keyring) ByID(id string) (*Issuer, bool) {
	issuer, ok := r.byID[id]
	return issuer, ok
}

// Issuer finds an issuer by the exact `iss` of its tokens, or else the one whose
// pattern iss has, whether it trusts that tenant or not.
func (r *Keyring) Issuer(iss string) (*Issuer, bool) {
	if issuer, ok := r.byName[iss]; ok {
		return issuer, true
	}
	for _, issuer := range r.tenants {
		if _, ok := issuer.def.Tenants.Of(iss); ok {
			return issuer, true
		}
	}
	return nil, false
}

// has reports whether exactly this compiled issuer is in force.
func (r *Keyring) has(issuer *Issuer) bool { _, ok := r.members[issuer]; return ok }
