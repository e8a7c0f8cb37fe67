package live

import (
	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/route"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// Compiler turns states into views. It keeps what it compiled, so that a change
// costs the compilation of what it touches only, and so that a resource which
// cannot be compiled keeps its last good form. Not safe for concurrent use.
type Compiler struct {
	// Upstreams prepares the upstreams.
	Upstreams exchange.Prepare
	// Secrets reads what issuers name but do not hold.
	Secrets keyset.Secrets
	// Signer signs for upstreams; nil: plans with signed_jwt are faults.
	Signer *assertion.Signer

	issuers map[string]*authn.Issuer
	apis    map[string]compiled
	planAPI map[string]string              // plan → its Api
	good    map[catalog.Ref]catalog.Record // deployments and plans as they were last compiled
	keyring *authn.Keyring
	routes  *route.Table[pipeline.Api]
}

type compiled struct {
	entries []route.Entry[pipeline.Api]
	// metadata are the places of its metadata, which tells of issuers.
	metadata []route.Entry[pipeline.Api]
}

// Fault is a resource that could not be compiled.
type Fault struct {
	Ref catalog.Ref
	Err error
}

// Compile makes the view of a state. touched are the resources in which it
// differs from the state compiled before; nil: everything may. fetched are key
// sets that the node fetched itself; they stand in for the state's.
func (c *Compiler) Compile(s *catalog.State, touched []catalog.Ref, fetched map[string]*pb.KeySet) (*pipeline.View, []Fault) {
	issuers, apis := c.affected(s, touched)
	var faults []Fault
	for id := range issuers {
		faults = append(faults, c.issuer(s, id, fetched[id])...)
	}
	for id := range apis {
		faults = append(faults, c.api(s, id)...)
	}
	if c.keyring == nil || len(issuers) > 0 {
		all := make([]*authn.Issuer, 0, len(c.issuers))
		for _, i := range c.issuers {
			all = append(all, i)
		}
		c.keyring = authn.NewKeyring(all)
	}
	if c.routes == nil || len(apis) > 0 {
		faults = append(faults, c.route()...)
	}
	return pipeline.NewView(s, c.routes, c.keyring), faults
}

// affected are the ids of what must be compiled anew.
func (c *Compiler) affected(s *catalog.State, touched []catalog.Ref) (issuers, apis map[string]bool) {
	issuers, apis = map[string]bool{}, map[string]bool{}
	if touched == nil {
		return issuers, c.everything(s, issuers, apis)
	}
	for _, ref := range touched {
		switch ref.Kind {
		case pb.Kind_KIND_ISSUER:
			issuers[ref.ID] = true
			c.markDescribed(apis)
		case pb.Kind_KIND_KEY_SET:
			issuers[ref.ID] = true
		case pb.Kind_KIND_DEPLOYMENT:
			apis[ref.ID] = true
		case pb.Kind_KIND_PLAN:
			if before, ok := c.planAPI[ref.ID]; ok {
				apis[before] = true // it may have been removed there and made here
			}
			delete(c.planAPI, ref.ID)
			if p, ok := catalog.Lookup[*pb.Plan](s, ref.Kind, ref.ID); ok {
				c.planAPI[ref.ID] = p.GetApi()
				apis[p.GetApi()] = true
			}
		default: // the others are read from the state at each request
		}
	}
	return issuers, apis
}

// markDescribed marks the Apis with metadata.
func (c *Compiler) markDescribed(apis map[string]bool) {
	for id, a := range c.apis {
		if len(a.metadata) > 0 {
			apis[id] = true
		}
	}
}

// everything marks what is there and what was compiled before. Last good forms
// survive, but for what the state no longer has.
func (c *Compiler) everything(s *catalog.State, issuers, apis map[string]bool) map[string]bool {
	if c.issuers == nil {
		c.issuers, c.apis, c.good = map[string]*authn.Issuer{}, map[string]compiled{}, map[catalog.Ref]catalog.Record{}
	}
	c.planAPI = map[string]string{}
	for r := range s.All(pb.Kind_KIND_ISSUER) {
		issuers[r.Ref().ID] = true
	}
	for id := range c.issuers {
		issuers[id] = true
	}
	for r := range s.All(pb.Kind_KIND_DEPLOYMENT) {
		apis[r.Ref().ID] = true
	}
	for id := range c.apis {
		apis[id] = true
	}
	for r := range s.All(pb.Kind_KIND_PLAN) {
		if p, ok := catalog.Lookup[*pb.Plan](s, pb.Kind_KIND_PLAN, r.Ref().ID); ok {
			c.planAPI[p.GetId()] = p.GetApi()
		}
	}
	return apis
}

func (c *Compiler) issuer(s *catalog.State, id string, fetched *pb.KeySet) []Fault {
	issuer, ok := catalog.Lookup[*pb.Issuer](s, pb.Kind_KIND_ISSUER, id)
	if !ok {
		delete(c.issuers, id)
		return nil
	}
	keys := fetched
	if keys == nil {
		keys, _ = catalog.Lookup[*pb.KeySet](s, pb.Kind_KIND_KEY_SET, id)
	}
	built, err := authn.NewIssuer(issuer, keys, c.Secrets)
	if err != nil {
		return []Fault{{catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: id}, err}}
	}
	// The same keys fetched again: what was validated with them stays remembered.
	if had := c.issuers[id]; had == nil || !had.Renew(built) {
		c.issuers[id] = built
	}
	return nil
}

