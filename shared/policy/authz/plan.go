package authz

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/expr"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Plan is the compiled rules of one plan. It is immutable and safe for
// concurrent use, and two Plans are the same rules only if they are one pointer.
type Plan struct {
	id           string
	security     pb.Plan_Security
	subscription bool
	selection    *expr.Rule // nil: every request
	issuers      []string
	audiences    []string
	scopes       *pb.Scopes
	noScope      error // denial.InsufficientScope, naming the plan's scopes
	claims       []claimRule
	settings     string // the field of the plan that all this is from: jwt or oauth2
}

// Compile makes the rules of a plan whose fields are sound. The faults are those of
// expressions.
func Compile(p *pb.Plan) (*Plan, fault.List) {
	settings, field := p.GetJwt(), "jwt"
	if p.GetSecurity() == pb.Plan_OAUTH2 {
		settings, field = p.GetOauth2(), "oauth2"
	}
	plan := &Plan{
		settings: field,
		id:       p.GetId(), security: p.GetSecurity(),
		subscription: p.GetSecurity() != pb.Plan_KEYLESS && (p.RequireSubscription == nil || p.GetRequireSubscription()),
		issuers:      slices.Clone(settings.GetIssuers()),
		audiences:    slices.Clone(settings.GetAudiences()),
		scopes:       settings.GetScopes(),
	}
	var faults fault.List
	var err error
	if p.GetSelectionRule() != "" {
		if plan.selection, err = expr.RequestRule(p.GetSelectionRule()); err != nil {
			faults = append(faults, fault.Fault{Field: "selection_rule", Code: fault.Invalid, Message: err.Error()})
		}
	}
	for i, r := range settings.GetClaimRules() {
		rule, err := compileClaimRule(r)
		if err != nil {
			at := field + ".claim_rules[" + strconv.Itoa(i) + "].expression"
			faults = append(faults, fault.Fault{Field: at, Code: fault.Invalid, Message: err.Error()})
		}
		plan.claims = append(plan.claims, rule)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	asked := strings.Join(slices.Concat(plan.scopes.GetAll(), plan.scopes.GetAny()), " ")
	plan.noScope = denial.InsufficientScope.WithScope(asked)
	return plan, nil
}

// ID is the plan's id.
func (p *Plan) ID() string { return p.id }

// Security is the kind of credential the plan asks for.
func (p *Plan) Security() pb.Plan_Security { return p.security }

// NeedsSubscription reports whether only subscribed applications may call.
func (p *Plan) NeedsSubscription() bool { return p.subscription }

// Selected reports whether the plan is for this request: its selection_rule holds.
func (p *Plan) Selected(r expr.Request) bool {
	if p.selection == nil {
		return true
	}
	holds, err := p.selection.Holds(expr.Input{Request: r})
	return err == nil && holds
}

// Conditional reports whether the plan has a selection rule.
func (p *Plan) Conditional() bool { return p.selection != nil }

// Trusts reports whether the plan takes tokens of this issuer (its id).
func (p *Plan) Trusts(issuer string) bool { return slices.Contains(p.issuers, issuer) }

// Allow decides whether the claims of a verified token satisfy the plan's
// audiences, scopes and claim rules, in this order. Its error is
// denial.InvalidToken, InsufficientScope (with the plan's scopes in the
// challenge) or ClaimRuleFailed. The answer depends on nothing but the claims.
func (p *Plan) Allow(claims *token.Claims) error {
	_, err := p.check(claims)
	return err
}

// Fault names the field of the plan that Allow's error comes from; empty if there is none.
func (p *Plan) Fault(claims *token.Claims) string {
	rule, err := p.check(claims)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, denial.InvalidToken):
		return p.settings + ".audiences"
	case errors.Is(err, denial.InsufficientScope):
		return p.settings + ".scopes"
	default:
		return p.ruleName(rule)
	}
}

// Asks lists the fields that Allow looks at; empty: none.
func (p *Plan) Asks() string {
	var fields []string
	if len(p.audiences) > 0 {
		fields = append(fields, p.settings+".audiences")
	}
	if len(p.scopes.GetAll())+len(p.scopes.GetAny()) > 0 {
		fields = append(fields, p.settings+".scopes")
	}
	for i := range p.claims {
		fields = append(fields, p.ruleName(i))
	}
	return strings.Join(fields, ", ")
}

// ruleName is "jwt.claim_rules[0] (level)"; a rule on all claims names none.
func (p *Plan) ruleName(i int) string {
	name := p.settings + ".claim_rules[" + strconv.Itoa(i) + "]"
	if claim := p.claims[i].claim; claim != "" {
		name += " (" + claim + ")"
	}
	return name
}

// check returns what is wrong and, if it is a claim rule, which.
func (p *Plan) check(claims *token.Claims) (rule int, err error) {
	if len(p.audiences) > 0 && !intersect(audience(claims), p.audiences) {
		return -1, denial.InvalidToken.Because(cause.PlanAudience)
	}
	if !p.scopesMet(claims) {
		return -1, p.noScope
	}
	for i := range p.claims {
		if !p.claims[i].holds(claims) {
			return i, denial.ClaimRuleFailed
		}
	}
	return -1, nil
}

// audience reads aud, which may have been checked for its type before or not.
func audience(claims *token.Claims) []string {
	if one, ok := claims.Text("aud"); ok {
		return []string{one}
	}
	all, _ := claims.Strings("aud")
	return all
}

func (p *Plan) scopesMet(claims *token.Claims) bool {
	all, one := p.scopes.GetAll(), p.scopes.GetAny()
	if len(all) == 0 && len(one) == 0 {
		return true
	}
	claim := "scope"
	if !claims.Has(claim) {
		claim = "scp"
	}
	has, _ := claims.Strings(claim)
	for _, s := range all {
		if !slices.Contains(has, s) {
			return false
		}
	}
	return len(one) == 0 || intersect(has, one)
}

func intersect(has, oneOf []string) bool {
	return slices.ContainsFunc(oneOf, func(s string) bool { return slices.Contains(has, s) })
}

// Entitled decides whether an application has a live subscription to a plan at
// now, in seconds since 1970. Its error is denial.SubscriptionNotFound or
// SubscriptionInactive. It does not allocate.
func Entitled(s *catalog.State, application, plan catalog.Handle, now int64) error {
	if application == 0 {
		return denial.SubscriptionNotFound.Because(cause.ApplicationUnknown)
	}
	if plan == 0 {
		return denial.SubscriptionNotFound.Because(cause.SubscriptionMissing)
	}
	grant, ok := s.Grant(application, plan)
	return Granted(grant, ok, now)
}

// Granted is Entitled where the grant is known; ok: there is one.
func Granted(grant catalog.Grant, ok bool, now int64) error {
	switch {
	case !ok:
		return denial.SubscriptionNotFound.Because(cause.SubscriptionMissing)
	case !grant.Active(now):
		return denial.SubscriptionInactive.Because(inactivity(grant, now))
	default:
		return nil
	}
}

// inactivity is why a grant does not entitle at now.
func inactivity(grant catalog.Grant, now int64) cause.Cause {
	switch grant.Status {
	case pb.Subscription_PENDING, pb.Subscription_STATUS_UNSPECIFIED:
		return cause.SubscriptionPending
	case pb.Subscription_PAUSED:
		return cause.SubscriptionPaused
	case pb.Subscription_ACCEPTED, pb.Subscription_REJECTED, pb.Subscription_CLOSED: // the latter two grant nothing to begin with
	}
	if now < grant.StartsAt {
		return cause.SubscriptionNotBegun
	}
	return cause.SubscriptionEnded
}
