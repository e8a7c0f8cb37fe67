package compile

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func (c *checker) plan(m *pb.Plan) {
	c.text("api", m.GetApi(), true)
	c.text("name", m.GetName(), false)
	c.text("description", m.GetDescription(), false)
	if m.GetSecurity() == pb.Plan_SECURITY_UNSPECIFIED {
		c.hint("security", "one of MTLS, JWT, OAUTH2, API_KEY, KEYLESS", "is required")
	}
	switch {
	case m.GetSecurity() == pb.Plan_JWT:
		c.jwt("jwt", m.GetJwt())
	case m.GetJwt() != nil:
		c.bad("jwt", "a plan of kind %s has no jwt settings", m.GetSecurity())
	}
	switch {
	case m.GetSecurity() == pb.Plan_OAUTH2:
		c.jwt("oauth2", m.GetOauth2())
		if len(m.GetOauth2().GetIssuers()) > 1 {
			c.bad("oauth2.issuers", "an OAUTH2 plan has exactly one issuer, because nothing in a token says whose it is")
		}
	case m.GetOauth2() != nil:
		c.bad("oauth2", "a plan of kind %s has no oauth2 settings", m.GetSecurity())
	}
	if m.GetMtls() != nil && m.GetSecurity() != pb.Plan_MTLS {
		c.bad("mtls", "a plan of kind %s has no mtls settings", m.GetSecurity())
	}
	c.roots("mtls.ca_pem", m.GetMtls().GetCaPem())
	if m.GetApiKey() != nil && m.GetSecurity() != pb.Plan_API_KEY {
		c.bad("api_key", "a plan of kind %s has no api_key settings", m.GetSecurity())
	}
	if h := m.GetApiKey().GetHeader(); h != "" {
		c.header("api_key.header", h)
	}
	c.text("api_key.query", m.GetApiKey().GetQuery(), false)
}

func (c *checker) jwt(at string, j *pb.JwtSettings) {
	if len(j.GetIssuers()) == 0 {
		c.bad(at+".issuers", "needs at least one issuer")
	}
	c.texts(at+".issuers", j.GetIssuers())
	c.texts(at+".audiences", j.GetAudiences())
	c.scopes(at+".scopes.all", j.GetScopes().GetAll())
	c.scopes(at+".scopes.any", j.GetScopes().GetAny())
	c.list(at+".claim_rules", len(j.GetClaimRules()))
	for i, r := range j.GetClaimRules() {
		c.claimRule(fmt.Sprintf("%s.claim_rules[%d]", at, i), r)
	}
	c.list(at+".claims_to_headers", len(j.GetClaimsToHeaders()))
	seen := map[string]bool{}
	for i, h := range j.GetClaimsToHeaders() {
		field := fmt.Sprintf("%s.claims_to_headers[%d]", at, i)
		c.text(field+".claim", h.GetClaim(), true)
		c.header(field+".header", h.GetHeader())
		if name := strings.ToLower(h.GetHeader()); seen[name] {
			c.bad(field+".header", "%q is written twice", h.GetHeader())
		} else {
			seen[name] = true
		}
	}
	c.signedJWT(at+".signed_jwt", j.GetSignedJwt(), seen)
	if b := j.GetBackendJwt(); b != nil {
		c.text(at+".backend_jwt.claim", b.GetClaim(), true)
		c.header(at+".backend_jwt.header", b.GetHeader())
		if seen[strings.ToLower(b.GetHeader())] {
			c.bad(at+".backend_jwt.header", "claims_to_headers sets %q, too", b.GetHeader())
		}
	}
}

