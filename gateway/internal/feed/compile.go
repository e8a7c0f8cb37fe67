package feed

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/policy/route"
)

// Compiler turns states into views. It keeps what it compiled, so that a change
// costs the compilation of what it touches only.
//
// A definition that cannot be put in force leaves nothing of an older one behind: an
// issuer is not trusted, and an Api answers denial.NotInForce where it stands in the
// routes. Nothing else is affected. The control plane compiles before it accepts, so
// the cause is something only this node knows: a variable or file that is missing
// here, or a version that is too old for the definition.
//
// Not safe for concurrent use.
type Compiler struct {
	// Upstreams prepares the upstreams.
	Upstreams exchange.Prepare
	// Secrets reads what issuers name but do not hold.
	Secrets keyset.Secrets
	// Signer signs for upstreams; nil: Apis with signed_jwt cannot be put in force.
	Signer *assertion.Signer

	issuers map[string]*authn.Issuer
	apis    map[string]compiledApi
	planAPI map[string]string // plan → its Api
	faults  map[catalog.Ref][]Fault
	keyring *authn.Keyring
	routes  *route.Table[pipeline.Api]
	// conflicts are places that several Apis take.
	conflicts []Fault
	// notes are those of each issuer in force, told those of the last Compile.
	notes map[string][]string
	told  []Fault
}

type compiledApi struct {
	*pipeline.Api

	entries []route.Entry[pipeline.Api]
	issuers []string // that its serving plans trust
}

// Touch is a resource that a change has touched, at a sequence of the log.
type Touch struct {
	catalog.Ref

	Sequence uint64
}

// Fault says that a resource is not in force on this node, and why.
type Fault struct {
	Ref catalog.Ref
	// Sequence is that of the change since when; 0: it came with a snapshot or a file.
	Sequence uint64
	Reason   string
}

// Notes are what the last Compile found worth knowing of issuers that are in force, such as
// keys that cannot be used. What was said of an issuer's former definition is not repeated.
func (c *Compiler) Notes() []Fault { return c.told }

// Faults are all resources that are not in force, the newest first.
func (c *Compiler) Faults() []Fault {
	all := slices.Clone(c.conflicts)
	for _, faults := range c.faults {
		all = append(all, faults...)
	}
	sortFaults(all)
	return all
}

