package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/authz"
	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/restrict"
	"github.com/portcullis-gateway/portcullis/gateway/internal/route"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/expr"
	"github.com/portcullis-gateway/portcullis/shared/header"
)

// CompileInput is what an Api is compiled from.
type CompileInput struct {
	Deployment *pb.Deployment
	// Plans are those of the Api, in any status; the others are left out.
	Plans []*pb.Plan
	// State gives the plans' handles. They are good for it and for all states
	// that grow from it; after a resync, compile anew.
	State *catalog.State
	// Upstreams prepares the upstream.
	Upstreams exchange.Prepare
	// Signer signs for upstreams; nil: plans with signed_jwt cannot be compiled.
	Signer *assertion.Signer
}

// Compile makes an Api. The error names the resource and the field; several
// faults are joined. A stopped Api is compiled, too: it takes its place in the
// routes and answers 404.
func Compile(in CompileInput) (*Api, error) {
	definition := in.Deployment.GetApi()
	api := &Api{ID: in.Deployment.GetId(), Format: definition.GetErrorFormat(), stopped: in.Deployment.GetStopped()}
	if api.stopped {
		return api, nil
	}
	var faults []error
	var err error
	if api.Upstream, err = in.Upstreams(definition.GetUpstream()); err != nil {
		faults = append(faults, fmt.Errorf("api/%s: upstream.%w", api.ID, err))
	}
	serving := slices.DeleteFunc(slices.Clone(in.Plans), func(p *pb.Plan) bool {
		return p.GetApi() != api.ID || p.GetStatus() != pb.Plan_PUBLISHED && p.GetStatus() != pb.Plan_DEPRECATED
	})
	slices.SortFunc(serving, func(a, b *pb.Plan) int {
		return cmp.Or(cmp.Compare(a.GetSecurity(), b.GetSecurity()), cmp.Compare(a.GetOrder(), b.GetOrder()), cmp.Compare(a.GetId(), b.GetId()))
	})
	for _, p := range serving {
		plan, err := api.compilePlan(p)
		if err == nil {
			plan.assertion, err = compileAssertion(in, p)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("plan/%s: %w", p.GetId(), err))
			continue
		}
		plan.target = authz.Target{Name: definition.GetName(), Version: definition.GetVersion(), Context: definition.GetContextPath()}
		plan.handle = in.State.Handle(pb.Kind_KIND_PLAN, p.GetId())
		api.plans = append(api.plans, plan)
	}
	if definition.GetProtectedResource() != nil {
		page, at, err := describe(definition, serving, in.State)
		if err != nil {
			faults = append(faults, fmt.Errorf("api/%s: %w", api.ID, err))
		}
		api.ResourceMetadata, api.described = at, &Api{ID: api.ID, Format: api.Format, page: page}
	}
	if faults != nil {
		return nil, errors.Join(faults...)
	}
	api.dress(serving)
	return api, nil
}

// dress adds what all plans together make of the Api.
func (a *Api) dress(serving []*pb.Plan) {
	names := headerNames(serving)
	a.strip = header.NewNames(names...)
	a.stripProof = a.strip
	a.missing = missingCredentials(serving)
	takes, only := takesDPoP(serving)
	if !takes {
		return
	}
	a.stripProof = header.NewNames(append(names, "DPoP")...)
	a.missing = a.missing.WithDPoP(only)
	for i := range a.sources {
		if s := &a.sources[i]; s.kind == tokenCredential && s.from == nil {
			s.dpop = true
		}
	}
}

// takesDPoP tells whether a plan takes tokens that are bound to a key (RFC 9449),
// and whether none takes others.
func takesDPoP(plans []*pb.Plan) (takes, only bool) {
	only = true
	for _, p := range plans {
		if p.GetSecurity() == pb.Plan_JWT || p.GetSecurity() == pb.Plan_OAUTH2 {
			mode := tokenSettings(p).GetConfirmation().GetDpop()
			takes = takes || mode != pb.Confirmation_OFF
			only = only && mode == pb.Confirmation_REQUIRED
		}
	}
	return takes, takes && only
}

// Entries are the places that a deployment takes in the routes.
func Entries(d *pb.Deployment, api *Api) []route.Entry[Api] {
	hosts := d.GetApi().GetHosts()
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	entries := make([]route.Entry[Api], len(hosts))
	for i, host := range hosts {
		entries[i] = route.Entry[Api]{Name: "api/" + d.GetId(), Host: string(appendLower(nil, host)), Path: d.GetApi().GetContextPath(), Target: api}
	}
	return entries
}

