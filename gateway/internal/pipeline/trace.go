package pipeline

import (
	"encoding/hex"
	"errors"
	"maps"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// Trace is what the steps of one decision tell, in order.
type Trace struct {
	Steps []Step

	reason string         // why authn refused the token
	state  *catalog.State // to look up what only an explanation asks for
}

// Step is one thing that was looked at. No credential and no claim's value is in it.
type Step struct {
	// Name is the step: route, credential, token, …
	Name string `json:"step"`
	// Plan is the id of the plan that was asked; empty: none in particular.
	Plan string `json:"plan,omitempty"`
	// Outcome is "passed", "skipped" (the plan has no say), or the reason of the denial.
	Outcome string `json:"outcome"`
	// Cause says finer than the denial why; empty: the step refused nothing.
	Cause string `json:"cause,omitempty"`
	// Detail says more, by name.
	Detail map[string]string `json:"detail,omitempty"`
}

// Explain decides as Decide does, and tells how. It counts nothing.
func (p *Pipeline) Explain(v *View, r *request.Request, d *Decision) (*Trace, error) {
	trace := &Trace{state: v.State}
	*d = Decision{trace: trace}
	err := p.Decide(v, r, d)
	d.trace, trace.state = nil, nil
	return trace, err
}

type stepName uint8

const (
	stepRoute stepName = iota
	stepCredential
	stepPresented
	stepSelection
	stepToken
	stepKey
	stepCertificate
	stepConfirmation
	stepIssuer
	stepSubscription
	stepRules
	stepPlans
	stepEnvironment
	stepResource
	stepLimits
	stepForward
)

func (s stepName) String() string {
	return [...]string{
		"route", "credential", "presented", "selection_rule", "token", "api_key", "certificate", "confirmation", "issuer",
		"subscription", "rules", "plans", "environment", "resource_filter", "limits", "forward",
	}[s]
}

// errSkipped marks a plan that has no say.
var errSkipped = errors.New("skipped")

// note remembers a step that refused, and tells the trace, if there is one, how it went.
func (d *Decision) note(step stepName, plan *Plan, err error) {
	if err != nil && err != errSkipped { //nolint:errorlint // never wrapped
		d.refuse(step, plan, err)
	}
	if d.trace != nil {
		d.trace.add(d, step, plan, err)
	}
}

// refuse does not allocate in a Decision that was used for a refusal before.
func (d *Decision) refuse(step stepName, plan *Plan, err error) {
	if refused, ok := errors.AsType[*denial.Denial](err); ok {
		d.refusals = append(d.refusals, refusal{step, plan, refused})
	}
}

func (t *Trace) add(d *Decision, name stepName, plan *Plan, err error) {
	step := Step{Name: name.String(), Outcome: "passed", Detail: d.detail(name, plan)}
	if plan != nil {
		step.Plan = plan.ID
	}
	if err != nil {
		step.Outcome = err.Error()
		if refusal, ok := errors.AsType[*denial.Denial](err); ok {
			step.Outcome, step.Cause = refusal.Reason(), refusal.Cause().String()
		}
	}
	t.Steps = append(t.Steps, step)
}

// detail says what a step had before it.
func (d *Decision) detail(name stepName, plan *Plan) map[string]string {
	switch name {
	case stepRoute:
		if d.Api != nil {
			return map[string]string{"api": d.Api.ID, "below": string(d.Forward.Path[d.Forward.Rest:]), "stopped": strconv.FormatBool(d.Api.def.Stopped)}
		}
	case stepCredential:
		return d.credential.describe()
	case stepPresented:
		return map[string]string{"security": plan.Rules.Security().String()}
	case stepToken:
		return d.describeToken()
	case stepConfirmation:
		return d.describeConfirmation(plan)
	case stepKey, stepCertificate:
		if d.Application != "" {
			return map[string]string{"application": d.Application, "key": d.KeyID}
		}
	case stepSubscription:
		return d.describeSubscription(plan)
	case stepRules:
		if fault := plan.Rules.Fault(d.Token.Claims); fault != "" {
			return map[string]string{"field": fault}
		}
		return map[string]string{"rules": plan.Rules.Asks()}
	case stepLimits:
		if d.Refusal.Limited() {
			return map[string]string{"limit": string(d.Refusal.AppendRateLimit(nil)), "policy": d.Refusal.RateLimitPolicy()}
		}
	case stepForward:
		return d.describeForward()
	default:
	}
	return nil
}

func (c *credential) kindName() string { return [...]string{"none", "token", "api_key"}[c.kind] }

func (c *credential) describe() map[string]string {
	detail := map[string]string{"kind": c.kindName()}
	maps.Copy(detail, places(c.place))
	return detail
}

func places(at compile.Location) map[string]string {
	found := map[string]string{"header": at.Header, "query": at.Query, "cookie": at.Cookie}
	maps.DeleteFunc(found, func(_, name string) bool { return name == "" })
	return found
}

// describeSubscription says what entitles, or would have.
func (d *Decision) describeSubscription(plan *Plan) map[string]string {
	detail := map[string]string{"application": d.Application}
	if d.Token != nil && d.Token.Issuer.SubscriptionClaim() != "" {
		detail["claim"] = d.Token.Issuer.SubscriptionClaim()
		return detail
	}
	s := subscriptionTo(d.trace.state, d.Application, plan.ID)
	if s == nil {
		return detail
	}
	detail["subscription"], detail["status"] = s.GetId(), s.GetStatus().String()
	for name, at := range map[string]*timestamppb.Timestamp{"starts_at": s.GetStartsAt(), "ends_at": s.GetEndsAt()} {
		if at != nil {
			detail[name] = at.AsTime().Format(time.RFC3339)
		}
	}
	return detail
}

// subscriptionTo looks through all subscriptions: requests need only the grant
// that they come to, and there is an index of nothing else. An open one comes
// before those that have ended.
func subscriptionTo(state *catalog.State, application, plan string) *pb.Subscription {
	if application == "" {
		return nil
	}
	var found *pb.Subscription
	for record := range state.All(pb.Kind_KIND_SUBSCRIPTION) {
		if raw := record.Raw(); !strings.Contains(raw, application) || !strings.Contains(raw, plan) {
			continue
		}
		s, ok := catalog.Lookup[*pb.Subscription](state, pb.Kind_KIND_SUBSCRIPTION, record.Ref().ID)
		if ok && s.GetApplication() == application && s.GetPlan() == plan && (found == nil || isOpen(s)) {
			found = s
		}
	}
	return found
}

func isOpen(s *pb.Subscription) bool {
	return s.GetStatus() != pb.Subscription_REJECTED && s.GetStatus() != pb.Subscription_CLOSED
}

// describeForward says what the upstream would get.
func (d *Decision) describeForward() map[string]string {
	detail := map[string]string{"path": d.Api.Upstream.Preview(&d.Forward)}
	for _, field := range d.Forward.Set {
		detail["set "+field.Name] = strconv.Itoa(len(field.Value)) + " bytes"
	}
	for kind, name := range places(d.Forward.Credential) {
		detail["removed "+kind] = name
	}
	return detail
}

// describeConfirmation says what the token is bound to, and what the plan wants.
func (d *Decision) describeConfirmation(plan *Plan) map[string]string {
	detail := map[string]string{"mtls": plan.MTLS.String(), "dpop": plan.DPoP.String(), "bound": "no"}
	switch b := &d.Token.Binding; {
	case b.ByCertificate && b.Key != "":
		detail["bound"] = "certificate and key"
	case b.ByCertificate:
		detail["bound"] = "certificate"
	case b.Key != "":
		detail["bound"] = "key"
	}
	if d.trace.reason != "" {
		detail["reason"] = d.trace.reason
	}
	return detail
}

func (d *Decision) describeToken() map[string]string {
	t := d.Token
	if t == nil {
		if d.trace.reason == "" {
			return nil
		}
		return map[string]string{"reason": d.trace.reason}
	}
	return map[string]string{
		"issuer": t.Issuer.ID(), "client_id": t.ClientID, "application": d.Application,
		"expires_at": expiry(t), "sha256": hex.EncodeToString(t.SHA256[:8]) + "…", "kid": t.KeyID, "key": t.Key, "key_thumbprint": t.Thumbprint(),
	}
}

func expiry(t *authn.Token) string {
	if t.ExpiresAt == 0 {
		return "never"
	}
	return time.Unix(t.ExpiresAt, 0).UTC().Format(time.RFC3339)
}
