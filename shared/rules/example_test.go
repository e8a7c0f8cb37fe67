package rules_test

import (
	"fmt"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// A Draft turns what somebody wants into changes, or into problems.
func ExampleDraft() {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	d := rules.NewDraft(catalog.Empty(), now)
	d.Apply(&pb.Application{Id: "mobile"})
	proposal, err := d.Finish()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range proposal.Changes {
		fmt.Println("change:", catalog.Ref{Kind: c.GetKind(), ID: c.GetId()}, "version", c.GetVersion())
	}

	// The next draft is decided against the state with these changes.
	state, err := catalog.Empty().WithChanges(proposal.Changes)
	if err != nil {
		fmt.Println(err)
		return
	}
	d = rules.NewDraft(state, now)
	d.Create(&pb.Subscription{Id: "s", Application: "mobil", Plan: "gold"})
	_, err = d.Finish()
	fmt.Println(err)

	// Output:
	// change: application/mobile version 1
	// subscription/s: application: no application "mobil" (hint: did you mean "mobile"?)
	// subscription/s: plan: no plan "gold"
}

// FromResources is for a node without a control plane: what is written is in force.
func ExampleFromResources() {
	state, err := rules.FromResources([]catalog.Resource{
		&pb.Api{Id: "echo", ContextPath: "/echo", Upstream: &pb.Upstream{Targets: []*pb.Target{{Url: "http://127.0.0.1:9000"}}}},
		&pb.Plan{Id: "open", Api: "echo", Security: pb.Plan_KEYLESS},
	}, nil, time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, _ := catalog.Lookup[*pb.Plan](state, pb.Kind_KIND_PLAN, "open")
	_, deployed := state.Get(pb.Kind_KIND_DEPLOYMENT, "echo")
	fmt.Println(plan.GetStatus(), deployed)
	// Output: PUBLISHED true
}
