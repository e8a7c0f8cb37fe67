package pipeline

import (
	"crypto/sha256"
	"errors"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/expr"
	"github.com/portcullis-gateway/portcullis/shared/policy/authz"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
)

// Pipeline decides about requests. It holds what outlives a View: the token
// cache and the counters. Safe for concurrent use.
type Pipeline struct {
	tokens   *authn.Authenticator
	counters *restrict.Store
}

// New makes a Pipeline.
func New(tokens *authn.Authenticator, counters *restrict.Store) *Pipeline {
	return &Pipeline{tokens: tokens, counters: counters}
}

// Decide decides about r by v, and writes what it finds out to d. If it returns
// nil, the request may go on as d.Forward says. Its error is a *denial.Denial;
// d then has what else the answer needs. d is valid as long as r.
func (p *Pipeline) Decide(v *View, r *request.Request, d *Decision) error {
	trace := d.trace
	d.Reset()
	d.trace = trace
	if err := match(v, r, d); err != nil || d.Page != nil {
		return err
	}
	if err := identify(r, d); err != nil {
		return err
	}
	if err := p.choose(v, r, d); err != nil {
		return d.malformed(err)
	}
	if err := environment(d); err != nil {
		return err
	}
	if err := p.restrict(r, d); err != nil {
		return err
	}
	return shape(v, r, d)
}

// match finds the Api.
func match(v *View, r *request.Request, d *Decision) (err error) {
	api, rest, ok := v.Routes.Match(r.Host, r.Path)
	if ok {
		d.Api = api
		d.Forward.To, d.Forward.Path, d.Forward.Rest, d.Forward.Query = api.Upstream, r.Path, rest, r.Query
	}
	switch {
	case !ok:
		err = denial.APINotFound.Because(cause.NoRoute)
	case api.def.Stopped:
		err = denial.APINotFound.Because(cause.APIStopped)
	case api.unavailable:
		err = denial.NotInForce
	case api.page != nil && rest < len(r.Path):
		err = denial.APINotFound.Because(cause.NoRoute)
	case api.page != nil:
		err = d.Serve(api.page, r.Method)
	}
	d.note(stepRoute, nil, err)
	return err
}

// identify finds the credential.
func identify(r *request.Request, d *Decision) (err error) {
	d.credential, err = d.Api.find(r)
	d.note(stepCredential, nil, err)
	return err
}

// choose finds the plan that decides and returns what it decides.
func (p *Pipeline) choose(v *View, r *request.Request, d *Decision) error {
	var refusal error
	for _, plan := range d.Api.plans {
		if !d.eligible(plan, r) {
			continue
		}
		decides, err := p.ask(v, r, d, plan)
		if decides {
			if err == nil {
				d.Plan = plan
			}
			return err
		}
		refusal = stronger(refusal, err)
	}
	err := d.unserved(refusal)
	d.note(stepPlans, nil, err)
	return err
}

// malformed replaces a refusal by denial.InvalidRequest if the credential is not even a
// b64token (RFC 6750 section 2.1). Decide asks last, because long tokens take long to check.
func (d *Decision) malformed(err error) error {
	if d.Token == nil && d.credential.malformed() {
		err = denial.InvalidRequest.Because(cause.CredentialMalformed)
		d.note(stepCredential, nil, err)
	}
	return err
}

// eligible reports whether a plan is asked about this request.
func (d *Decision) eligible(plan *Plan, r *request.Request) bool {
	switch {
	case !d.presented(plan, r):
		d.note(stepPresented, plan, errSkipped)
	case plan.Rules.Conditional() && !plan.Rules.Selected(r.Attributes()):
		d.note(stepSelection, plan, errSkipped)
	default:
		return true
	}
	return false
}

// presented reports whether the request brought the plan's kind of credential. For a
// keyless plan that is none: no credential of a kind that the Api's plans take.
func (d *Decision) presented(plan *Plan, r *request.Request) bool {
	switch plan.Rules.Security() {
	case pb.Plan_KEYLESS:
		return d.credential.kind == compile.NoCredential && (!d.Api.def.Certificates || r.Certificate == nil)
	case pb.Plan_MTLS:
		return r.Certificate != nil
	default:
		return d.credential.sources&plan.Source != 0
	}
}

// ask asks an eligible plan. If it does not decide, the error is its answer in case no
// later plan decides.
func (p *Pipeline) ask(v *View, r *request.Request, d *Decision, plan *Plan) (decides bool, err error) {
	switch plan.Rules.Security() {
	case pb.Plan_KEYLESS:
		return true, nil
	case pb.Plan_API_KEY:
		return p.askForKey(v, r, d, plan)
	case pb.Plan_MTLS:
		return p.askForCertificate(v, r, d, plan)
	case pb.Plan_JWT, pb.Plan_OAUTH2:
		return p.askForToken(v, r, d, plan)
	default:
		return true, denial.Internal // BUG: no other kind compiles
	}
}

