package compile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

// Absent, clock_skew lets a token pass whose issuer's clock is ahead; 0s is none.
func TestClockSkew(t *testing.T) {
	for name, tt := range map[string]struct {
		skew *durationpb.Duration
		want int64
	}{"absent": {nil, 30}, "0s": {durationpb.New(0), 0}, "5s": {durationpb.New(5 * time.Second), 5}} {
		compiled, faults := compile.NewIssuer(issuer(func(m *pb.Issuer) { m.ClockSkew = tt.skew }), nil, keyset.Secrets{})
		if len(faults) > 0 || compiled.ClockSkew != tt.want {
			t.Errorf("%s: %d, %v", name, compiled.ClockSkew, faults)
		}
	}
}

func secret(text string) *pb.Secret { return &pb.Secret{Source: &pb.Secret_Value{Value: text}} }

func issuer(change ...func(*pb.Issuer)) *pb.Issuer {
	m := &pb.Issuer{
		Id: "acme", Issuer: "https://idp.acme.test",
		Keys:          &pb.Keys{HmacSecrets: []*pb.HmacSecret{{Source: &pb.HmacSecret_Value{Value: "0123456789abcdef0123456789abcdef"}}}},
		Introspection: &pb.Introspection{Url: "https://idp.acme.test/introspect", ClientId: "gw", ClientSecret: secret("s")},
	}
	for _, c := range change {
		c(m)
	}
	return m
}

func TestIssuerFaults(t *testing.T) {
	in := func(change func(*pb.Introspection)) func(*pb.Issuer) {
		return func(m *pb.Issuer) { change(m.GetIntrospection()) }
	}
	for name, c := range map[string]struct {
		change func(*pb.Issuer)
		want   string // the beginning of the one fault; empty: none
	}{
		"good":                      {func(*pb.Issuer) {}, ""},
		"no iss":                    {func(m *pb.Issuer) { m.Issuer = "" }, "issuer: is required"},
		"an unknown algorithm":      {func(m *pb.Issuer) { m.Algorithms = []string{"none"} }, "algorithms[0]: "},
		"a key that is none":        {func(m *pb.Issuer) { m.Keys.Pem = []string{"x"} }, "keys.pem[0]: "},
		"a mapping of iss":          {func(m *pb.Issuer) { m.ClaimMappings = []*pb.ClaimMapping{{Remote: "iss", Local: "x"}} }, "claim_mappings[0]: iss cannot be mapped"},
		"a mapping to iss":          {func(m *pb.Issuer) { m.ClaimMappings = []*pb.ClaimMapping{{Remote: "x", Local: "iss"}} }, "claim_mappings[0]: iss cannot be mapped"},
		"an unknown profile":        {func(m *pb.Issuer) { m.Profile = 9 }, "profile: has the value 9, which this version does not know"},
		"kinds that are accepted":   {func(m *pb.Issuer) { m.Accept = []pb.Issuer_TokenKind{pb.Issuer_ID_TOKEN, pb.Issuer_LOGOUT_TOKEN} }, ""},
		"no kind":                   {func(m *pb.Issuer) { m.Accept = []pb.Issuer_TokenKind{0} }, "accept[0]: names no kind of token"},
		"an unknown kind":           {func(m *pb.Issuer) { m.Accept = []pb.Issuer_TokenKind{9} }, "accept[0]: has the value 9"},
		"a kind twice":              {func(m *pb.Issuer) { m.Accept = []pb.Issuer_TokenKind{1, 1} }, "accept[1]: ID_TOKEN is written twice"},
		"claims of identity tokens": {func(m *pb.Issuer) { m.RefuseIdTokenClaims = true }, ""},
		"identity tokens and none": {
			func(m *pb.Issuer) { m.RefuseIdTokenClaims, m.Accept = true, []pb.Issuer_TokenKind{1} },
			"accept[0]: ID_TOKEN is accepted, but refuse_id_token_claims",
		},
		"no URL":                     {in(func(i *pb.Introspection) { i.Url = "" }), "introspection.url: is required"},
		"another scheme":             {in(func(i *pb.Introspection) { i.Url = "ftp://idp.test" }), "introspection.url: "},
		"a password":                 {in(func(i *pb.Introspection) { i.Url = "https://a:b@idp.test" }), "introspection.url: holds a user name or password"},
		"no client":                  {in(func(i *pb.Introspection) { i.ClientId = "" }), "introspection.client_id: is required"},
		"no secret":                  {in(func(i *pb.Introspection) { i.ClientSecret = nil }), "introspection: the gateway must authenticate itself"},
		"an empty secret":            {in(func(i *pb.Introspection) { i.ClientSecret = secret("") }), "introspection.client_secret: it is empty"},
		"two secrets":                {in(func(i *pb.Introspection) { i.PrivateKey = secret("x") }), "introspection: has both"},
		"a private key that is none": {in(func(i *pb.Introspection) { i.ClientSecret, i.PrivateKey = nil, secret("x") }), "introspection.private_key: it is not PEM"},
		"no time":                    {in(func(i *pb.Introspection) { i.Timeout = durationpb.New(0) }), "introspection.timeout: "},
		"roots that are none":        {in(func(i *pb.Introspection) { i.CaPem = "x" }), "introspection.ca_pem: "},
	} {
		compiled, faults := compile.NewIssuer(issuer(c.change), nil, keyset.Secrets{})
		if c.want == "" {
			if len(faults) > 0 || compiled == nil {
				t.Errorf("%s: %v", name, faults)
			}
			continue
		}
		if compiled != nil || len(faults) != 1 || !strings.HasPrefix(faults.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, faults, c.want)
		}
		if strings.Contains(faults.Error(), "a:b") {
			t.Errorf("%s shows a password: %v", name, faults)
		}
	}
}

