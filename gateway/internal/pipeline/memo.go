package pipeline

import (
	"strings"
	"sync/atomic"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/policy/authz"
)

// verdict is what a plan's rules say of a token's claims, and, if its issuer is
// trusted for that, what the token says of subscriptions. It follows from
// nothing but these two, so it is worked out once and remembered with the token
// (BenchmarkDecide). It ends with the token's place in the cache, and says
// nothing about any other plan, nor about the same plan compiled anew.
type verdict struct {
	err error
	set []exchange.HeaderValue
	// signed are these with the gateway's own JWT; nil: there is none.
	signed *signedFields
	// subscribed is why the token's own list does not entitle it; nil: it does, or there is no such list.
	subscribed error
	granted    atomic.Pointer[granted]
}

// granted is what the application that holds the token may do with the plan, by one
// edition of the resources.
type granted struct {
	edition     *catalog.Edition
	application catalog.Handle
	grant       catalog.Grant
	known       bool
}

// holder finds whose a token is.
func holder(v *View, t *authn.Token) (catalog.ClientRef, bool) {
	if h := t.HolderMemo().Load(); h != nil && h.Edition == v.edition {
		return h.Client, h.Known
	}
	client, known := v.State.Client(t.Issuer.ID(), t.ClientID)
	if t.Settled(v.edition) {
		client.Application = strings.Clone(client.Application) // which is a part of the state
		t.HolderMemo().Store(&authn.Holder{Edition: v.edition, Client: client, Known: known})
	}
	return client, known
}

// grant finds what a token's application may do with a plan. said is what the
// plan says of the token.
func grant(v *View, t *authn.Token, application catalog.Handle, plan *Plan, said *verdict) (catalog.Grant, bool) {
	if g := said.granted.Load(); g != nil && g.edition == v.edition && g.application == application {
		return g.grant, g.known
	}
	var found catalog.Grant
	known := false
	if application != 0 && plan.handle != 0 {
		found, known = v.State.Grant(application, plan.handle)
	}
	if h := t.HolderMemo().Load(); h != nil && h.Edition == v.edition {
		said.granted.Store(&granted{v.edition, application, found, known})
	}
	return found, known
}

func recall(plan *Plan, t *authn.Token) *verdict {
	if value, ok := t.Recall(plan); ok {
		if said, ok := value.(*verdict); ok {
			return said
		}
	}
	said := &verdict{err: plan.Rules.Allow(t.Claims)}
	if said.err == nil {
		said.set = render(plan.Headers, t.Claims)
		if plan.assertion != nil && !setsHeader(said.set, plan.assertion.Header) {
			said.signed = &signedFields{}
		}
	}
	if claim := t.Issuer.SubscriptionClaim(); claim != "" {
		said.subscribed = authz.Claimed(t.Claims, claim, plan.Target)
	}
	t.Remember(plan, said)
	return said
}

// revoked looks a token up in the revocations, unless these are the very ones it
// was last found clean in: nothing becomes revoked by time alone.
func revoked(v *View, t *authn.Token, now int64) bool {
	revocations := v.State.Revocations()
	if t.RevocationMemo().Load() == revocations.Edition() {
		return false
	}
	if revocations.Revoked(t.Facts(), now) {
		return true
	}
	t.RevocationMemo().Store(revocations.Edition())
	return false
}
