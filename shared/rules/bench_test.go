package rules_test

import (
	"fmt"
	"testing"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// fleet is a state of a thousand subscriptions, ten for each application, to 100 plans.
func fleet(b *testing.B) *catalog.State {
	b.Helper()
	var changes []*pb.Change
	add := func(r catalog.Resource) {
		content, err := catalog.Encode(r)
		if err != nil {
			b.Fatal(err)
		}
		changes = append(changes, &pb.Change{Kind: catalog.KindOf(r), Id: r.GetId(), Version: 1, Resource: content})
	}
	for i := range 100 {
		plan, app := fmt.Sprintf("plan-%03d", i), fmt.Sprintf("app-%06d", i)
		add(&pb.Plan{Id: plan, Api: "orders", Status: pb.Plan_PUBLISHED})
		add(&pb.Application{Id: app, Clients: []*pb.Client{{Issuer: "acme", ClientId: "client-" + app}}})
		for j := range 10 {
			add(&pb.Subscription{
				Id: fmt.Sprintf("sub-%06d-%d", i, j), Application: app, Plan: fmt.Sprintf("plan-%03d", (i+7*j)%100),
				Status: pb.Subscription_ACCEPTED,
			})
		}
	}
	s, err := catalog.Empty().WithChanges(changes)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkDraft decides a command.
func BenchmarkDraft(b *testing.B) {
	s, r := fleet(b), "sub-000007-3"
	for _, c := range []struct {
		name string
		do   func(*rules.Draft)
	}{
		{"pause", func(d *rules.Draft) {
			d.Step(catalog.Ref{Kind: pb.Kind_KIND_SUBSCRIPTION, ID: r}, "pause", 0)
		}},
		{"remove", func(d *rules.Draft) {
			d.Remove(catalog.Ref{Kind: pb.Kind_KIND_SUBSCRIPTION, ID: r}, false)
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d := rules.NewDraft(s, now())
				c.do(d)
				if _, err := d.Finish(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