// Secrets that only nodes have are no reason to refuse an issuer; on a node they are.
func TestSecretsOfNodes(t *testing.T) {
	m := issuer(func(m *pb.Issuer) {
		m.Keys.HmacSecrets[0].Source = &pb.HmacSecret_Env{Env: "ACME_SECRET"}
		m.Introspection.ClientSecret = &pb.Secret{Source: &pb.Secret_File{File: "/etc/acme"}}
	})
	if _, faults := compile.NewIssuer(m, nil, keyset.Secrets{}); len(faults) > 0 {
		t.Error(faults)
	}
	node := keyset.Secrets{
		Env:  func(string) (string, bool) { return "", false },
		File: func(string) ([]byte, error) { return []byte("\n"), nil },
	}
	_, faults := compile.NewIssuer(m, nil, node)
	want := "keys.hmac_secrets[0]: the environment variable ACME_SECRET is not set\nintrospection.client_secret: the file /etc/acme is empty"
	if faults.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", faults, want)
	}
}

const orders = `
kind: Api
id: orders
context_path: /orders
hosts: [Api.test, "*.acme.test"]
upstream: {targets: [{url: "https://10.0.0.7/base/"}]}
`

func decoded(t *testing.T, yaml string) []catalog.Resource {
	t.Helper()
	docs, err := resource.DecodeYAML("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	var all []catalog.Resource
	for _, d := range docs {
		all = append(all, d.Resource)
	}
	return all
}

// input is the Api and the plans of a text, with the issuer acme.
func input(t *testing.T, yaml string) compile.Input {
	t.Helper()
	in := compile.Input{Issuer: func(id string) *pb.Issuer {
		if id != "acme" {
			return nil
		}
		return issuer(func(m *pb.Issuer) { m.Introspection = nil })
	}}
	for _, r := range decoded(t, yaml) {
		switch m := r.(type) {
		case *pb.Api:
			in.Deployment = &pb.Deployment{Id: m.GetId(), Api: m}
		case *pb.Plan:
			in.Plans = append(in.Plans, m)
		}
	}
	return in
}

func TestApi(t *testing.T) {
	api, faults := compile.NewApi(input(t, orders+"---\nkind: Plan\nid: free\napi: orders\nsecurity: KEYLESS\nstatus: PUBLISHED\n"+
		"---\nkind: Plan\nid: gold\napi: orders\nsecurity: JWT\nstatus: DEPRECATED\njwt: {issuers: [acme]}\n"+
		"---\nkind: Plan\nid: old\napi: orders\nsecurity: JWT\nstatus: CLOSED\njwt: {issuers: [nobody]}\n"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var plans []string
	for _, p := range api.Plans {
		plans = append(plans, p.ID)
	}
	if want := []string{"gold", "free"}; !slices.Equal(plans, want) {
		t.Errorf("plans %v, want %v", plans, want)
	}
	if want := []catalog.HostPath{{Host: "api.test", Path: "/orders"}, {Host: "*.acme.test", Path: "/orders"}}; !slices.Equal(api.HostPaths, want) {
		t.Errorf("host and path %v, want %v", api.HostPaths, want)
	}
	target := compile.Target{Address: "10.0.0.7:443", Name: "10.0.0.7", Host: "10.0.0.7", Secure: true, Prefix: "/base", Weight: 1}
	if len(api.Upstream.Targets) != 1 || api.Upstream.Targets[0] != target {
		t.Errorf("targets %+v, want %+v", api.Upstream.Targets, target)
	}
}

func TestApiFaults(t *testing.T) {
	plan := func(lines string) string {
		return orders + "---\nkind: Plan\nid: gold\napi: orders\nstatus: PUBLISHED\n" + lines
	}
	replaced := func(old, with string) string { return strings.Replace(orders, old, with, 1) }
	for name, c := range map[string]struct{ yaml, want string }{
		"a host in other case":   {replaced(`"*.acme.test"`, "api.TEST"), `api/orders: hosts[1]: "api.TEST" is written twice: hosts[0] is "Api.test"`},
		"a host to the letter":   {replaced(`"*.acme.test"`, "Api.test"), `api/orders: hosts[1]: "Api.test" is written twice`},
		"a wildcard inside":      {replaced("*.acme", "a.*"), "api/orders: hosts[1]: "},
		"a port out of range":    {replaced("10.0.0.7", "10.0.0.7:65536"), "api/orders: upstream.targets[0].url: "},
		"no weight":              {replaced("}]}", ", weight: 0}]}"), "api/orders: upstream.targets: all weights are 0"},
		"an unknown issuer":      {plan("security: JWT\njwt: {issuers: [nobody]}"), `plan/gold: jwt.issuers[0]: no issuer "nobody"`},
		"nobody to ask":          {plan("security: OAUTH2\noauth2: {issuers: [acme]}"), `plan/gold: oauth2.issuers[0]: issuer "acme" has no introspection`},
		"a selection rule":       {plan("security: KEYLESS\nselection_rule: request."), "plan/gold: selection_rule: "},
		"a place of tokens":      {plan("security: JWT\njwt: {issuers: [acme], token_from: '1'}"), "plan/gold: jwt.token_from: "},
		"an expression":          {plan("security: JWT\njwt: {issuers: [acme], claim_rules: [{claim: a, expression: '('}]}"), "plan/gold: jwt.claim_rules[0].expression: "},
		"a limit of nothing":     {plan("security: KEYLESS\nrestrictions: {quota: {period: 1h}}"), "plan/gold: restrictions.quota.requests: "},
		"a limit without period": {plan("security: KEYLESS\nrestrictions: {quota: {requests: 1}}"), "plan/gold: restrictions.quota.period: "},
		"a limit's key":          {plan("security: KEYLESS\nrestrictions: {quota: {requests: 1, period: 1h, key: 'request.'}}"), "plan/gold: restrictions.quota.key: "},
		"a header twice":         {plan("security: JWT\njwt: {issuers: [acme], claims_to_headers: [{claim: sub, header: X-Q}], backend_jwt: {claim: b, header: x-q}}"), "plan/gold: jwt.backend_jwt.header: "},
		"a pattern":              {plan("security: KEYLESS\nrestrictions: {resource_filter: {deny: [{path: v1}]}}"), "plan/gold: restrictions.resource_filter.deny[0].path: "},
		"a reserved path":        {replaced("context_path: /orders", "context_path: /.well-known/portcullis/x"), "api/orders: context_path: "},
	} {
		api, faults := compile.NewApi(input(t, c.yaml))
		if len(faults) != 1 || !strings.HasPrefix(faults.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, faults, c.want)
		}
		if api == nil || api.ID != "orders" || len(api.Plans) > 0 {
			t.Errorf("%s: %+v, want an Api that has its places and decides nothing", name, api)
		}
	}
}

// A rule on all claims names none.
func TestClaimRuleWithoutClaim(t *testing.T) {
	_, faults := compile.NewApi(input(t, orders+"---\nkind: Plan\nid: gold\napi: orders\nstatus: PUBLISHED\nsecurity: JWT\n"+
		"jwt: {issuers: [acme], claim_rules: [{expression: 'claims.level > 2'}]}\n"))
	if len(faults) > 0 {
		t.Error(faults)
	}
}

// What is stopped answers nothing, and need not be sound.
func TestStoppedApi(t *testing.T) {
	in := input(t, strings.Replace(orders, "https:", "ftp:", 1))
	in.Deployment.Stopped = true
	if api, faults := compile.NewApi(in); len(faults) > 0 || !api.Stopped || len(api.HostPaths) != 2 {
		t.Errorf("%+v, %v", api, faults)
	}
}

// More sources than there are bits would find credentials of other plans.
func TestTooManySources(t *testing.T) {
	in := input(t, orders)
	for i := range 65 {
		in.Plans = append(in.Plans, &pb.Plan{
			Id: "p" + strings.Repeat("x", i), Api: "orders", Status: pb.Plan_PUBLISHED, Security: pb.Plan_API_KEY,
			ApiKey: &pb.ApiKeySettings{Header: "X-Key-" + strings.Repeat("x", i)},
		})
	}
	if _, faults := compile.NewApi(in); len(faults) != 1 || !strings.Contains(faults.Error(), "more than 64 ways") {
		t.Error(faults)
	}
}

// Fields of a later schema would be restrictions that nobody enforces.
func TestFieldsOfALaterSchema(t *testing.T) {
	later := protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1)
	plan := &pb.Plan{Id: "gold", Api: "orders", Security: pb.Plan_JWT, Jwt: &pb.JwtSettings{Issuers: []string{"acme"}, Scopes: &pb.Scopes{}}}
	plan.GetJwt().GetScopes().ProtoReflect().SetUnknown(later)
	want := "jwt.scopes: has a field of number 999, which this version does not know (hint: upgrade this process)"
	if faults := compile.Check(plan); faults.Error() != want {
		t.Errorf("got %v, want %s", faults, want)
	}
	list := &pb.Plan{Id: "gold", Api: "orders", Security: pb.Plan_JWT, Jwt: &pb.JwtSettings{Issuers: []string{"acme"}, ClaimRules: []*pb.ClaimRule{{Claim: "a", Mandatory: true}}}}
	list.GetJwt().GetClaimRules()[0].ProtoReflect().SetUnknown(later)
	if faults := compile.Check(list); !strings.HasPrefix(faults.Error(), "jwt.claim_rules[0]: has a field of number 999") {
		t.Errorf("in a list: %v", faults)
	}
	known := proto.CloneOf(plan)
	known.GetJwt().GetScopes().ProtoReflect().SetUnknown(nil)
	if faults := compile.Check(known); len(faults) > 0 {
		t.Errorf("what this version knows: %v", faults)
	}
	if faults := compile.Check(&pb.Plan{Id: "gold", Api: "orders", Security: 17}); !strings.HasPrefix(faults.Error(), "security: has the value 17") {
		t.Errorf("an unknown kind of plan: %v", faults)
	}
}

// Limits of less than a second are limits.
func TestShortMaxLifetime(t *testing.T) {
	for d, want := range map[time.Duration]int64{0: 0, 1: 1, 999 * time.Millisecond: 1, time.Second: 1, 1500 * time.Millisecond: 2} {
		compiled, faults := compile.NewIssuer(issuer(func(m *pb.Issuer) { m.MaxLifetime = durationpb.New(d) }), nil, keyset.Secrets{})
		if len(faults) > 0 || compiled.MaxLifetime != want {
			t.Errorf("%s: %+v, %v, want %d", d, compiled, faults, want)
		}
	}
}

// So would be what a later schema says of a deployment, apart from its definition.
func TestDeploymentOfALaterSchema(t *testing.T) {
	in := input(t, orders)
	in.Deployment.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1))
	if _, faults := compile.NewApi(in); len(faults) != 1 || !strings.HasPrefix(faults.Error(), "api/orders: has a field of number 999") {
		t.Error(faults)
	}
}