func appendLower(dst []byte, text string) []byte {
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func (a *Api) compilePlan(p *pb.Plan) (*Plan, error) {
	rules, err := authz.Compile(p)
	if err != nil {
		return nil, err
	}
	limits, err := restrict.Compile(p.GetId(), p.GetRestrictions())
	if err != nil {
		return nil, fmt.Errorf("restrictions.%w", err)
	}
	plan := &Plan{
		ID: p.GetId(), rules: rules, limits: limits,
		headers:      claimHeaders(tokenSettings(p)),
		forwardToken: tokenSettings(p).GetForwardToken(),
		mtls:         tokenSettings(p).GetConfirmation().GetMtls(),
		dpop:         tokenSettings(p).GetConfirmation().GetDpop(),
	}
	if plan.roots, err = newRoots(p.GetMtls().GetCaPem()); err != nil {
		return nil, err
	}
	if p.GetSecurity() == pb.Plan_OAUTH2 {
		if len(p.GetOauth2().GetIssuers()) != 1 {
			return nil, errors.New("oauth2.issuers: there must be exactly one")
		}
		plan.introspects = p.GetOauth2().GetIssuers()[0]
		a.introspects = true
	}
	sources, err := sourcesOf(p)
	if err != nil {
		return nil, err
	}
	a.cert = a.cert || p.GetSecurity() == pb.Plan_MTLS
	for _, s := range sources {
		bit, err := a.addSource(s)
		if err != nil {
			return nil, err
		}
		plan.source |= bit
	}
	a.used |= plan.source
	return plan, nil
}

// sourcesOf says where a plan takes its credentials from.
func sourcesOf(p *pb.Plan) ([]source, error) {
	switch p.GetSecurity() {
	case pb.Plan_JWT, pb.Plan_OAUTH2:
		s := source{kind: tokenCredential, text: tokenSettings(p).GetTokenFrom()}
		if s.text == "" {
			s.place.Header = "Authorization"
			return []source{s}, nil
		}
		from, err := expr.RequestValue(s.text)
		if err != nil {
			return nil, fmt.Errorf("%s.token_from: %w", strings.ToLower(p.GetSecurity().String()), err)
		}
		s.from = from
		return []source{s}, nil
	case pb.Plan_API_KEY:
		name, query := p.GetApiKey().GetHeader(), p.GetApiKey().GetQuery()
		if name == "" && query == "" {
			name = "X-Api-Key"
		}
		var sources []source
		if name != "" {
			sources = append(sources, source{kind: keyCredential, place: compile.Location{Header: header.Canonical(name)}})
		}
		if query != "" {
			sources = append(sources, source{kind: keyCredential, place: compile.Location{Query: query}})
		}
		return sources, nil
	default:
		return nil, nil
	}
}

// addSource returns the bit of a source, which plans may share. An Api that
// takes tokens from elsewhere also looks for a bearer token, as a second one.
func (a *Api) addSource(s source) (bit uint64, err error) {
	if s.from != nil {
		bearer := source{kind: tokenCredential, place: compile.Location{Header: "Authorization"}}
		if _, err := a.addSource(bearer); err != nil {
			return 0, err
		}
	}
	for i := range a.sources {
		if have := &a.sources[i]; have.kind == s.kind && have.text == s.text && have.place == s.place {
			return 1 << i, nil
		}
	}
	if len(a.sources) == maxSources {
		return 0, fmt.Errorf("the plans of api/%s take credentials from more than %d places", a.ID, maxSources)
	}
	a.sources = append(a.sources, s)
	return 1 << (len(a.sources) - 1), nil
}

// headerNames are the headers that the plans set from tokens, which no client
// may send, whichever plan serves it.
func headerNames(plans []*pb.Plan) []string {
	var names []string
	for _, p := range plans {
		for _, h := range claimHeaders(tokenSettings(p)) {
			names = append(names, h.header)
		}
		if signed := tokenSettings(p).GetSignedJwt(); signed != nil {
			names = append(names, cmp.Or(signed.GetHeader(), assertion.DefaultHeader))
		}
	}
	return names
}

// missingCredentials is what a request without a credential is told.
func missingCredentials(plans []*pb.Plan) *denial.Denial {
	key, other := false, false
	for _, p := range plans {
		switch p.GetSecurity() {
		case pb.Plan_API_KEY:
			key = true
		case pb.Plan_KEYLESS:
		default:
			other = true
		}
	}
	switch {
	case key && other:
		return denial.MissingAnyCredentials
	case key:
		return denial.MissingAPIKey
	default:
		return denial.MissingCredentials
	}
}
