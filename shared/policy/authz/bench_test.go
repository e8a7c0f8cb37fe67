package authz_test

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/policy/authz"
)

// BenchmarkAllow is what the rules of a plan cost, once for each token and plan.
func BenchmarkAllow(b *testing.B) {
	c := claims(b, `{"iss":"https://acme.test","aud":["https://a.test","https://orders.test"],"sub":"alice","azp":"mobile-app",`+
		`"scope":"orders.read orders.write","tenant":"acme","level":3,"org":{"name":"Acme"}}`)
	for _, t := range []struct {
		name, jwt string
		want      error
	}{
		{"nothing", ``, nil},
		{"audience", `"audiences":["https://orders.test"]`, nil},
		{"scopes", `"scopes":{"all":["orders.read"],"any":["orders.write","orders.admin"]}`, nil},
		{"claim", `"claim_rules":[{"claim":"tenant","mandatory":true,"equals":"acme"}]`, nil},
		{"expression", `"claim_rules":[{"claim":"level","expression":"claims.level >= 2"}]`, nil},
		{"refused/audience", `"audiences":["https://x.test"]`, denial.InvalidToken},
		{"refused/scope", `"scopes":{"all":["orders.admin"]}`, denial.InsufficientScope},
		{"refused/claim", `"claim_rules":[{"claim":"tenant","equals":"other"}]`, denial.ClaimRuleFailed},
	} {
		p := plan(b, `{"id":"p","security":"JWT","jwt":{"issuers":["acme"]`+comma(t.jwt)+`}}`)
		b.Run(t.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Allow(c); !errors.Is(err, t.want) {
					b.Fatal(err)
				}
			}
		})
	}
}

func comma(text string) string {
	if text == "" {
		return ""
	}
	return "," + text
}

func BenchmarkSelected(b *testing.B) {
	p := plan(b, `{"id":"p","security":"JWT","selection_rule":"request.headers['x-channel'] == 'mobile'","jwt":{"issuers":["acme"]}}`)
	r := fields{"x-channel": "mobile"}
	b.ReportAllocs()
	for b.Loop() {
		if !p.Selected(r) {
			b.Fatal("not selected")
		}
	}
}

// BenchmarkClaimed reads a token's own list of subscriptions.
func BenchmarkClaimed(b *testing.B) {
	c := claims(b, `{"subscribedAPIs":[{"name":"Other","context":"/other/1.0.0","version":"1.0.0"},`+
		`{"name":"Orders","context":"/orders/1.0.0","version":"1.0.0","publisher":"admin","subscriptionTier":"Gold"}]}`)
	orders := authz.Target{Name: "Orders", Version: "1.0.0", Context: "/orders"}
	b.ReportAllocs()
	for b.Loop() {
		if err := authz.Claimed(c, "subscribedAPIs", orders); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEntitled is a request's look at the subscriptions: the client's
// application, and its subscription to the plan. Each request asks for another.
func BenchmarkEntitled(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("subscriptions=%d", n), func(b *testing.B) {
			s, clients := subscriptions(b, n), make([]string, min(n/10, 10_000))
			for i := range clients {
				clients[i] = fmt.Sprintf("client-%06d", i*(n/10/len(clients)))
			}
			plan, i := s.Handle(pb.Kind_KIND_PLAN, "plan-0"), 0
			b.ReportAllocs()
			for b.Loop() {
				client, _ := s.Client("acme", clients[i])
				if err := authz.Entitled(s, client.Handle, plan, 1_900_000_000); err != nil {
					b.Fatal(err)
				}
				if i++; i == len(clients) {
					i = 0
				}
			}
		})
	}
}

// subscriptions are n of them: ten for each application, to ten plans.
func subscriptions(b *testing.B, n int) *catalog.State {
	b.Helper()
	builder := catalog.NewBuilder(catalog.Position{Epoch: 1, EpochID: "bench", Sequence: 1}, nil)
	add := func(kind pb.Kind, id string, m proto.Message) {
		body, err := proto.Marshal(m)
		if err != nil {
			b.Fatal(err)
		}
		raw, err := proto.Marshal(&pb.Change{Kind: kind, Id: id, Version: 1, Resource: body, CreatedAt: 1})
		if err != nil {
			b.Fatal(err)
		}
		builder.Add(string(raw))
	}
	for i := range 10 {
		add(pb.Kind_KIND_PLAN, fmt.Sprint("plan-", i), &pb.Plan{Api: "orders", Security: pb.Plan_JWT, Status: pb.Plan_PUBLISHED})
	}
	for i := range n / 10 {
		app := fmt.Sprintf("app-%06d", i)
		add(pb.Kind_KIND_APPLICATION, app, &pb.Application{
			Name: app, Clients: []*pb.Client{{Issuer: "acme", ClientId: fmt.Sprintf("client-%06d", i)}},
		})
		for j := range 10 {
			add(pb.Kind_KIND_SUBSCRIPTION, fmt.Sprintf("sub-%06d-%d", i, j), &pb.Subscription{
				Application: app, Plan: fmt.Sprint("plan-", j), Status: pb.Subscription_ACCEPTED,
			})
		}
	}
	return builder.State()
}
