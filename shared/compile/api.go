package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/header"
	"github.com/portcullis-gateway/portcullis/shared/policy/authz"
)

// maxSources bounds the sources of one Api: they are the bits of a word.
const maxSources = 64

// Input is what an Api is compiled from.
type Input struct {
	Deployment *pb.Deployment
	// Plans are those of the Api, in any status.
	Plans []*pb.Plan
	// Issuer finds an issuer by its id; nil: there is none.
	Issuer func(id string) *pb.Issuer
}

// Api is a deployment with its plans, ready to decide about requests. Immutable.
type Api struct {
	ID     string
	Format pb.Api_ErrorFormat
	// Stopped: its requests are answered 404. The fields after HostPaths are empty.
	Stopped bool
	// HostPaths are the hosts (lower case) and context paths that it serves.
	HostPaths []catalog.HostPath

	Upstream *Upstream
	// Plans are those that serve, in the order in which they are asked.
	Plans []*Plan
	// Sources are where the plans find credentials. What a request has elsewhere is
	// none of theirs: it goes on to the upstream.
	Sources []Source
	// Certificates: a plan takes client certificates.
	Certificates bool
	// Introspects: a plan asks its issuer about tokens.
	Introspects bool
	// Missing answers a request without credential.
	Missing *denial.Denial
	// Strip are the headers that only the gateway sets; StripProof has that of DPoP
	// proofs, too, if a plan takes any.
	Strip, StripProof *header.Names
	// Metadata describes it to clients (RFC 9728); nil: nothing does.
	Metadata *Metadata
}

// NewApi compiles an Api. The faults name the resource and the field. The Api is
// never nil: with faults it has its ID, Format and HostPaths, so that it keeps them.
// What is stopped need not be sound.
func NewApi(in Input) (*Api, fault.List) {
	definition := in.Deployment.GetApi()
	a := &Api{
		ID: in.Deployment.GetId(), Format: definition.GetErrorFormat(), Stopped: in.Deployment.GetStopped(),
		HostPaths: hostPaths(definition),
	}
	if a.Stopped {
		return a, nil
	}
	c := checker{id: a.ID}
	if number, ok := unknownField(in.Deployment.ProtoReflect()); ok {
		c.hint("", "upgrade this process", "has a field of number %d as deployed, which this version does not know", number)
	}
	if c.message(definition) {
		a.Upstream = c.api(definition)
	}
	c.name("Api", a.ID)
	serving := a.serving(in.Plans)
	for _, p := range serving {
		c.add(a.add(in, p)...)
	}
	if len(c.faults) > 0 {
		return &Api{ID: a.ID, Format: a.Format, HostPaths: a.HostPaths}, c.faults
	}
	a.combine(serving)
	if definition.GetProtectedResource() != nil {
		a.Metadata = newMetadata(definition, serving, in.Issuer)
	}
	return a, nil
}

// name adds the resource to the faults that do not have one.
func (c *checker) name(kind, id string) {
	for i := range c.faults {
		if c.faults[i].Kind == "" {
			c.faults[i].Kind, c.faults[i].ID = kind, id
		}
	}
}

