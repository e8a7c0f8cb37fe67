package resource_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

func contract(t *testing.T) []resource.Document {
	t.Helper()
	data, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := resource.DecodeYAML("contract.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestContractIsAccepted(t *testing.T) {
	docs := contract(t)
	var got []string
	for _, d := range docs {
		got = append(got, catalog.KindName(catalog.KindOf(d.Resource))+" "+d.Resource.GetId())
	}
	want := []string{
		"Issuer acme", "Issuer partner", "Api orders", "Plan orders-jwt", "Plan orders-key",
		"Application mobile", "Subscription mobile-orders", "Revocation lost-phone",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	api, ok := docs[2].Resource.(*pb.Api)
	if !ok {
		t.Fatalf("got %T", docs[2].Resource)
	}
	if docs[2].Line == 0 || api.GetUpstream().GetMaxRequestBody().GetBytes() != 10<<20 ||
		api.GetUpstream().GetConnectTimeout().AsDuration().Seconds() != 2 || api.GetVersion() != "1.0.0" {
		t.Errorf("Api at line %d: %v", docs[2].Line, api)
	}
	plan, ok := docs[3].Resource.(*pb.Plan)
	if !ok {
		t.Fatalf("got %T", docs[3].Resource)
	}
	if plan.GetJwt().GetConfirmation().GetMtls() != pb.Confirmation_OFF || plan.GetSecurity() != pb.Plan_JWT ||
		plan.GetJwt().GetClaimRules()[0].GetEquals().GetStringValue() != "acme" {
		t.Errorf("Plan: %v", plan)
	}
	rev, ok := docs[7].Resource.(*pb.Revocation)
	if !ok || rev.GetIssuedBefore() != nil || rev.GetJti() != "7f9c2b6e" {
		t.Errorf("Revocation: %v", docs[7].Resource)
	}
}

// encodings are all ways a resource can go out and come in again.
func encodings() map[string]func(catalog.Resource) ([]resource.Document, error) {
	return map[string]func(catalog.Resource) ([]resource.Document, error){
		"json": func(r catalog.Resource) ([]resource.Document, error) {
			got, err := resource.DecodeJSON("x", resource.EncodeJSON(r, resource.WithSecrets()), catalog.KindOf(r))
			return []resource.Document{{Resource: got}}, err
		},
		"json file": func(r catalog.Resource) ([]resource.Document, error) {
			return resource.DecodeYAML("x", resource.EncodeJSON(r, resource.WithSecrets()))
		},
		"yaml": func(r catalog.Resource) ([]resource.Document, error) {
			return resource.DecodeYAML("x", resource.EncodeYAML([]catalog.Resource{r}, resource.WithSecrets()))
		},
	}
}

func TestContractRoundTrip(t *testing.T) {
	for name, through := range encodings() {
		for _, d := range contract(t) {
			got, err := through(d.Resource)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, resource.EncodeYAML([]catalog.Resource{d.Resource}))
			}
			if diff := cmp.Diff(d.Resource, got[0].Resource, protocmp.Transform()); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

func TestEncodeJSON(t *testing.T) {
	no := false
	issuer := &pb.Issuer{
		Id: "acme", Issuer: "https://i.test", RequireExpiry: &no,
		Keys: &pb.Keys{HmacSecrets: []*pb.HmacSecret{{Source: &pb.HmacSecret_Value{Value: "hush"}, Encoding: pb.HmacSecret_BASE64}}},
		Jwks: &pb.JwksSettings{Ttl: durationpb.New(3600e9), Timeout: durationpb.New(90e9), MaxStale: durationpb.New(500e6)},
		Meta: &pb.Meta{Version: 3},
	}
	mask := schema.SecretMask(schema.SecretName(pb.Kind_KIND_ISSUER, "acme", 0, 3, 0))
	want := `{"kind":"Issuer","id":"acme","issuer":"https://i.test",` +
		`"keys":{"hmac_secrets":[{"value":"` + mask + `","encoding":"BASE64"}]},` +
		`"jwks":{"ttl":"1h","timeout":"90s","max_stale":"500ms"},"require_expiry":false,"meta":{"version":3}}`
	if got := string(resource.EncodeJSON(issuer)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(resource.EncodeJSON(issuer, resource.WithSecrets())); !strings.Contains(got, `"hush"`) {
		t.Errorf("secrets asked for: %s", got)
	}
	if got := string(resource.EncodeYAML([]catalog.Resource{issuer})); strings.Contains(got, "hush") || !strings.Contains(got, resource.Masked) {
		t.Errorf("YAML shows the secret: %s", got)
	}
	back, err := resource.DecodeJSON("x", []byte(want), pb.Kind_KIND_UNSPECIFIED)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := back.(*pb.Issuer); !ok || got.GetKeys().GetHmacSecrets()[0].GetValue() != mask || got.GetMeta() != nil {
		t.Errorf("decoded: %v", back)
	}
}

func TestOutputOnlyFieldsAreIgnored(t *testing.T) {
	in := `{"kind":"Api","id":"a","portal_state":"PUBLISHED","revision":7,"stopped":true,"out_of_sync":true,
		"meta":{"version":3,"created_at":"2026-01-01T00:00:00Z"}}`
	got, err := resource.DecodeJSON("x", []byte(in), pb.Kind_KIND_API)
	if err != nil {
		t.Fatal(err)
	}
	if want := (&pb.Api{Id: "a"}); !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEncodeDeployment(t *testing.T) {
	d := &pb.Deployment{Id: "a", Revision: 2, Api: &pb.Api{Name: "A", Revision: 2, Stopped: true}, Stopped: true}
	want := `{"kind":"Deployment","id":"a","revision":2,"api":{"name":"A","revision":2,"stopped":true},"stopped":true}`
	if got := string(resource.EncodeJSON(d)); got != want {
		t.Errorf("got %s", got)
	}
}

func TestFreeValues(t *testing.T) {
	in := "kind: Issuer\nid: i\nkeys:\n  jwks: {a: [1, -2.5, 1e3, true, null, x, {b: {}}], \"\": \"1\"}\n"
	docs, err := resource.DecodeYAML("f", []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	want, err := structpb.NewStruct(map[string]any{
		"a": []any{1, -2.5, 1000, true, nil, "x", map[string]any{"b": map[string]any{}}}, "": "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	issuer, ok := docs[0].Resource.(*pb.Issuer)
	if !ok {
		t.Fatalf("got %T", docs[0].Resource)
	}
	if d := cmp.Diff(want, issuer.GetKeys().GetJwks(), protocmp.Transform()); d != "" {
		t.Error(d)
	}
}

func TestLocate(t *testing.T) {
	docs := contract(t)
	err := resource.Locate(docs, fault.List{
		{Kind: "Api", ID: "orders", Field: "upstream.targets[0].url", Message: "bad", Hint: "mend it"},
		{Kind: "Plan", ID: "orders-jwt", Field: "jwt.claim_rules[1].expression", Message: "bad"},
		{Kind: "Plan", ID: "orders-key", Field: "jwt.issuers", Message: "is missing"},
		{Kind: "Plan", ID: "absent", Field: "api", Message: "bad"},
	})
	got, ok := errors.AsType[fault.List](err)
	if !ok {
		t.Fatalf("got %T", err)
	}
	data, readErr := os.ReadFile("testdata/contract.yaml")
	if readErr != nil {
		t.Fatal(readErr)
	}
	lines := strings.Split(string(data), "\n")
	for i, text := range []string{"targets:", "claims.level >= 2", "kind: Plan"} {
		if line := lines[got[i].Line-1]; !strings.Contains(line, text) {
			t.Errorf("%v points to %q", got[i], line)
		}
	}
	if got[3].File != "" || got[3].Error() != "plan/absent: api: bad" {
		t.Errorf("without a document: %q", got[3].Error())
	}
	if !strings.HasSuffix(got[0].Error(), ": api/orders: upstream.targets[0].url: bad (hint: mend it)") ||
		!strings.HasPrefix(got[0].Error(), "contract.yaml:") {
		t.Errorf("got %q", got[0].Error())
	}
	if resource.Locate(docs, nil) != nil {
		t.Error("an error without problems")
	}
}

// What the control plane answers is more than what it takes: a program that reads it
// sees all of it, and is not disturbed by what a later version says.
func TestDecodeAnswer(t *testing.T) {
	text := `{"kind":"Api","id":"orders","portal_state":"PUBLISHED","revision":3,"meta":{"version":7},"of_a_later_version":{"a":[1]}}`
	r, err := resource.DecodeAnswer([]byte(text), pb.Kind_KIND_API)
	if err != nil {
		t.Fatal(err)
	}
	api, ok := r.(*pb.Api)
	if !ok || api.GetRevision() != 3 || api.GetMeta().GetVersion() != 7 || api.GetPortalState() != pb.Api_PUBLISHED {
		t.Errorf("got %v", r)
	}
	if r, err := resource.DecodeAnswer([]byte(`{"kind":"KeySet","id":"acme","generation":2}`), pb.Kind_KIND_KEY_SET); err != nil || r.GetId() != "acme" {
		t.Errorf("got %v %v", r, err)
	}
	for name, text := range map[string]string{
		"another kind": `{"kind":"Plan","id":"gold"}`, "no JSON": `<html>`, "wrong type": `{"kind":"Api","revision":"x"}`,
	} {
		if r, err := resource.DecodeAnswer([]byte(text), pb.Kind_KIND_API); err == nil {
			t.Errorf("%s: got %v", name, r)
		}
	}
}