func sortFaults(faults []Fault) {
	slices.SortFunc(faults, func(a, b Fault) int {
		if a.Sequence != b.Sequence {
			if a.Sequence > b.Sequence {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Ref.String(), b.Ref.String())
	})
}

// Compile makes the view of a state. touched are the resources in which it differs
// from the state compiled before; nil: everything may. fetched are key sets that the
// node fetched itself; they stand in for the state's. The faults are the new ones.
// The view is nil if there is no complete table of routes.
func (c *Compiler) Compile(s *catalog.State, touched []Touch, fetched map[string]*pb.KeySet) (*pipeline.View, []Fault) {
	c.told = nil
	if touched != nil && c.routes != nil && !touchesDefinitions(touched) {
		return pipeline.NewView(s, c.routes, c.keyring), nil
	}
	run := compilation{Compiler: c, state: s, fetched: fetched, before: maps.Clone(c.faults), issuersAt: map[string]uint64{}, apisAt: map[string]uint64{}}
	run.collect(touched)
	for id, sequence := range run.issuersAt {
		run.issuer(id, sequence)
	}
	for id, sequence := range run.apisAt {
		run.api(id, sequence)
	}
	if c.keyring == nil || len(run.issuersAt) > 0 {
		c.keyring = authn.NewKeyring(slices.Collect(maps.Values(c.issuers)))
	}
	if c.routes == nil || len(run.apisAt) > 0 {
		c.routes = run.route()
	}
	if c.routes == nil {
		return nil, run.fresh
	}
	return pipeline.NewView(s, c.routes, c.keyring), run.fresh
}

// touchesDefinitions reports whether something is to be compiled: what is of other
// kinds is read from the state at each request.
func touchesDefinitions(touched []Touch) bool {
	return slices.ContainsFunc(touched, func(t Touch) bool {
		switch t.Kind {
		case pb.Kind_KIND_ISSUER, pb.Kind_KIND_KEY_SET, pb.Kind_KIND_DEPLOYMENT, pb.Kind_KIND_PLAN:
			return true
		default:
			return false
		}
	})
}

// compilation is one run of Compile.
type compilation struct {
	*Compiler

	state    *catalog.State
	fetched  map[string]*pb.KeySet
	rejected map[catalog.Ref]catalog.Reject // what this version does not understand
	before   map[catalog.Ref][]Fault
	fresh    []Fault

	// What is to be compiled, and the sequence that asks for it.
	issuersAt, apisAt map[string]uint64
}

// collect finds what must be compiled.
func (c *compilation) collect(touched []Touch) {
	c.rejected = map[catalog.Ref]catalog.Reject{}
	for _, r := range c.state.Rejects() {
		c.rejected[r.Ref] = r
	}
	if touched == nil {
		c.everything()
		return
	}
	for _, t := range touched {
		switch t.Kind {
		case pb.Kind_KIND_ISSUER:
			c.issuersAt[t.ID] = t.Sequence
		case pb.Kind_KIND_KEY_SET:
			c.issuersAt[t.ID] = t.Sequence
		case pb.Kind_KIND_DEPLOYMENT:
			c.apisAt[t.ID] = t.Sequence
		case pb.Kind_KIND_PLAN:
			c.markPlan(t)
		default: // the others are read from the state at each request
		}
	}
}

// markPlan marks the Api of a plan: that which it had, and that which it has.
func (c *compilation) markPlan(t Touch) {
	if before, ok := c.planAPI[t.ID]; ok {
		c.apisAt[before] = t.Sequence
	}
	if p, ok := catalog.Lookup[*pb.Plan](c.state, t.Kind, t.ID); ok {
		c.planAPI[t.ID] = p.GetApi()
		c.apisAt[p.GetApi()] = t.Sequence
	} else if _, rejected := c.rejected[t.Ref]; !rejected {
		delete(c.planAPI, t.ID)
	}
}

// markTrusting marks the Apis whose plans take tokens of an issuer.
func (c *compilation) markTrusting(issuer string, sequence uint64) {
	for id, a := range c.apis {
		if slices.Contains(a.issuers, issuer) {
			c.apisAt[id] = sequence
		}
	}
}

// everything marks what is there and what was compiled before.
func (c *compilation) everything() {
	if c.issuers == nil {
		c.issuers, c.apis, c.notes = map[string]*authn.Issuer{}, map[string]compiledApi{}, map[string][]string{}
	}
	c.Compiler.faults, c.planAPI = map[catalog.Ref][]Fault{}, map[string]string{}
	for id := range c.issuers {
		c.issuersAt[id] = 0
	}
	for id := range c.apis {
		c.apisAt[id] = 0
	}
	for r := range c.state.All(pb.Kind_KIND_ISSUER) {
		c.issuersAt[r.Ref().ID] = 0
	}
	for r := range c.state.All(pb.Kind_KIND_DEPLOYMENT) {
		c.apisAt[r.Ref().ID] = 0
	}
	for r := range c.state.All(pb.Kind_KIND_PLAN) {
		if p, ok := catalog.Lookup[*pb.Plan](c.state, pb.Kind_KIND_PLAN, r.Ref().ID); ok {
			c.planAPI[p.GetId()] = p.GetApi()
		}
	}
}

// issuer compiles an issuer. If what Apis depend on changes (that it is there and in
// force, its iss, its introspection), the Apis that trust it are compiled, too.
func (c *compilation) issuer(id string, sequence uint64) {
	ref := catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: id}
	had := c.issuers[id]
	defer func() {
		if !had.SameForApis(c.issuers[id]) {
			c.markTrusting(id, sequence)
		}
	}()
	c.fault(ref, nil)
	m, ok := catalog.Lookup[*pb.Issuer](c.state, ref.Kind, id)
	if !ok {
		delete(c.issuers, id)
		delete(c.notes, id)
		return
	}
	keys := c.fetched[id]
	if keys == nil {
		keys, _ = catalog.Lookup[*pb.KeySet](c.state, pb.Kind_KIND_KEY_SET, id)
	}
	compiled, faults := compile.NewIssuer(m, keys, c.Secrets)
	reasons := c.rejections(ref, catalog.Ref{Kind: pb.Kind_KIND_KEY_SET, ID: id})
	for _, f := range faults {
		reasons = append(reasons, f.Error())
	}
	if len(reasons) > 0 {
		delete(c.issuers, id)
		c.fault(ref, []Fault{{ref, sequence, strings.Join(reasons, "; ")}})
		return
	}
	c.note(ref, sequence, compiled.Keys.Notes())
	if next := authn.NewIssuer(compiled); c.issuers[id] == nil || !c.issuers[id].Renew(next) {
		// Were they the same keys fetched again, what was validated with them would stay remembered.
		c.issuers[id] = next
	}
}

// note tells what is said of an issuer's keys, but for what was said of them before.
func (c *compilation) note(ref catalog.Ref, sequence uint64, notes []string) {
	for _, text := range notes {
		if !slices.Contains(c.notes[ref.ID], text) {
			c.told = append(c.told, Fault{ref, sequence, text})
		}
	}
	c.notes[ref.ID] = notes
}

// rejections are the reasons why this version does not understand resources.
func (c *compilation) rejections(refs ...catalog.Ref) []string {
	var reasons []string
	for _, ref := range refs {
		if r, ok := c.rejected[ref]; ok {
			reasons = append(reasons, fmt.Sprintf("%s: %s (hint: upgrade this node)", ref, r.Reason))
		}
	}
	return reasons
}

