package compile

import (
	"fmt"
	"regexp"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// placeholder stands in an issuer's iss for the tenant.
const placeholder = "{tenantid}"

// Tenants are the tenants of a provider that has one set of keys for all of them.
// Each has an iss of its own, made by one pattern.
type Tenants struct {
	before, after string
	names         map[string]struct{} // nil: any
}

var tenantPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// OfTenants reports whether an issuer that a key is bound to stands for all tenants of
// a provider.
func OfTenants(issuer string) bool { return strings.Contains(issuer, placeholder) }

// newTenants compiles the tenants of a sound issuer; nil: its iss is the one it says.
func newTenants(m *pb.Issuer) *Tenants {
	before, after, ok := strings.Cut(m.GetIssuer(), placeholder)
	if !ok {
		return nil
	}
	t := &Tenants{before: before, after: after}
	if !m.GetAnyTenant() {
		t.names = make(map[string]struct{}, len(m.GetTenants()))
		for _, name := range m.GetTenants() {
			t.names[name] = struct{}{}
		}
	}
	return t
}

// Of returns the tenant that iss names, trusted or not.
func (t *Tenants) Of(iss string) (tenant string, ok bool) {
	rest, ok := strings.CutPrefix(iss, t.before)
	if !ok {
		return "", false
	}
	tenant, ok = strings.CutSuffix(rest, t.after)
	return tenant, ok && tenantPattern.MatchString(tenant)
}

// Trusts reports whether tokens of a tenant are wanted.
func (t *Tenants) Trusts(tenant string) bool {
	if t.names == nil {
		return true
	}
	_, ok := t.names[tenant]
	return ok
}

// Fill puts a tenant into the issuer that a key is bound to, which may be a pattern too.
func (t *Tenants) Fill(issuer, tenant string) string {
	return strings.Replace(issuer, placeholder, tenant, 1)
}

// iss checks whose tokens an issuer's are.
func (c *checker) iss(m *pb.Issuer) {
	if m.GetNoIssuer() {
		c.nameless(m)
		return
	}
	c.text("issuer", m.GetIssuer(), true)
	c.texts("tenants", m.GetTenants())
	for i, name := range m.GetTenants() {
		if name != "" && !tenantPattern.MatchString(name) {
			c.bad(fmt.Sprintf("tenants[%d]", i), "%.140q is not a tenant: 1 to 128 letters, digits and ._-", name)
		}
	}
	before, after, pattern := strings.Cut(m.GetIssuer(), placeholder)
	switch {
	case !pattern:
		if len(m.GetTenants()) > 0 || m.GetAnyTenant() {
			c.hint("issuer", "write "+placeholder+" where the tenant stands", "has no place for tenants")
		}
	case strings.Contains(after, placeholder), !strings.HasSuffix(before, "/"), after != "" && after[0] != '/', strings.Count(before, "/") < 3:
		c.hint("issuer", "as in https://login.microsoftonline.com/"+placeholder+"/v2.0", "%s stands for one whole segment of a URL's path, once", placeholder)
	case len(m.GetTenants()) > 0 && m.GetAnyTenant():
		c.bad("any_tenant", "is set, and tenants too: write one of them")
	case len(m.GetTenants()) == 0 && !m.GetAnyTenant():
		c.hint("tenants", "name them; any_tenant: true trusts whoever has a tenant at the provider", "are needed where issuer has %s", placeholder)
	case m.GetDiscovery() && m.GetMetadataUrl() == "":
		c.hint("metadata_url", "as in https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration", "is needed where issuer has %s", placeholder)
	}
}

// nameless checks an issuer whose tokens have no iss.
func (c *checker) nameless(m *pb.Issuer) {
	for _, has := range []struct {
		field string
		set   bool
	}{
		{"issuer", m.GetIssuer() != ""},
		{"discovery", m.GetDiscovery()},
		{"introspection", m.GetIntrospection() != nil},
		{"profile", m.GetProfile() != pb.Issuer_ANY},
		{"tenants", len(m.GetTenants()) > 0},
		{"any_tenant", m.GetAnyTenant()},
	} {
		if has.set {
			c.bad(has.field, "does not go with no_issuer: nothing says whose such tokens are but their key")
		}
	}
}