func (c *Compiler) api(s *catalog.State, id string) []Fault {
	deployment, ok := catalog.Lookup[*pb.Deployment](s, pb.Kind_KIND_DEPLOYMENT, id)
	if !ok {
		delete(c.apis, id)
		delete(c.good, catalog.Ref{Kind: pb.Kind_KIND_DEPLOYMENT, ID: id})
		return nil
	}
	var plans []*pb.Plan
	for _, plan := range s.PlansOf(id) {
		if p, ok := catalog.Lookup[*pb.Plan](s, pb.Kind_KIND_PLAN, plan); ok {
			plans = append(plans, p)
		}
	}
	faults := c.compile(s, deployment, plans)
	if faults == nil {
		return nil
	}
	// One part that cannot be compiled keeps its last good form; what the others
	// say, and its own lifecycle, is in force all the same.
	deployment, plans = c.lastGood(s, deployment, plans)
	if deployment == nil || c.compile(s, deployment, plans) != nil {
		delete(c.apis, id)
	}
	return faults
}

// compile puts an Api in force, or says what is wrong with it.
func (c *Compiler) compile(s *catalog.State, deployment *pb.Deployment, plans []*pb.Plan) []Fault {
	api, err := pipeline.Compile(pipeline.CompileInput{
		Deployment: deployment, Plans: plans, State: s, Upstreams: c.Upstreams, Signer: c.Signer,
	})
	id := deployment.GetId()
	if err != nil {
		return []Fault{{catalog.Ref{Kind: pb.Kind_KIND_DEPLOYMENT, ID: id}, err}}
	}
	c.apis[id] = compiled{pipeline.Entries(deployment, api), pipeline.MetadataEntries(deployment, api)}
	c.remember(s, deployment, plans)
	return nil
}

// remember notes what compiled, but for what is itself a last good form.
func (c *Compiler) remember(s *catalog.State, deployment *pb.Deployment, plans []*pb.Plan) {
	refs := []catalog.Ref{{Kind: pb.Kind_KIND_DEPLOYMENT, ID: deployment.GetId()}}
	versions := []uint64{deployment.GetMeta().GetVersion()}
	for _, p := range plans {
		refs = append(refs, catalog.Ref{Kind: pb.Kind_KIND_PLAN, ID: p.GetId()})
		versions = append(versions, p.GetMeta().GetVersion())
	}
	for i, ref := range refs {
		if r, ok := s.Get(ref.Kind, ref.ID); ok && r.Version() == versions[i] {
			c.good[ref] = r
		}
	}
}

// lastGood replaces what cannot be compiled by what could be. Whether a plan
// serves, and whether the Api is stopped, stays as the state says. A part that
// never compiled is left out; without a deployment there is no Api.
func (c *Compiler) lastGood(s *catalog.State, deployment *pb.Deployment, plans []*pb.Plan) (*pb.Deployment, []*pb.Plan) {
	compiles := func(d *pb.Deployment, plans ...*pb.Plan) bool {
		_, err := pipeline.Compile(pipeline.CompileInput{Deployment: d, Plans: plans, State: s, Upstreams: c.Upstreams, Signer: c.Signer})
		return err == nil
	}
	if !compiles(deployment) {
		stopped := deployment.GetStopped()
		if deployment = recalled[*pb.Deployment](c, pb.Kind_KIND_DEPLOYMENT, deployment.GetId()); deployment == nil {
			return nil, nil
		}
		deployment.Stopped = stopped
	}
	var usable []*pb.Plan
	for _, p := range plans {
		status := p.GetStatus()
		if !compiles(deployment, p) {
			if p = recalled[*pb.Plan](c, pb.Kind_KIND_PLAN, p.GetId()); p == nil {
				continue
			}
			p.Status = status
		}
		usable = append(usable, p)
	}
	return deployment, usable
}

// recalled is a resource as it was last compiled.
func recalled[T catalog.Resource](c *Compiler, kind pb.Kind, id string) T {
	var none T
	r, ok := c.good[catalog.Ref{Kind: kind, ID: id}]
	if !ok {
		return none
	}
	m, err := r.Decode()
	if err != nil {
		return none
	}
	t, ok := m.(T)
	if !ok {
		return none
	}
	return t
}

// route makes the table. Two Apis on one place cannot come out of the control
// plane; should they, the table stays as it was. Metadata makes room for an Api.
func (c *Compiler) route() []Fault {
	type place struct{ host, path string }
	var entries []route.Entry[pipeline.Api]
	taken := map[place]string{}
	for _, a := range c.apis {
		entries = append(entries, a.entries...)
		for _, e := range a.entries {
			taken[place{e.Host, e.Path}] = e.Name
		}
	}
	var faults []Fault
	for id, a := range c.apis {
		for _, e := range a.metadata {
			at := place{e.Host, e.Path}
			if other, ok := taken[at]; ok {
				faults = append(faults, Fault{catalog.Ref{Kind: pb.Kind_KIND_DEPLOYMENT, ID: id}, &route.ConflictError{Host: e.Host, Path: e.Path, First: other, Second: e.Name}})
				continue
			}
			taken[at] = e.Name
			entries = append(entries, e)
		}
	}
	table, err := route.New(entries)
	if err != nil {
		return append(faults, Fault{catalog.Ref{Kind: pb.Kind_KIND_DEPLOYMENT, ID: "*"}, err})
	}
	c.routes = table
	return faults
}
