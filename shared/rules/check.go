package rules

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

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
	var apis, issuers []string
	marked := map[string]bool{}
	mark := func(api string) {
		if !marked[api] {
			marked[api], apis = true, append(apis, api)
		}
	}
	for _, ref := range d.order {
		switch r := d.puts[ref].(type) {
		case *pb.Issuer:
			d.compileIssuer(ref, r)
			issuers = append(issuers, ref.ID)
		case *pb.Api, *pb.Deployment:
			mark(ref.ID)
		case *pb.Plan:
			d.compilePlan(r)
			mark(r.GetApi())
		}
	}
	d.markTrusting(issuers, mark)
	for _, api := range apis {
		d.compileApi(api)
	}
}

// compileIssuer compiles an issuer with the keys that were fetched for it.
func (d *Draft) compileIssuer(ref catalog.Ref, m *pb.Issuer) {
	keys, _ := get[*pb.KeySet](d, pb.Kind_KIND_KEY_SET, ref.ID)
	compiled, faults := compile.NewIssuer(m, keys, keyset.Secrets{})
	for _, f := range faults {
		d.fault(ref, f)
	}
	if len(faults) == 0 {
		for _, note := range compiled.Keys.Notes() {
			d.note(ref, note)
		}
	}
}

// compilePlan compiles a plan that does not serve yet; the others are compiled with
// their Api.
func (d *Draft) compilePlan(p *pb.Plan) {
	if p.GetStatus() == pb.Plan_CLOSED || Serving(p.GetStatus()) {
		return
	}
	_, faults := compile.NewPlan(p, d.issuer)
	d.faults(faults, nil)
}

// markTrusting marks the Apis whose plans take tokens of one of the issuers.
func (d *Draft) markTrusting(issuers []string, mark func(api string)) {
	if len(issuers) == 0 {
		return
	}
	trusts := func(p *pb.Plan) bool {
		return slices.ContainsFunc(slices.Concat(p.GetJwt().GetIssuers(), p.GetOauth2().GetIssuers()), func(id string) bool { return slices.Contains(issuers, id) })
	}
	for r := range d.base.All(pb.Kind_KIND_PLAN) { // those that are proposed are marked already
		if p, ok := get[*pb.Plan](d, pb.Kind_KIND_PLAN, r.Ref().ID); ok && trusts(p) {
			mark(p.GetApi())
		}
	}
}

// compileApi compiles an Api as deployed and, where that is something else, as drafted.
func (d *Draft) compileApi(id string) {
	dep, deployed := get[*pb.Deployment](d, pb.Kind_KIND_DEPLOYMENT, id)
	if deployed {
		d.compileDefinition(dep)
	}
	api, drafted := get[*pb.Api](d, pb.Kind_KIND_API, id)
	if drafted && (dep.GetStopped() || !proto.Equal(dep.GetApi(), definition(api))) {
		d.compileDefinition(&pb.Deployment{Id: id, Api: api})
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
