package pipeline

import (
	"strings"
	"sync/atomic"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/policy/authz"
)

// assessment is what follows from a token's claims and a compiled plan alone: whether
// the plan's rules allow the token, the fields that the plan sets from it and, if its
// issuer is trusted for that, whether the token lists a subscription. So it is computed
// once and remembered with the token, until the token leaves the cache or the plan is
// compiled again (BenchmarkDecide).
type assessment struct {
	err error // why the rules refuse the token; nil: they allow it
	set []exchange.HeaderValue
	// signed are these with the gateway's own JWT; nil: there is none.
	signed *signedFields
	// unsubscribed is why the token's list of subscriptions does not entitle it; nil: it
	// does, or the issuer is not trusted for such a list.
	unsubscribed error
	granted      atomic.Pointer[granted]
}

// granted is what the application that holds the token may do with the plan, by one
// edition of the resources.
type granted struct {
	edition     *catalog.Edition
	application catalog.Handle
	grant       catalog.Grant
	known       bool
}

// holder finds the client that a token was issued to.
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

// grant finds what a token's application may do with a plan. It is remembered in
// assessed, which is the plan's assessment of the token.
func grant(v *View, t *authn.Token, application catalog.Handle, plan *Plan, assessed *assessment) (catalog.Grant, bool) {
	if g := assessed.granted.Load(); g != nil && g.edition == v.edition && g.application == application {
		return g.grant, g.known
	}
	var found catalog.Grant
	known := false
	if application != 0 && plan.handle != 0 {
		found, known = v.State.Grant(application, plan.handle)
	}
	if h := t.HolderMemo().Load(); h != nil && h.Edition == v.edition {
		assessed.granted.Store(&granted{v.edition, application, found, known})
	}
	return found, known
}

// assess returns the plan's assessment of a token: the remembered one, or a new one.
func assess(plan *Plan, t *authn.Token) *assessment {
	if value, ok := t.Recall(plan); ok {
		if assessed, ok := value.(*assessment); ok {
			return assessed
		}
	}
	assessed := &assessment{err: plan.Rules.Allow(t.Claims)}
	if assessed.err == nil {
		assessed.set = render(plan.Headers, t.Claims)
		if plan.assertion != nil && !setsHeader(assessed.set, plan.assertion.Header) {
			assessed.signed = &signedFields{}
		}
	}
	if claim := t.Issuer.SubscriptionClaim(); claim != "" {
		assessed.unsubscribed = authz.Claimed(t.Claims, claim, plan.Target)
	}
	t.Remember(plan, assessed)
	return assessed
}

// revoked looks a token up in the revocations, unless they are the same edition in
// which it was last found not to be revoked: time alone revokes nothing.
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
