package pipeline

import (
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// Trace is what the steps of one decision tell, in order.
type Trace struct {
	Steps []Step

	reason string // why authn refused the token
}

// Step is one thing that was looked at. No credential and no claim's value is in it.
type Step struct {
	// Name is the step: route, credential, token, …
	Name string `json:"step"`
	// Plan is the id of the plan that was asked; empty: none in particular.
	Plan string `json:"plan,omitempty"`
	// Outcome is "passed", "skipped" (the plan has no say), or the reason of the denial.
	Outcome string `json:"outcome"`
	// Detail says more, by name.
	Detail map[string]string `json:"detail,omitempty"`
}

// Explain decides as Decide does, and tells how. It counts nothing.
func (p *Pipeline) Explain(v *View, r *request.Request, d *Decision) (*Trace, error) {
	trace := &Trace{}
	*d = Decision{trace: trace}
	err := p.Decide(v, r, d)
	d.trace = nil
	return trace, err
}

type stepName uint8

const (
	stepRoute stepName = iota
	stepCredential
	stepUnusable
	stepPresented
	stepSelection
	stepToken
	stepKey
	stepIssuer
	stepSubscription
	stepRules
	stepPlans
	stepResource
	stepLimits
	stepForward
)

func (s stepName) String() string {
	return [...]string{
		"route", "credential", "supported", "presented", "selection_rule", "token", "api_key", "issuer",
		"subscription", "rules", "plans", "resource_filter", "limits", "forward",
	}[s]
}

// errSkipped marks a plan that has no say.
var errSkipped = errors.New("skipped")

// note tells the trace, if there is one, how a step went.
func (d *Decision) note(step stepName, plan *Plan, err error) {
	if d.trace != nil {
		d.trace.add(d, step, plan, err)
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
			step.Outcome = refusal.Reason()
		}
	}
	t.Steps = append(t.Steps, step)
}

// detail says what a step had before it.
func (d *Decision) detail(name stepName, plan *Plan) map[string]string {
	switch name {
	case stepRoute:
		if d.Api != nil {
			return map[string]string{"api": d.Api.ID, "below": string(d.Forward.Path[d.Forward.Rest:]), "stopped": strconv.FormatBool(d.Api.stopped)}
		}
	case stepCredential:
		return d.credential.describe()
	case stepPresented, stepUnusable:
		return map[string]string{"security": plan.rules.Security().String()}
	case stepToken:
		return d.describeToken()
	case stepKey:
		if d.Application != "" {
			return map[string]string{"application": d.Application, "key": d.KeyID}
		}
	case stepSubscription:
		return map[string]string{"application": d.Application}
	case stepRules:
		if fault := plan.rules.Fault(d.Token.Claims); fault != "" {
			return map[string]string{"field": fault}
		}
	case stepLimits:
		if d.Refusal.Limited() {
			return map[string]string{"limit": string(d.Refusal.AppendRateLimit(nil)), "policy": d.Refusal.RateLimitPolicy()}
		}
	case stepForward:
		detail := map[string]string{}
		for _, field := range d.Forward.Set {
			detail[field.Name] = strconv.Itoa(len(field.Value)) + " bytes"
		}
		return detail
	default:
	}
	return nil
}

func (c *credential) describe() map[string]string {
	detail := map[string]string{"kind": [...]string{"none", "token", "api_key"}[c.kind]}
	for name, at := range map[string]string{"header": c.place.Header, "query": c.place.Query, "cookie": c.place.Cookie} {
		if at != "" {
			detail[name] = at
		}
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
		"expires_at": time.Unix(t.ExpiresAt, 0).UTC().Format(time.RFC3339), "sha256": hex.EncodeToString(t.SHA256[:8]) + "…", "kid": t.KeyID, "key": t.Key,
	}
}
