package rules_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// TestAcceptedCompiles: what no node could put in force is refused.
func TestAcceptedCompiles(t *testing.T) {
	base := applied(t, catalog.Empty(), world)
	for name, c := range map[string]struct{ yaml, want string }{
		"hosts that differ in case": {
			"kind: Api\nid: orders\ncontext_path: /orders\nhosts: [Example.test, example.test]\nupstream: {targets: [{url: \"http://127.0.0.1:1\"}]}\n",
			`api/orders: hosts[1]: "example.test" is written twice: hosts[0] is "Example.test"`,
		},
		"a mapping of iss": {
			"kind: Issuer\nid: acme\nissuer: https://idp.acme.test\nkeys: {jwks_urls: [\"https://idp.acme.test/jwks\"]}\nclaim_mappings: [{remote: iss, local: x}]\n",
			"issuer/acme: claim_mappings[0]: iss cannot be mapped",
		},
		"a private key that is none": {
			"kind: Issuer\nid: acme\nissuer: https://idp.acme.test\nkeys: {jwks_urls: [\"https://idp.acme.test/jwks\"]}\n" +
				"introspection: {url: \"https://idp.acme.test/i\", client_id: gw, private_key: {value: junk}}\n",
			"issuer/acme: introspection.private_key: it is not PEM",
		},
	} {
		d := rules.NewDraft(base, now())
		for _, r := range resources(t, c.yaml) {
			d.Apply(r)
		}
		if _, err := d.Finish(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A mask stands for a secret that is there; the rest of the issuer is checked all the same.
func TestFaultBesideAMaskedSecret(t *testing.T) {
	const issuer = "kind: Issuer\nid: shared\nissuer: https://shared.test\nkeys: {hmac_secrets: [{value: 0123456789abcdef0123456789abcdef}]}\n"
	base := applied(t, catalog.Empty(), issuer)
	edited := strings.Replace(issuer, "0123456789abcdef0123456789abcdef}]", "'********'}], pem: [spoiled]", 1)
	d := rules.NewDraft(base, now())
	for _, r := range resources(t, edited) {
		d.Apply(r)
	}
	if _, err := d.Finish(); err == nil || !strings.HasPrefix(err.Error(), "issuer/shared: keys.pem[0]: ") {
		t.Errorf("got %v", err)
	}
}

// What was accepted before there was a rule against it can still be stopped,
// closed and removed, and what does not concern it can be changed.
func TestOldFaultsDoNotStandInTheWay(t *testing.T) {
	base := applied(t, catalog.Empty(), world)
	dep, _ := catalog.Lookup[*pb.Deployment](base, pb.Kind_KIND_DEPLOYMENT, "orders")
	dep.Api.Hosts = []string{"Example.test", "example.test"}
	base = with(t, base, pb.Kind_KIND_DEPLOYMENT, dep)
	for name, do := range map[string]func(*rules.Draft){
		"stop":       func(d *rules.Draft) { d.Step(ref("api/orders"), "stop", 0) },
		"close":      func(d *rules.Draft) { d.Step(ref("plan/gold"), "close", 0) },
		"remove":     func(d *rules.Draft) { d.Remove(ref("api/orders"), true) },
		"a new name": func(d *rules.Draft) { d.Apply(&pb.Application{Id: "mobile", Name: "New"}) },
		"a better one": func(d *rules.Draft) {
			for _, r := range resources(t, strings.Split(world, "---\n")[1]) {
				d.Apply(r)
			}
			d.DeployTouched()
		},
	} {
		d := rules.NewDraft(base, now())
		do(d)
		if _, err := d.Finish(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := rules.NewDraft(base, now())
	d.Apply(&pb.Plan{Id: "gold", Api: "orders", Security: pb.Plan_JWT, SelectionRule: "(", Jwt: &pb.JwtSettings{Issuers: []string{"acme"}}})
	if _, err := d.Finish(); err == nil {
		t.Error("another fault is accepted behind the first")
	}
}

// with puts a resource into a state as it is.
func with(t *testing.T, s *catalog.State, kind pb.Kind, r catalog.Resource) *catalog.State {
	t.Helper()
	id := r.GetId()
	catalog.Identify(r, "", nil)
	encoded, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	s, err = s.WithChanges([]*pb.Change{{Kind: kind, Id: id, Version: 99, Resource: encoded}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