// signedJWT checks the JWT that gateways sign. taken are the headers that claims are sent in, in lower case.
func (c *checker) signedJWT(at string, j *pb.SignedJwt, taken map[string]bool) {
	if j == nil {
		return
	}
	if j.GetHeader() != "" {
		c.header(at+".header", j.GetHeader())
	}
	if name := cmp.Or(j.GetHeader(), "X-JWT-Assertion"); taken[strings.ToLower(name)] {
		c.bad(at+".header", "claims_to_headers sets %q, too", name)
	}
	c.texts(at+".claims", j.GetClaims())
	for i, name := range j.GetClaims() {
		if ReservedClaim(name) && name != "sub" && name != "client_id" { // these say what the token's do
			c.bad(fmt.Sprintf("%s.claims[%d]", at, i), "%q is set by the gateway itself", name)
		}
	}
	c.duration(at+".lifetime", j.GetLifetime(), time.Second, time.Hour)
}

func (c *checker) scopes(field string, list []string) {
	c.texts(field, list)
	for i, s := range list {
		if s != "" && !scopePattern.MatchString(s) {
			c.bad(fmt.Sprintf("%s[%d]", field, i), "%.200q is not a scope (RFC 6749 section 3.3)", s)
		}
	}
}

func (c *checker) claimRule(field string, r *pb.ClaimRule) {
	if r.GetClaim() == "" && (r.GetExpression() == "" || r.GetEquals() != nil || r.GetMandatory()) {
		c.bad(field+".claim", "is required")
	}
	if r.GetEquals() == nil && r.GetExpression() == "" && !r.GetMandatory() {
		c.hint(field, "write equals or expression, or mandatory: true", "asks nothing")
	}
}

// header checks the name of a header that the gateway reads or sets itself.
func (c *checker) header(field, name string) {
	if !tokenPattern.MatchString(name) {
		c.bad(field, "%.200q is not a header name", name)
		return
	}
	switch strings.ToLower(name) {
	case "host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive",
		"proxy-connection", "proxy-authenticate", "proxy-authorization", "expect", "x-request-id":
		c.bad(field, "%q is not free to be used", name)
	}
}

func (c *checker) restrictions(r *pb.Restrictions) {
	c.limit("restrictions.rate_limit", r.GetRateLimit())
	c.limit("restrictions.quota", r.GetQuota())
	c.limit("restrictions.spike_arrest", r.GetSpikeArrest())
	c.patterns("restrictions.resource_filter.allow", r.GetResourceFilter().GetAllow())
	c.patterns("restrictions.resource_filter.deny", r.GetResourceFilter().GetDeny())
}

func (c *checker) limit(field string, l *pb.Limit) {
	if l == nil {
		return
	}
	if l.GetRequests() == 0 || l.GetRequests() > 1_000_000_000_000 {
		c.bad(field+".requests", "is %d; 1 to 1000000000000 are allowed", l.GetRequests())
	}
	if l.GetPeriod() == nil {
		c.hint(field+".period", "write period: 1s", "is required")
	}
	c.duration(field+".period", l.GetPeriod(), time.Millisecond, 366*day)
}

func (c *checker) patterns(field string, list []*pb.ResourcePattern) {
	c.list(field, len(list))
	for i, p := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch path := p.GetPath(); {
		case !strings.HasPrefix(path, "/"):
			c.hint(at+".path", "write /"+path, "%.200q does not start with a slash", path)
		case len(path) > 1024 || dotSegment(path) || path != "/" && !pathPattern.MatchString(strings.TrimSuffix(path, "/")):
			c.bad(at+".path", "%.200q is not a canonical path with * and **", path)
		default:
			c.wildcards(at+".path", path)
		}
		for j, m := range p.GetMethods() {
			if !methodPattern.MatchString(m) {
				c.hint(fmt.Sprintf("%s.methods[%d]", at, j), "methods are in capitals: GET", "%.40q is not a method", m)
			}
		}
	}
}

// wildcards stand for whole segments.
func (c *checker) wildcards(field, path string) {
	for s := range strings.SplitSeq(path, "/") {
		if strings.Contains(s, "*") && s != "*" && s != "**" {
			c.bad(field, "%q: * stands for one whole segment, ** for any number of them", s)
		}
	}
}