// hostPaths are what an Api serves, each once. What no route can have is left out.
func hostPaths(definition *pb.Api) []catalog.HostPath {
	var all []catalog.HostPath
	for _, at := range catalog.HostPaths(definition) {
		if canonicalPath(at.Path) && !reservedPath(at.Path) && (at.Host == "" || hostName(at.Host)) && !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return all
}

// serving are the plans that decide about requests, in the order in which they are asked.
func (a *Api) serving(plans []*pb.Plan) []*pb.Plan {
	serving := slices.DeleteFunc(slices.Clone(plans), func(p *pb.Plan) bool {
		return p.GetApi() != a.ID || p.GetStatus() != pb.Plan_PUBLISHED && p.GetStatus() != pb.Plan_DEPRECATED
	})
	slices.SortFunc(serving, func(a, b *pb.Plan) int {
		return cmp.Or(cmp.Compare(a.GetSecurity(), b.GetSecurity()), cmp.Compare(a.GetOrder(), b.GetOrder()), cmp.Compare(a.GetId(), b.GetId()))
	})
	return serving
}

// add compiles a plan and makes it one of the Api's.
func (a *Api) add(in Input, p *pb.Plan) fault.List {
	plan, faults := NewPlan(p, in.Issuer)
	if len(faults) > 0 {
		return faults
	}
	definition := in.Deployment.GetApi()
	plan.Target = authz.Target{Name: definition.GetName(), Version: definition.GetVersion(), Context: definition.GetContextPath()}
	for _, s := range plan.sources {
		if !a.addSource(plan, s) {
			return fault.List{{
				Kind: "Plan", ID: p.GetId(), Code: fault.Invalid,
				Message: fmt.Sprintf("the plans of api %q find credentials in more than %d ways", a.ID, maxSources),
			}}
		}
	}
	a.Certificates = a.Certificates || p.GetSecurity() == pb.Plan_MTLS
	a.Introspects = a.Introspects || plan.Introspects != ""
	a.Plans = append(a.Plans, plan)
	return nil
}

// trusted checks that the issuers of a plan exist, and can be asked if they must be.
func (c *checker) trusted(p *pb.Plan, find func(id string) *pb.Issuer) {
	at := strings.ToLower(p.GetSecurity().String())
	for i, id := range tokenSettings(p).GetIssuers() {
		field := fmt.Sprintf("%s.issuers[%d]", at, i)
		switch issuer := find(id); {
		case issuer == nil:
			c.add(fault.Fault{Field: field, Code: fault.Dangling, Message: fmt.Sprintf("no issuer %q", id)})
		case p.GetSecurity() == pb.Plan_OAUTH2 && issuer.GetIntrospection() == nil:
			c.hint(field, "write introspection: {url: …} there", "issuer %q has no introspection", id)
		}
	}
}

// addSource gives a plan the bit of a source, which plans may share. It reports
// whether there was room.
func (a *Api) addSource(plan *Plan, s Source) bool {
	bit, ok := a.bit(s)
	plan.Source |= bit
	return ok
}

func (a *Api) bit(s Source) (bit uint64, ok bool) {
	for i := range a.Sources {
		if have := &a.Sources[i]; have.Kind == s.Kind && have.Text == s.Text && have.Location == s.Location {
			return 1 << i, true
		}
	}
	if len(a.Sources) == maxSources {
		return 0, false
	}
	a.Sources = append(a.Sources, s)
	return 1 << (len(a.Sources) - 1), true
}

// combine adds what all plans together make of the Api.
func (a *Api) combine(serving []*pb.Plan) {
	var names []string
	for _, p := range a.Plans {
		for _, h := range p.Headers {
			names = append(names, h.Header)
		}
		if p.Assertion != nil {
			names = append(names, p.Assertion.Header)
		}
	}
	a.Strip = header.NewNames(names...)
	a.StripProof = a.Strip
	a.Missing = missingCredentials(serving)
	takes, only := takesDPoP(serving)
	if !takes {
		return
	}
	a.StripProof = header.NewNames(append(names, "DPoP")...)
	a.Missing = a.Missing.WithDPoP(only)
	if fromHeader, _ := takesDPoP(readingHeader(serving)); fromHeader {
		for i := range a.Sources {
			if s := &a.Sources[i]; s.Kind == TokenCredential && s.From == nil {
				s.DPoP = true
			}
		}
	}
}

// readingHeader are the plans that take their tokens from Authorization.
func readingHeader(plans []*pb.Plan) []*pb.Plan {
	return slices.DeleteFunc(slices.Clone(plans), func(p *pb.Plan) bool { return tokenSettings(p).GetTokenFrom() != "" })
}

// takesDPoP reports whether a plan takes tokens that are bound to a key (RFC 9449),
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

// missingCredentials answers a request without a credential.
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
