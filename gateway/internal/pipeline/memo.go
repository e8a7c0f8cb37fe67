package pipeline

import (
	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/authz"
	"github.com/portcullis-gateway/portcullis/gateway/internal/proxy"
)

// verdict is what a plan's rules say of a token's claims, and, if its issuer is
// trusted for that, what the token says of subscriptions. It follows from
// nothing but these two, so it is worked out once and remembered with the token
// (BenchmarkDecide). It ends with the token's place in the cache, and says
// nothing about any other plan, nor about the same plan compiled anew.
type verdict struct {
	err error
	set []proxy.HeaderValue
	// signed are these with the gateway's own JWT; nil: there is none.
	signed *signedFields
	// subscribed is why the token's own list does not entitle it; nil: it does, or there is no such list.
	subscribed error
}

func recall(plan *Plan, t *authn.Token) *verdict {
	if value, ok := t.Recall(plan); ok {
		if said, ok := value.(*verdict); ok {
			return said
		}
	}
	said := &verdict{err: plan.rules.Allow(t.Claims)}
	if said.err == nil {
		said.set = render(plan.headers, t.Claims)
		if plan.assertion != nil && !setsHeader(said.set, plan.assertion.Header()) {
			said.signed = &signedFields{}
		}
	}
	if claim := t.Issuer.SubscriptionClaim(); claim != "" {
		said.subscribed = authz.Claimed(t.Claims, claim, plan.target)
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
