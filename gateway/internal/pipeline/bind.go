package pipeline

import (
	"errors"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/policy/route"
)

// Node is what a node adds to compiled Apis.
type Node struct {
	// Upstreams prepares the upstreams.
	Upstreams exchange.Prepare
	// Signer signs for upstreams; nil: this node has no key to sign with.
	Signer *assertion.Signer
}

// Bind makes a compiled Api one of this node. state gives the plans' handles, which
// are good for it and for all states that grow from it; after a resync, bind again.
// The error says what the node lacks.
func (n Node) Bind(compiled *compile.Api, state *catalog.State) (*Api, error) {
	api := &Api{ID: compiled.ID, Format: compiled.Format, def: compiled}
	if compiled.Stopped {
		return api, nil
	}
	api.Upstream = n.Upstreams(compiled.Upstream)
	for _, p := range compiled.Plans {
		plan := &Plan{Plan: p, handle: state.Handle(pb.Kind_KIND_PLAN, p.ID), roots: newRoots(p.Roots)}
		if p.Assertion != nil {
			if n.Signer == nil {
				return nil, errors.New("plan/" + p.ID + ": signed_jwt: this node has no key to sign with (hint: set --signing-key)")
			}
			plan.assertion = n.Signer.Plan(p.Assertion)
		}
		api.plans = append(api.plans, plan)
	}
	if m := compiled.Metadata; m != nil {
		api.ResourceMetadata = m.URL
		api.described = &Api{
			ID: api.ID, Format: api.Format, def: &compile.Api{}, page: &Page{ContentType: "application/json", Body: m.Body},
		}
	}
	return api, nil
}

// Unavailable makes an Api that answers every request with denial.NotInForce: its
// definition cannot be put in force here, and no other Api may serve its requests.
func Unavailable(compiled *compile.Api) *Api {
	return &Api{ID: compiled.ID, Format: compiled.Format, def: compiled, unavailable: true}
}

// AsUnavailable returns an Api that answers for a like Unavailable.
func (a *Api) AsUnavailable() *Api { return Unavailable(a.def) }

// Entries are the places in the routes at which the Api and its metadata are served.
func (a *Api) Entries() []route.Entry[Api] {
	var entries []route.Entry[Api]
	for _, at := range a.def.HostPaths {
		entries = append(entries, route.Entry[Api]{Name: "api/" + a.ID, Host: at.Host, Path: at.Path, Target: a})
		if a.described != nil {
			entries = append(entries, route.Entry[Api]{
				Name: "metadata of api/" + a.ID, Host: at.Host, Path: a.def.Metadata.Path, Target: a.described,
			})
		}
	}
	return entries
}
