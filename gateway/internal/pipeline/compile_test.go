package pipeline_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/proxy"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

func deployment(urls ...string) *pb.Deployment {
	api := &pb.Api{ContextPath: "/orders", Hosts: []string{"API.acme.test", "*.Acme.test"}, Upstream: &pb.Upstream{}}
	for _, u := range urls {
		api.Upstream.Targets = append(api.Upstream.Targets, &pb.Target{Url: u})
	}
	return &pb.Deployment{Id: "orders", Api: api}
}

func TestCompileNamesEveryFault(t *testing.T) {
	bad := func(id string, p *pb.Plan) *pb.Plan {
		p.Id, p.Api, p.Status = id, "orders", pb.Plan_PUBLISHED
		return p
	}
	closed := bad("p5", &pb.Plan{SelectionRule: "("})
	closed.Status = pb.Plan_CLOSED
	api, err := pipeline.Compile(pipeline.CompileInput{
		Deployment: deployment("ftp://x"), State: catalog.Empty(), Upstreams: proxy.NewPool().Prepare,
		Plans: []*pb.Plan{
			bad("p1", &pb.Plan{Security: pb.Plan_KEYLESS, SelectionRule: "request."}),
			bad("p2", &pb.Plan{Security: pb.Plan_JWT, Jwt: &pb.JwtSettings{TokenFrom: "1"}}),
			bad("p3", &pb.Plan{Security: pb.Plan_API_KEY, Restrictions: &pb.Restrictions{Quota: &pb.Limit{}}}),
			bad("p4", &pb.Plan{Security: pb.Plan_JWT, Jwt: &pb.JwtSettings{ClaimRules: []*pb.ClaimRule{{Claim: "a", Expression: "("}}}}),
			closed,
		},
	})
	if api != nil || err == nil {
		t.Fatalf("got %v, %v", api, err)
	}
	for _, want := range []string{
		"api/orders: upstream.targets[0]: ", "plan/p1: selection_rule: ", "plan/p2: jwt.token_from: ",
		"plan/p3: restrictions.quota: ", "plan/p4: jwt.claim_rules[0].expression: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "p5") {
		t.Errorf("a closed plan is looked at: %v", err)
	}
}

func TestEntries(t *testing.T) {
	d := deployment("http://127.0.0.1:9")
	api := &pipeline.Api{ID: "orders"}
	var got []string
	for _, e := range pipeline.Entries(d, api) {
		got = append(got, e.Name+" "+e.Host+" "+e.Path)
		if e.Target != api {
			t.Error("another target")
		}
	}
	if want := []string{"api/orders api.acme.test /orders", "api/orders *.acme.test /orders"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	d.Api.Hosts = nil
	if e := pipeline.Entries(d, api); len(e) != 1 || e[0].Host != "" {
		t.Errorf("got %+v", e)
	}
}

func TestHosts(t *testing.T) {
	w := newWorld(t, common, orders, strings.Replace(strings.Replace(api, "id: orders", "id: hosted", 1), "context_path", "hosts: [Api.Test]\ncontext_path", 1))
	w.expect("the host's own Api, which has no plan", get("/orders"), deny(denial.MissingCredentials))
	r := get("/orders", bearer())
	r.Host = []byte("other.test")
	w.expect("every host's Api", r, allow("orders-jwt", "mobile"))
}
