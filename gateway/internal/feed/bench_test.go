package feed

import (
	"fmt"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// BenchmarkCompile makes the view of a state that differs from the last one in a
// subscription, a plan, an issuer or everything.
func BenchmarkCompile(b *testing.B) {
	const apis = 1000
	resources := []catalog.Resource{&pb.Issuer{
		Id: "acme", Issuer: "https://acme.test",
		Keys: &pb.Keys{HmacSecrets: []*pb.HmacSecret{{Source: &pb.HmacSecret_Value{Value: "a secret of thirty-two bytes or more"}}}},
	}}
	for i := range apis {
		api := fmt.Sprint("api-", i)
		resources = append(resources,
			&pb.Api{Id: api, Name: api, ContextPath: "/" + api, Upstream: &pb.Upstream{Targets: []*pb.Target{{Url: "http://10.0.0.7:8080"}}}},
			&pb.Plan{Id: fmt.Sprint("plan-", i), Api: api, Security: pb.Plan_JWT, Jwt: &pb.JwtSettings{Issuers: []string{"acme"}}})
	}
	state, err := rules.FromResources(resources, nil, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		touched []Touch
	}{
		{"a subscription", []Touch{{Ref: catalog.Ref{Kind: pb.Kind_KIND_SUBSCRIPTION, ID: "s"}}}},
		{"an issuer", []Touch{{Ref: catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: "acme"}}}},
		{"a plan of 1000", []Touch{{Ref: catalog.Ref{Kind: pb.Kind_KIND_PLAN, ID: "plan-7"}}}},
		{"everything", nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			pool := fast.NewPool()
			defer pool.Close()
			compiler := &Compiler{Upstreams: pool.Prepare}
			compile := func(touched []Touch) {
				if view, faults := compiler.Compile(state, touched, nil); view == nil || len(faults) > 0 {
					b.Fatal(faults)
				}
			}
			compile(nil)
			b.ReportAllocs()
			for b.Loop() {
				compile(c.touched)
			}
		})
	}
}
