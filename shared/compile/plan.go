package compile

import (
	"cmp"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/expr"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/header"
	"github.com/portcullis-gateway/portcullis/shared/policy/authz"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
)

// Plan is a plan, ready to decide about requests. Immutable.
type Plan struct {
	ID string
	// Rules say who may use the plan.
	Rules *authz.Plan
	// Target is how tokens that list subscriptions name the plan's Api.
	Target authz.Target
	// Limits are its restrictions; nil: none.
	Limits *restrict.Limits
	// Source is the bit of where its credential is found, in Api.Sources.
	Source uint64
	// Headers are the claims that go to the upstream.
	Headers []ClaimHeader
	// ForwardToken: the upstream gets the credential, too.
	ForwardToken bool
	// Introspects is the issuer that an OAUTH2 plan asks; empty: it is no such plan.
	Introspects string
	// MTLS and DPoP say which bindings of tokens it takes.
	MTLS, DPoP pb.Confirmation_Mode
	// Roots are the authorities of an MTLS plan; nil: any registered certificate will do.
	Roots *x509.CertPool
	// Assertion is the JWT that the gateway signs for the upstream; nil: none.
	Assertion *Assertion

	sources []Source
}

// ClaimHeader sends a claim to the upstream in a header.
type ClaimHeader struct{ Claim, Header string }

// Assertion says what the JWT holds that the gateway signs for the upstream.
type Assertion struct {
	Header           string
	Issuer, Audience string
	// API, Plan and PlanName say where the request goes.
	API, Plan, PlanName string
	// Claims are taken over from the token.
	Claims []string
	// Lifetime in seconds.
	Lifetime int64
}

// The defaults of Assertion.
const (
	defaultAssertionHeader   = "X-JWT-Assertion"
	defaultAssertionIssuer   = "portcullis"
	defaultAssertionLifetime = 5 * time.Minute
)

// NewPlan compiles a plan, whether it serves or not. find finds an issuer by its
// id; nil: there is none.
func NewPlan(m *pb.Plan, find func(id string) *pb.Issuer) (*Plan, fault.List) {
	plan, faults := newPlan(m)
	c := checker{id: m.GetId(), faults: faults}
	c.trusted(m, find)
	c.name("Plan", m.GetId())
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return plan, nil
}

// newPlan compiles a plan on its own. What concerns its Api, too, is added by NewApi.
func newPlan(m *pb.Plan) (*Plan, fault.List) {
	c := checker{id: m.GetId()}
	if !c.message(m) {
		return nil, c.faults
	}
	c.plan(m)
	rules, faults := authz.Compile(m)
	c.add(faults...)
	limits := c.limits(m)
	settings := tokenSettings(m)
	plan := &Plan{
		ID: m.GetId(), Rules: rules, Limits: limits,
		Headers:      claimHeaders(settings),
		ForwardToken: settings.GetForwardToken(),
		MTLS:         settings.GetConfirmation().GetMtls(),
		DPoP:         settings.GetConfirmation().GetDpop(),
		Roots:        roots(m.GetMtls().GetCaPem()),
		Assertion:    NewAssertion(m),
		sources:      c.sources(m),
	}
	if m.GetSecurity() == pb.Plan_OAUTH2 && len(m.GetOauth2().GetIssuers()) > 0 {
		plan.Introspects = m.GetOauth2().GetIssuers()[0]
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return plan, nil
}

// limits compiles the restrictions of a plan.
func (c *checker) limits(m *pb.Plan) *restrict.Limits {
	before := len(c.faults)
	if c.restrictions(m.GetRestrictions()); len(c.faults) > before {
		return nil
	}
	limits, faults := restrict.Compile(m.GetId(), m.GetRestrictions())
	c.add(faults...)
	return limits
}

// tokenSettings are the rules for tokens of a plan; nil: it takes none.
func tokenSettings(p *pb.Plan) *pb.JwtSettings {
	switch p.GetSecurity() {
	case pb.Plan_JWT:
		return cmp.Or(p.GetJwt(), &pb.JwtSettings{})
	case pb.Plan_OAUTH2:
		return cmp.Or(p.GetOauth2(), &pb.JwtSettings{})
	default:
		return nil
	}
}

func claimHeaders(settings *pb.JwtSettings) []ClaimHeader {
	var headers []ClaimHeader
	for _, h := range settings.GetClaimsToHeaders() {
		headers = append(headers, ClaimHeader{h.GetClaim(), h.GetHeader()})
	}
	if b := settings.GetBackendJwt(); b != nil {
		headers = append(headers, ClaimHeader{b.GetClaim(), b.GetHeader()})
	}
	return headers
}

// NewAssertion compiles the signed_jwt of a sound plan; nil: it has none.
func NewAssertion(m *pb.Plan) *Assertion {
	settings := tokenSettings(m).GetSignedJwt()
	if settings == nil {
		return nil
	}
	a := &Assertion{
		Header:   cmp.Or(settings.GetHeader(), defaultAssertionHeader),
		Issuer:   cmp.Or(settings.GetIssuer(), defaultAssertionIssuer),
		Audience: cmp.Or(settings.GetAudience(), m.GetApi()),
		API:      m.GetApi(), Plan: m.GetId(), PlanName: m.GetName(),
		Lifetime: int64(defaultAssertionLifetime / time.Second),
	}
	if d := settings.GetLifetime(); d != nil {
		a.Lifetime = max(1, int64(d.AsDuration()/time.Second))
	}
	for _, name := range settings.GetClaims() {
		if !ReservedClaim(name) && !slices.Contains(a.Claims, name) {
			a.Claims = append(a.Claims, name)
		}
	}
	return a
}

// roots parses authorities; nil: there are none.
func roots(pem string) *x509.CertPool {
	if pem == "" {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(pem))
	return pool
}

// CredentialKind is what sort of credential a request brings.
type CredentialKind uint8

// The kinds of credentials besides client certificates.
const (
	NoCredential CredentialKind = iota
	TokenCredential
	KeyCredential
)

// Source is where an Api's plans find credentials.
type Source struct {
	Kind CredentialKind
	// From finds a token; nil: the bearer token of Authorization.
	From *expr.Value
	// Text is the expression that From was compiled from.
	Text string
	// Location is where a credential without From is.
	Location Location
	// DPoP: Authorization: DPoP brings tokens, too.
	DPoP bool
}

// sources lists where a plan takes its credentials from.
func (c *checker) sources(m *pb.Plan) []Source {
	switch m.GetSecurity() {
	case pb.Plan_JWT, pb.Plan_OAUTH2:
		s := Source{Kind: TokenCredential, Text: tokenSettings(m).GetTokenFrom()}
		if s.Text == "" {
			s.Location.Header = "Authorization"
			return []Source{s}
		}
		var err error
		if s.From, err = expr.RequestValue(s.Text); err != nil {
			c.bad(strings.ToLower(m.GetSecurity().String())+".token_from", "%v", err)
		}
		return []Source{s}
	case pb.Plan_API_KEY:
		name, query := m.GetApiKey().GetHeader(), m.GetApiKey().GetQuery()
		if name == "" && query == "" {
			name = "X-Api-Key"
		}
		var sources []Source
		if name != "" {
			sources = append(sources, Source{Kind: KeyCredential, Location: Location{Header: header.Canonical(name)}})
		}
		if query != "" {
			sources = append(sources, Source{Kind: KeyCredential, Location: Location{Query: query}})
		}
		return sources
	default:
		return nil
	}
}
