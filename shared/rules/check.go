package rules

import (
	"fmt"
	"slices"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// check is what concerns one resource alone.
func (d *Draft) check(ref catalog.Ref, r catalog.Resource) {
	for _, f := range compile.Check(r) {
		d.fault(ref, f)
	}
}

func (d *Draft) fault(ref catalog.Ref, f fault.Fault) {
	f.Kind, f.ID = catalog.KindName(ref.Kind), ref.ID
	d.problems = append(d.problems, f)
}

func (d *Draft) checkID(ref catalog.Ref) bool {
	if compile.ValidID(ref.ID) {
		return true
	}
	if ref.ID == "" {
		d.problem(ref, "id", fault.Invalid, "is required", fmt.Sprintf("1 to %d characters of a-z, 0-9, '.', '_' and '-'", compile.MaxID))
		return false
	}
	hint := ""
	if lower := strings.ToLower(ref.ID); lower != ref.ID && compile.ValidID(lower) {
		hint = fmt.Sprintf("write %q", lower)
	}
	d.problem(ref, "id", fault.Invalid, fmt.Sprintf("%.140q is not an id: 1 to %d characters of a-z, 0-9, '.', '_' and '-'", ref.ID, compile.MaxID), hint)
	return false
}

// compileTouched compiles what the proposals change as a node will, in the picture
// that they make together: issuers with the keys that were fetched for them, and
// Apis with their plans. What the base has wrong already, in a resource that is not
// proposed, is no reason to refuse: it could not be corrected in several changes.
func (d *Draft) compileTouched() {
	apis := map[string]bool{}
	for _, ref := range d.order {
		switch r := d.puts[ref].(type) {
		case *pb.Issuer:
			d.compileIssuer(ref, r)
			d.markTrusting(ref.ID, apis)
		case *pb.Api, *pb.Deployment:
			apis[ref.ID] = true
		case *pb.Plan:
			d.compilePlan(r)
			apis[r.GetApi()] = true
		}
	}
	for _, ref := range d.order { // in the order of the proposals, so that faults are
		if p, ok := d.puts[ref].(*pb.Plan); ok {
			d.compileApi(p.GetApi(), apis)
		}
		d.compileApi(ref.ID, apis)
	}
	for id := range apis {
		d.compileApi(id, apis)
	}
}

// compileIssuer compiles an issuer with the keys that were fetched for it.
func (d *Draft) compileIssuer(ref catalog.Ref, m *pb.Issuer) {
	keys, _ := get[*pb.KeySet](d, pb.Kind_KIND_KEY_SET, ref.ID)
	_, faults := compile.NewIssuer(m, keys, keyset.Secrets{})
	for _, f := range faults {
		d.fault(ref, f)
	}
}

// compilePlan compiles a plan that does not serve yet, too.
func (d *Draft) compilePlan(p *pb.Plan) {
	if p.GetStatus() == pb.Plan_CLOSED {
		return
	}
	_, faults := compile.NewPlan(p, d.issuer)
	d.faults(faults, nil)
}

// markTrusting marks the Apis whose plans take tokens of an issuer.
func (d *Draft) markTrusting(issuer string, apis map[string]bool) {
	mark := func(p *pb.Plan) {
		if slices.Contains(p.GetJwt().GetIssuers(), issuer) || slices.Contains(p.GetOauth2().GetIssuers(), issuer) {
			apis[p.GetApi()] = true
		}
	}
	for r := range d.base.All(pb.Kind_KIND_PLAN) {
		if p, ok := get[*pb.Plan](d, pb.Kind_KIND_PLAN, r.Ref().ID); ok {
			mark(p)
		}
	}
	for _, r := range d.puts {
		if p, ok := r.(*pb.Plan); ok {
			mark(p)
		}
	}
}

// compileApi compiles a marked Api, as drafted and as deployed, and unmarks it.
func (d *Draft) compileApi(id string, marked map[string]bool) {
	if !marked[id] {
		return
	}
	delete(marked, id)
	if api, ok := get[*pb.Api](d, pb.Kind_KIND_API, id); ok {
		d.compileDefinition(&pb.Deployment{Id: id, Api: api})
	}
	if dep, ok := get[*pb.Deployment](d, pb.Kind_KIND_DEPLOYMENT, id); ok {
		d.compileDefinition(dep)
	}
}

func (d *Draft) compileDefinition(dep *pb.Deployment) {
	input := compile.Input{Deployment: dep, Issuer: d.issuer}
	for _, id := range d.plansOf(dep.GetId()) {
		if p, ok := get[*pb.Plan](d, pb.Kind_KIND_PLAN, id); ok {
			input.Plans = append(input.Plans, p)
		}
	}
	_, faults := compile.NewApi(input)
	if len(faults) == 0 {
		return
	}
	d.faults(faults, d.faultsBefore(dep.GetId()))
}

// faults notes faults that name their resource, each once. Those known before are
// left out where the resource is not proposed.
func (d *Draft) faults(found, before fault.List) {
	for _, f := range found {
		ref := catalog.Ref{Kind: catalog.KindByName(f.Kind), ID: f.ID}
		known := d.puts[ref] == nil && slices.Contains(before, f)
		if !known && !slices.Contains(d.problems, f) {
			d.problems = append(d.problems, f)
		}
	}
}

// faultsBefore are those that an Api's deployment has in the base.
func (d *Draft) faultsBefore(id string) fault.List {
	dep, ok := catalog.Lookup[*pb.Deployment](d.base, pb.Kind_KIND_DEPLOYMENT, id)
	if !ok {
		return nil
	}
	input := compile.Input{Deployment: dep, Issuer: func(id string) *pb.Issuer {
		m, _ := catalog.Lookup[*pb.Issuer](d.base, pb.Kind_KIND_ISSUER, id)
		return m
	}}
	for _, plan := range d.base.PlansOf(id) {
		if p, ok := catalog.Lookup[*pb.Plan](d.base, pb.Kind_KIND_PLAN, plan); ok {
			input.Plans = append(input.Plans, p)
		}
	}
	_, faults := compile.NewApi(input)
	return faults
}

// issuer finds an issuer as the draft has it; nil: there is none.
func (d *Draft) issuer(id string) *pb.Issuer {
	m, _ := get[*pb.Issuer](d, pb.Kind_KIND_ISSUER, id)
	return m
}

// nearestHint names the nearest existing id, among few enough to look through.
func (d *Draft) nearestHint(ref catalog.Ref) string {
	if d.base.Len(ref.Kind) > compile.MaxList {
		return ""
	}
	var known []string
	for r := range d.base.All(ref.Kind) {
		known = append(known, strings.Clone(r.Ref().ID))
	}
	for p := range d.puts {
		if p.Kind == ref.Kind {
			known = append(known, p.ID)
		}
	}
	return fault.DidYouMean(ref.ID, known)
}
