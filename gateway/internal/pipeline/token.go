package pipeline

import (
	"bytes"
	"errors"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// askForToken asks a JWT or OAUTH2 plan.
func (p *Pipeline) askForToken(v *View, r *request.Request, d *Decision, plan *Plan) (decides bool, err error) {
	if decides, err := p.authenticate(v, r, d, plan); err != nil {
		return decides, err
	}
	if !plan.Rules.Trusts(d.Token.Issuer.ID()) {
		err := denial.InvalidToken.Because(cause.IssuerUntrusted)
		d.note(stepIssuer, plan, err)
		return false, err
	}
	assessed := assess(plan, d.Token)
	if assessed.err != nil && errors.Is(assessed.err, denial.InvalidToken) {
		d.note(stepRules, plan, assessed.err)
		return false, assessed.err
	}
	if decides, err := p.confirm(r, d, plan); err != nil {
		return decides, err
	}
	if plan.Rules.NeedsSubscription() && d.Token.Issuer.ValidateSubscription() {
		if err := d.checkSubscription(v, r, plan, assessed); err != nil {
			return false, err
		}
	}
	d.note(stepRules, plan, assessed.err)
	d.Forward.Set = assessed.set
	return true, assessed.err
}

// authenticate validates the credential as the plan's kind says. A bad token decides,
// unless it may be meant for an OAUTH2 plan: where there is one, a JWT plan decides
// only about a bad token that names an issuer which it trusts.
func (p *Pipeline) authenticate(v *View, r *request.Request, d *Decision, plan *Plan) (decides bool, err error) {
	if plan.Introspects != "" {
		return p.introspect(v, r, d, plan)
	}
	if d.Token == nil && d.failed == nil {
		if d.Api.def.Introspects && d.trace == nil && bytes.Count(d.credential.value, []byte{'.'}) != 2 {
			d.failed = denial.InvalidToken.Because(cause.Opaque) // opaque, as can be seen without further work
		} else {
			d.failed = p.verify(v, r, d)
		}
	}
	if d.failed == nil {
		return false, nil
	}
	if !d.Api.def.Introspects {
		return true, d.failed
	}
	maker := p.tokens.Claimed(v.Keyring, d.credential.value, r.Now)
	if maker != nil && plan.Rules.Trusts(maker.ID()) {
		return true, d.failed
	}
	d.note(stepIssuer, plan, denial.InvalidToken.Because(cause.IssuerUntrusted))
	return false, d.failed
}

// verify authenticates a JWT and looks up whose it is.
func (p *Pipeline) verify(v *View, r *request.Request, d *Decision) error {
	token, err := p.token(v, r, d)
	err = d.adopt(v, r, token, err)
	d.note(stepToken, nil, err)
	return err
}

// adopt makes a genuine token the request's, with its application. The error is the one
// of its validation, which is passed on, or denial.TokenRevoked.
func (d *Decision) adopt(v *View, r *request.Request, token *authn.Token, err error) error {
	if err != nil {
		return err
	}
	if revoked(v, token, r.Now) {
		return denial.TokenRevoked
	}
	// What an earlier plan found must not remain.
	d.Token, d.Application, d.application, d.KeyID, d.sandbox = token, "", 0, "", false
	if client, ok := holder(v, token); ok {
		d.Application, d.application = client.Application, client.Handle
		d.sandbox = client.Environment == pb.Client_SANDBOX
	}
	return nil
}

// token validates the credential; for an explanation without the cache, which
// forgets why a token was refused.
func (p *Pipeline) token(v *View, r *request.Request, d *Decision) (*authn.Token, error) {
	if d.trace == nil {
		return p.tokens.Token(v.Keyring, d.credential.value, r.Now)
	}
	token, failure := p.tokens.Explain(v.Keyring, d.credential.value, r.Now)
	if failure.Denial != nil {
		d.trace.reason = failure.Reason
		return nil, failure.Denial
	}
	return token, nil
}

// introspect asks the plan's issuer about the token. If the issuer does not know the
// token, or cannot be asked, plans of other issuers may still decide. If none does and
// an issuer could not be asked, the answer is that one, not that the token is bad.
func (p *Pipeline) introspect(v *View, r *request.Request, d *Decision, plan *Plan) (decides bool, err error) {
	issuer, ok := v.Keyring.ByID(plan.Introspects)
	if !ok {
		err := denial.InvalidToken.Because(cause.IssuerNotInForce)
		d.note(stepIssuer, plan, err)
		return false, err
	}
	if d.asked == issuer {
		return false, nil
	}
	token, err := p.inquire(v, r, d, issuer)
	if err = d.adopt(v, r, token, err); err == nil {
		d.asked = issuer
	}
	d.note(stepToken, plan, err)
	return errors.Is(err, denial.TokenExpired) || errors.Is(err, denial.TokenRevoked), err
}

func (p *Pipeline) inquire(v *View, r *request.Request, d *Decision, issuer *authn.Issuer) (*authn.Token, error) {
	if d.trace == nil {
		return p.tokens.Introspect(v.Keyring, issuer, r.Address, d.credential.value, r.Now)
	}
	token, failure := p.tokens.ExplainIntrospection(v.Keyring, issuer, r.Address, d.credential.value, r.Now)
	if failure.Denial != nil {
		d.trace.reason = failure.Reason
		return nil, failure.Denial
	}
	return token, nil
}

// confirm checks that the caller is the one that the token was issued to. A token
// whose binding the plan does not offer, or that lacks the one it asks for, may
// be for another plan. A wrong proof, or none, decides.
func (p *Pipeline) confirm(r *request.Request, d *Decision, plan *Plan) (decides bool, err error) {
	bound := &d.Token.Binding
	required := plan.MTLS == pb.Confirmation_REQUIRED || plan.DPoP == pb.Confirmation_REQUIRED
	if !bound.Bound() && !required && !d.credential.dpop {
		return false, nil // the usual case
	}
	if err = plan.offers(bound); err == nil {
		decides, err = true, p.possession(r, d)
	}
	d.note(stepConfirmation, plan, err)
	return decides, err
}

// offers holds a token's binding against the plan's modes. OFF means that the
// plan takes no tokens that are bound so: their binding would go unchecked.
func (plan *Plan) offers(bound *authn.Binding) error {
	switch {
	case bound.ByCertificate && plan.MTLS == pb.Confirmation_OFF, bound.Key != "" && plan.DPoP == pb.Confirmation_OFF:
		return denial.InvalidToken.Because(cause.BindingUnwanted)
	case !bound.ByCertificate && plan.MTLS == pb.Confirmation_REQUIRED:
		return denial.InvalidToken.Because(cause.BindingMissing)
	case bound.Key == "" && plan.DPoP == pb.Confirmation_REQUIRED:
		return denial.UnboundToken.Because(cause.BindingMissing)
	}
	return nil
}

// possession checks the proofs of what the token is bound to (RFC 8705 section
// 3, RFC 9449 section 7).
func (p *Pipeline) possession(r *request.Request, d *Decision) error {
	bound := &d.Token.Binding
	switch {
	case bound.ByCertificate && !bound.Matches(r.Certificate):
		return denial.InvalidToken.Because(cause.BindingCertificate)
	case bound.Key == "" && !d.credential.dpop, bound.Key != "" && d.proved == bound.Key:
		return nil
	case bound.Key == "", d.credential.bearer:
		return denial.UnboundToken.Because(cause.BindingScheme) // a token for one scheme under the other
	}
	failure := p.tokens.Prove(d.Token, r, d.credential.value, d.trace == nil)
	if failure.Denial != nil {
		if d.trace != nil {
			d.trace.reason = failure.Reason
		}
		return failure.Denial
	}
	d.proved = bound.Key
	return nil
}