// api compiles an Api with its plans.
func (c *compilation) api(id string, sequence uint64) {
	ref := catalog.Ref{Kind: pb.Kind_KIND_API, ID: id}
	c.fault(ref, nil)
	deployment, ok := catalog.Lookup[*pb.Deployment](c.state, pb.Kind_KIND_DEPLOYMENT, id)
	if !ok {
		delete(c.apis, id)
		return
	}
	compiled, found := compile.NewApi(compile.Input{Deployment: deployment, Plans: c.plans(id), Issuer: c.definition})
	faults := located(found, sequence)
	reasons := c.rejections(c.parts(id)...)
	issuers := trusted(c.plans(id))
	for _, issuer := range issuers {
		for _, f := range c.Compiler.faults[catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: issuer}] {
			reasons = append(reasons, fmt.Sprintf("issuer/%s: %s", issuer, f.Reason))
		}
	}
	for _, f := range found {
		reasons = append(reasons, f.Error())
	}
	var api *pipeline.Api
	if len(reasons) == 0 || compiled.Stopped {
		var err error
		if api, err = (pipeline.Node{Upstreams: c.Upstreams, Signer: c.Signer}).Bind(compiled, c.state); err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	if api == nil {
		api = pipeline.Unavailable(compiled)
		faults = append(faults, Fault{ref, sequence, strings.Join(reasons, "; ")})
		c.fault(ref, faults)
	}
	c.apis[id] = compiledApi{Api: api, entries: api.Entries(), issuers: issuers}
}

// located are the faults of an Api's plans, each under its own name.
func located(found fault.List, sequence uint64) []Fault {
	var faults []Fault
	for _, f := range found {
		if kind := catalog.KindByName(f.Kind); kind == pb.Kind_KIND_PLAN {
			ref := catalog.Ref{Kind: kind, ID: f.ID}
			f.Kind, f.ID = "", ""
			faults = append(faults, Fault{ref, sequence, f.Error()})
		}
	}
	return faults
}

func (c *compilation) plans(api string) []*pb.Plan {
	var plans []*pb.Plan
	for _, id := range c.state.PlansOf(api) {
		if p, ok := catalog.Lookup[*pb.Plan](c.state, pb.Kind_KIND_PLAN, id); ok {
			plans = append(plans, p)
		}
	}
	return plans
}

// parts are what an Api is made of, with plans of which this version knows no more
// than the name.
func (c *compilation) parts(api string) []catalog.Ref {
	parts := []catalog.Ref{{Kind: pb.Kind_KIND_DEPLOYMENT, ID: api}}
	if len(c.rejected) == 0 {
		return parts
	}
	for plan, of := range c.planAPI {
		if of == api {
			parts = append(parts, catalog.Ref{Kind: pb.Kind_KIND_PLAN, ID: plan})
		}
	}
	return parts
}

func (c *compilation) definition(issuer string) *pb.Issuer {
	m, _ := catalog.Lookup[*pb.Issuer](c.state, pb.Kind_KIND_ISSUER, issuer)
	return m
}

// trusted are the issuers that serving plans name.
func trusted(plans []*pb.Plan) []string {
	var issuers []string
	for _, p := range plans {
		if p.GetStatus() == pb.Plan_PUBLISHED || p.GetStatus() == pb.Plan_DEPRECATED {
			issuers = append(append(issuers, p.GetJwt().GetIssuers()...), p.GetOauth2().GetIssuers()...)
		}
	}
	slices.Sort(issuers)
	return slices.Compact(issuers)
}

// fault replaces the faults that stand under a resource; none: it is in force.
func (c *compilation) fault(ref catalog.Ref, faults []Fault) {
	if len(faults) == 0 {
		delete(c.Compiler.faults, ref)
		return
	}
	c.Compiler.faults[ref] = faults
	for _, f := range faults {
		known := slices.ContainsFunc(c.before[ref], func(b Fault) bool { return b.Ref == f.Ref && b.Reason == f.Reason })
		if !known {
			c.fresh = append(c.fresh, f)
		}
	}
}

// route makes the table of all Apis; nil: there is none. That two Apis take one
// place cannot come out of the control plane; should it all the same, none is served there.
func (c *compilation) route() *route.Table[pipeline.Api] {
	entries := make([]route.Entry[pipeline.Api], 0, len(c.apis))
	at := make(map[catalog.HostPath]int, len(c.apis))
	c.conflicts = nil
	for _, id := range slices.Sorted(maps.Keys(c.apis)) {
		for _, e := range c.apis[id].entries {
			place := catalog.HostPath{Host: e.Host, Path: e.Path}
			first, taken := at[place]
			if !taken {
				at[place] = len(entries)
				entries = append(entries, e)
				continue
			}
			c.conflict(entries[first].Target.ID, id, place)
			entries[first].Target = entries[first].Target.AsUnavailable()
		}
	}
	table, err := route.New(entries)
	if err != nil {
		c.conflicts = append(c.conflicts, Fault{Ref: catalog.Ref{Kind: pb.Kind_KIND_API, ID: "*"}, Reason: err.Error()})
		return nil
	}
	return table
}

func (c *compilation) conflict(first, second string, at catalog.HostPath) {
	for _, of := range [][2]string{{first, second}, {second, first}} {
		f := Fault{
			Ref:    catalog.Ref{Kind: pb.Kind_KIND_API, ID: of[0]},
			Reason: fmt.Sprintf("api/%s serves %s on the same host %q, too", of[1], at.Path, at.Host),
		}
		c.conflicts, c.fresh = append(c.conflicts, f), append(c.fresh, f)
	}
}