func (p *Pipeline) askForKey(v *View, r *request.Request, d *Decision, plan *Plan) (decides bool, err error) {
	key, ok := v.State.APIKey(sha256.Sum256(d.credential.value))
	switch {
	case !ok:
		err = denial.InvalidAPIKey.Because(cause.APIKeyUnknown)
	case key.ExpiresAt != 0 && key.ExpiresAt <= r.Now:
		err = denial.InvalidAPIKey.Because(cause.APIKeyExpired)
	}
	if err != nil {
		d.note(stepKey, plan, err)
		return true, err
	}
	d.Application, d.application, d.KeyID = key.Application, key.Handle, key.KeyID
	d.note(stepKey, plan, nil)
	if plan.Rules.NeedsSubscription() {
		if err := d.entitled(v, r, plan); err != nil {
			return false, err
		}
	}
	return true, nil
}

// checkSubscription decides whether the token's client may use a plan: by the
// subscriptions that the token lists, if its issuer is trusted for that, else by the state's.
func (d *Decision) checkSubscription(v *View, r *request.Request, plan *Plan, assessed *assessment) error {
	err := assessed.unsubscribed
	switch {
	case d.Token.Issuer.SubscriptionClaim() != "":
	case d.application == 0:
		err = denial.SubscriptionNotFound.Because(cause.ApplicationUnknown)
	default:
		found, ok := grant(v, d.Token, d.application, plan, assessed)
		err = authz.Granted(found, ok, r.Now)
	}
	d.note(stepSubscription, plan, err)
	return err
}

// entitled decides by the state's subscriptions alone.
func (d *Decision) entitled(v *View, r *request.Request, plan *Plan) error {
	err := authz.Entitled(v.State, d.application, plan.handle, r.Now)
	d.note(stepSubscription, plan, err)
	return err
}

// unserved is the answer when no plan decides. refusal is the strongest one of the
// eligible plans; nil: there was none.
func (d *Decision) unserved(refusal error) error {
	switch {
	case refusal != nil:
		return refusal
	case d.credential.kind == compile.TokenCredential:
		return denial.InvalidToken.Because(cause.NoPlan)
	case d.credential.kind == compile.KeyCredential:
		return denial.InvalidAPIKey.Because(cause.NoPlan)
	default:
		return d.Api.def.Missing
	}
}

// stronger returns the refusal that tells the caller more.
func stronger(a, b error) error {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, denial.IntrospectionUnavailable):
		return 6 // the token may be good
	case errors.Is(err, denial.SubscriptionInactive):
		return 5
	case errors.Is(err, denial.SubscriptionNotFound):
		return 4
	case errors.Is(err, denial.InvalidCertificate):
		return 1 // it came along; another credential was meant
	case elsewhere(err):
		return 2
	default:
		return 3
	}
}

// elsewhere reports whether a token was refused only because it is for other plans.
func elsewhere(err error) bool {
	d, ok := errors.AsType[*denial.Denial](err)
	return ok && (d.Cause() == cause.Opaque || d.Cause() == cause.IssuerUntrusted)
}

// restrict applies the plan's restrictions: first the resources that it includes, so
// that a request for another one is not counted by the limits.
func (p *Pipeline) restrict(r *request.Request, d *Decision) error {
	limits, below := d.Plan.Limits, r.Path[d.Forward.Rest:]
	err := limits.Permit(r.Method, below)
	d.note(stepResource, d.Plan, err)
	if err != nil {
		if errors.Is(err, denial.MethodNotAllowed) {
			d.Allow = limits.Methods(below)
		}
		return err
	}
	if !limits.Counts() {
		return nil
	}
	var input *expr.Input
	if limits.NeedsInput() {
		input = &expr.Input{Request: r.Attributes(), Application: d.Application, Plan: d.Plan.ID}
		if d.Token != nil {
			input.Claims = d.Token.Claims.Map()
		}
	}
	// Not r.Now: limits count in nanoseconds, and an introspection may have taken
	// seconds since the request began.
	subject, now := restrict.Subject{Application: d.Application, Address: r.Address}, time.Now().UnixNano()
	if d.trace == nil {
		d.Refusal, err = limits.Take(p.counters, subject, input, now)
	} else {
		d.Refusal, err = limits.Look(p.counters, subject, input, now)
	}
	d.note(stepLimits, d.Plan, err)
	return err
}

// shape fills d.Forward: the fields to strip, the credential to remove, and the fields
// to set from the token's claims and with the gateway's own JWT.
func shape(v *View, r *request.Request, d *Decision) (err error) {
	d.Forward.Strip = d.Api.def.Strip
	if !d.Plan.ForwardToken {
		d.Forward.Credential, d.Forward.Strip = d.credential.place, d.Api.def.StripProof
	}
	if d.Plan.assertion != nil && d.Token != nil {
		if assessed := assess(d.Plan, d.Token); assessed.signed != nil {
			err = d.assert(v, assessed, r.Now)
		}
	}
	d.note(stepForward, d.Plan, err)
	return err
}
