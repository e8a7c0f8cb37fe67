package feed

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

// folded takes resources as they are, whatever the control plane would say of
// them. An Api is in force at once.
func folded(t *testing.T, s *catalog.State, version uint64, yaml string) *catalog.State {
	t.Helper()
	docs, err := resource.DecodeYAML("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	var changes []*pb.Change
	for _, doc := range docs {
		kind, id, r := catalog.KindOf(doc.Resource), doc.Resource.GetId(), doc.Resource
		if api, ok := r.(*pb.Api); ok {
			kind, r = pb.Kind_KIND_DEPLOYMENT, &pb.Deployment{Revision: 1, Api: api}
		}
		r.ProtoReflect().Clear(r.ProtoReflect().Descriptor().Fields().ByName("id"))
		changes = append(changes, &pb.Change{Kind: kind, Id: id, Version: version, Resource: wireBytes(t, r)})
	}
	s, err = s.WithChanges(changes)
	if err != nil || len(s.Rejects()) > 0 {
		t.Fatal(err, s.Rejects())
	}
	return s
}

func wireBytes(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const describedWorld = `
kind: Issuer
id: acme
issuer: https://idp.acme.test
keys: {hmac_secrets: [{value: 0123456789abcdef0123456789abcdef}]}
---
kind: Api
id: orders
context_path: /orders
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
protected_resource: {resource: "https://api.test/orders"}
---
kind: Plan
id: gold
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme]}
`

const metadataPath = "/.well-known/oauth-protected-resource/orders"

// The metadata tells of issuers, so it is made again when one of them changes.
func TestMetadataFollowsTheIssuers(t *testing.T) {
	c := &Compiler{Upstreams: fast.NewPool().Prepare}
	s := folded(t, catalog.Empty(), 1, describedWorld)
	view, faults := c.Compile(s, nil, nil)
	before, _, ok := view.Routes.Match([]byte("a"), []byte(metadataPath))
	if !ok || len(faults) > 0 {
		t.Fatal("no metadata:", faults)
	}
	s = folded(t, s, 2, strings.Replace(strings.Split(describedWorld, "---")[0], "idp.acme", "new.acme", 1))
	view, _ = c.Compile(s, []Touch{{Ref: catalog.Ref{Kind: pb.Kind_KIND_ISSUER, ID: "acme"}}}, nil)
	if after, _, ok := view.Routes.Match([]byte("a"), []byte(metadataPath)); !ok || after == before {
		t.Error("the metadata was not made anew")
	}
}

// An Api cannot be where another one's metadata is.
func TestMetadataKeepsItsPlace(t *testing.T) {
	c := &Compiler{Upstreams: fast.NewPool().Prepare}
	s := folded(t, catalog.Empty(), 1, describedWorld+`
---
kind: Api
id: squatter
context_path: `+metadataPath+`
upstream: {targets: [{url: "http://127.0.0.1:9"}]}
`)
	view, faults := c.Compile(s, nil, nil)
	if len(faults) != 1 || faults[0].Ref.ID != "squatter" || !strings.Contains(faults[0].Reason, "is where gateways answer themselves") {
		t.Errorf("faults: %v", faults)
	}
	for path, id := range map[string]string{metadataPath: "orders", "/orders": "orders"} {
		if api, _, ok := view.Routes.Match([]byte("a"), []byte(path)); !ok || api.ID != id {
			t.Errorf("%s leads elsewhere", path)
		}
	}
}
