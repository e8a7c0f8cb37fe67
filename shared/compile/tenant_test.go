package compile_test

import (
	"strings"
	"testing"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// Faults of whose tokens an issuer's are.
func TestIssFaults(t *testing.T) {
	const pattern = "https://login.test/{tenantid}/v2.0"
	unnamed := func(change func(*pb.Issuer)) func(*pb.Issuer) {
		return func(m *pb.Issuer) {
			m.Issuer, m.NoIssuer, m.Introspection = "", true, nil
			change(m)
		}
	}
	for name, c := range map[string]struct {
		change func(*pb.Issuer)
		want   string // the beginning of the one fault; empty: none
	}{
		"tenants":              {func(m *pb.Issuer) { m.Issuer, m.Tenants = pattern, []string{"a", "b"} }, ""},
		"any tenant":           {func(m *pb.Issuer) { m.Issuer, m.AnyTenant = pattern, true }, ""},
		"at the end":           {func(m *pb.Issuer) { m.Issuer, m.AnyTenant = "https://sts.test/{tenantid}", true }, ""},
		"no tenants":           {func(m *pb.Issuer) { m.Issuer = pattern }, "tenants: are needed where issuer has {tenantid}"},
		"both":                 {func(m *pb.Issuer) { m.Issuer, m.AnyTenant, m.Tenants = pattern, true, []string{"a"} }, "any_tenant: is set, and tenants too"},
		"tenants of nobody":    {func(m *pb.Issuer) { m.Tenants = []string{"a"} }, "issuer: has no place for tenants"},
		"any tenant of nobody": {func(m *pb.Issuer) { m.AnyTenant = true }, "issuer: has no place for tenants"},
		"no tenant":            {func(m *pb.Issuer) { m.Issuer, m.Tenants = pattern, []string{"a/b"} }, "tenants[0]: "},
		"twice":                {func(m *pb.Issuer) { m.Issuer, m.AnyTenant = "https://a.test/{tenantid}/{tenantid}", true }, "issuer: {tenantid} stands for one whole segment"},
		"in the host":          {func(m *pb.Issuer) { m.Issuer, m.AnyTenant = "https://{tenantid}/v2.0", true }, "issuer: {tenantid} stands for one whole segment"},
		"part of a segment":    {func(m *pb.Issuer) { m.Issuer, m.AnyTenant = "https://a.test/x{tenantid}/v2.0", true }, "issuer: {tenantid} stands for one whole segment"},
		"before a segment":     {func(m *pb.Issuer) { m.Issuer, m.AnyTenant = "https://a.test/{tenantid}x", true }, "issuer: {tenantid} stands for one whole segment"},
		"discovery of nowhere": {func(m *pb.Issuer) { m.Issuer, m.AnyTenant, m.Discovery = pattern, true, true }, "metadata_url: is needed"},
		"discovery": {func(m *pb.Issuer) {
			m.Issuer, m.AnyTenant, m.Discovery, m.MetadataUrl = pattern, true, true, "https://login.test/common/v2.0/.well-known/openid-configuration"
		}, ""},

		"no iss":                    {unnamed(func(*pb.Issuer) {}), ""},
		"no iss, and one":           {unnamed(func(m *pb.Issuer) { m.Issuer = "x" }), "issuer: does not go with no_issuer"},
		"no iss, with discovery":    {unnamed(func(m *pb.Issuer) { m.Discovery = true }), "discovery: does not go with no_issuer"},
		"no iss, by profile":        {unnamed(func(m *pb.Issuer) { m.Profile = pb.Issuer_RFC9068 }), "profile: does not go with no_issuer"},
		"no iss, with tenants":      {unnamed(func(m *pb.Issuer) { m.AnyTenant = true }), "any_tenant: does not go with no_issuer"},
		"no iss, and introspection": {func(m *pb.Issuer) { m.Issuer, m.NoIssuer = "", true }, "introspection: does not go with no_issuer"},
	} {
		compiled, faults := compile.NewIssuer(issuer(c.change), nil, keyset.Secrets{})
		if c.want == "" {
			if len(faults) > 0 || compiled == nil {
				t.Errorf("%s: %v", name, faults)
			}
			continue
		}
		if compiled != nil || !strings.HasPrefix(faults.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, faults, c.want)
		}
	}
}
