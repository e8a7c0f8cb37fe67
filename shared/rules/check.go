package rules

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// Bounds of the schema.
const (
	MaxID          = 128
	maxText        = 8 << 10   // of one string
	maxList        = 1000      // of one repeated field
	maxResource    = 256 << 10 // encoded
	day            = 24 * time.Hour
	maskedSecret   = "********"
	maxRequestBody = 4 << 30
)

// checker collects the faults of one resource.
type checker struct {
	d   *Draft
	ref catalog.Ref
}

func (c checker) bad(field, format string, args ...any) {
	c.d.problem(c.ref, field, Invalid, fmt.Sprintf(format, args...), "")
}

func (c checker) hint(field, hint, format string, args ...any) {
	c.d.problem(c.ref, field, Invalid, fmt.Sprintf(format, args...), hint)
}

// check is the rules that concern one resource alone.
func (d *Draft) check(ref catalog.Ref, r catalog.Resource) {
	c := checker{d, ref}
	if n := proto.Size(r); n > maxResource {
		c.bad("", "is %d bytes, more than %d", n, maxResource)
		return
	}
	switch m := r.(type) {
	case *pb.Issuer:
		c.issuer(m)
	case *pb.Api:
		c.api(m)
	case *pb.Plan:
		c.plan(m)
	case *pb.Application:
		c.application(m)
	case *pb.Subscription:
		c.subscription(m)
	case *pb.Revocation:
		c.revocation(m)
	default:
		c.bad("kind", "%s is written by the control plane only", catalog.KindName(ref.Kind))
	}
}

// validID reports whether an id is 1 to 128 characters of [a-z0-9._-].
func validID(id string) bool {
	if id == "" || len(id) > MaxID {
		return false
	}
	for i := range len(id) {
		b := id[i]
		if !(b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-') {
			return false
		}
	}
	return true
}

func (d *Draft) checkID(ref catalog.Ref) bool {
	if validID(ref.ID) {
		return true
	}
	if ref.ID == "" {
		d.problem(ref, "id", Invalid, "is required", fmt.Sprintf("1 to %d characters of a-z, 0-9, '.', '_' and '-'", MaxID))
		return false
	}
	hint := ""
	if lower := strings.ToLower(ref.ID); lower != ref.ID && validID(lower) {
		hint = fmt.Sprintf("write %q", lower)
	}
	d.problem(ref, "id", Invalid, fmt.Sprintf("%.140q is not an id: 1 to %d characters of a-z, 0-9, '.', '_' and '-'", ref.ID, MaxID), hint)
	return false
}

// text checks a string that people or peers read.
func (c checker) text(field, s string, required bool) {
	switch {
	case s == "" && required:
		c.bad(field, "is required")
	case len(s) > maxText:
		c.bad(field, "is %d bytes, more than %d", len(s), maxText)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f }):
		c.bad(field, "holds a control character")
	}
}

func (c checker) list(field string, n int) bool {
	if n > maxList {
		c.bad(field, "has %d members, more than %d", n, maxList)
		return false
	}
	return true
}

// texts checks a list of required strings.
func (c checker) texts(field string, list []string) {
	if !c.list(field, len(list)) {
		return
	}
	for i, s := range list {
		c.text(fmt.Sprintf("%s[%d]", field, i), s, true)
		if slices.Index(list, s) < i {
			c.bad(fmt.Sprintf("%s[%d]", field, i), "%q is written twice", s)
		}
	}
}

// duration checks bounds; absent is fine.
func (c checker) duration(field string, d *durationpb.Duration, least, most time.Duration) {
	if d == nil {
		return
	}
	if err := d.CheckValid(); err != nil {
		c.bad(field, "is not a duration: %v", err)
		return
	}
	if v := d.AsDuration(); v < least || v > most {
		c.bad(field, "is %s; %s to %s are allowed", v, least, most)
	}
}

func (c checker) time(field string, t *timestamppb.Timestamp) {
	if t != nil && t.CheckValid() != nil {
		c.bad(field, "is not a time between the years 1 and 9999")
	}
}

func (c checker) issuer(m *pb.Issuer) {
	c.text("name", m.GetName(), false)
	c.text("issuer", m.GetIssuer(), true)
	c.texts("audiences", m.GetAudiences())
	c.texts("client_id_claims", m.GetClientIdClaims())
	c.texts("token_types", m.GetTokenTypes())
	c.texts("algorithms", m.GetAlgorithms())
	c.keys(m)
	j := m.GetJwks()
	c.duration("jwks.ttl", j.GetTtl(), 10*time.Second, 7*day)
	c.duration("jwks.timeout", j.GetTimeout(), time.Millisecond, time.Minute)
	c.duration("jwks.max_stale", j.GetMaxStale(), 0, 365*day)
	c.roots("jwks.ca_pem", j.GetCaPem())
	c.duration("clock_skew", m.GetClockSkew(), 0, 10*time.Minute)
	c.duration("max_lifetime", m.GetMaxLifetime(), 0, 10*365*day)
	c.introspection(m)
	c.text("subscription_claim", m.GetSubscriptionClaim(), false)
	locals := map[string]bool{}
	c.list("claim_mappings", len(m.GetClaimMappings()))
	for i, cm := range m.GetClaimMappings() {
		field := fmt.Sprintf("claim_mappings[%d]", i)
		c.text(field+".remote", cm.GetRemote(), true)
		c.text(field+".local", cm.GetLocal(), true)
		if locals[cm.GetLocal()] {
			c.bad(field+".local", "%q is written twice", cm.GetLocal())
		}
		locals[cm.GetLocal()] = true
	}
}

func (c checker) introspection(m *pb.Issuer) {
	i := m.GetIntrospection()
	if i == nil {
		return
	}
	if i.GetUrl() != "" {
		c.url("introspection.url", i.GetUrl(), true)
	} else if !m.GetDiscovery() {
		c.hint("introspection.url", "or set discovery: true", "is required")
	}
	c.text("introspection.client_id", i.GetClientId(), true)
	switch secret, key := i.GetClientSecret(), i.GetPrivateKey(); {
	case secret == nil && key == nil:
		c.hint("introspection", "write client_secret or private_key", "the gateway must authenticate itself (RFC 7662 section 2.1)")
	case secret != nil && key != nil:
		c.bad("introspection", "has both client_secret and private_key")
	case secret != nil:
		c.secret("introspection.client_secret", secret)
	default:
		c.secret("introspection.private_key", key)
	}
	c.duration("introspection.timeout", i.GetTimeout(), time.Millisecond, 30*time.Second)
	c.duration("introspection.cache_ttl", i.GetCacheTtl(), 0, time.Hour)
	c.roots("introspection.ca_pem", i.GetCaPem())
}

func (c checker) secret(field string, s *pb.Secret) {
	if s.GetValue() == "" && s.GetEnv() == "" && s.GetFile() == "" {
		c.bad(field, "one of value, env and file is needed")
	}
}

func (c checker) keys(m *pb.Issuer) {
	k := m.GetKeys()
	if m.GetIntrospection() != nil && k == nil {
		return // its tokens are asked about, not verified
	}
	if len(k.GetJwksUrls())+len(k.GetPem())+len(k.GetHmacSecrets()) == 0 && k.GetJwks() == nil && !m.GetDiscovery() {
		c.hint("keys", "write keys.jwks_urls, keys.pem, keys.hmac_secrets or keys.jwks, or set discovery", "an issuer without keys accepts nothing")
	}
	c.texts("keys.jwks_urls", k.GetJwksUrls())
	for i, u := range k.GetJwksUrls() {
		c.url(fmt.Sprintf("keys.jwks_urls[%d]", i), u, true)
	}
	c.list("keys.pem", len(k.GetPem()))
	c.list("keys.hmac_secrets", len(k.GetHmacSecrets()))
	if m.GetDiscovery() {
		c.url("issuer", m.GetIssuer(), true)
	}
	if slices.ContainsFunc(k.GetHmacSecrets(), func(s *pb.HmacSecret) bool { return s.GetValue() == maskedSecret }) {
		return // keepSecrets puts the secret in, which was checked when it was set
	}
	_, err := keyset.FromIssuer(m, nil, keyset.Secrets{})
	if faults, ok := errors.AsType[keyset.Faults](err); ok {
		for _, f := range faults {
			c.bad(f.Field, "%v", f.Err)
		}
	} else if err != nil {
		c.bad("keys", "%v", err)
	}
}

// keepSecrets puts the secrets back that answers show masked.
func (d *Draft) keepSecrets(ref catalog.Ref, n, old *pb.Issuer) {
	before := old.GetKeys().GetHmacSecrets()
	for i, s := range n.GetKeys().GetHmacSecrets() {
		if s.GetValue() != maskedSecret {
			continue
		}
		if i >= len(before) || before[i].GetValue() == "" {
			d.problem(ref, fmt.Sprintf("keys.hmac_secrets[%d].value", i), Invalid,
				"is the mask that answers show instead of a secret, and there is no secret to keep", "write the secret itself")
			continue
		}
		s.Source = &pb.HmacSecret_Value{Value: before[i].GetValue()}
	}
	now, was := n.GetIntrospection(), old.GetIntrospection()
	d.keepSecret(ref, "introspection.client_secret", now.GetClientSecret(), was.GetClientSecret())
	d.keepSecret(ref, "introspection.private_key", now.GetPrivateKey(), was.GetPrivateKey())
}

func (d *Draft) keepSecret(ref catalog.Ref, field string, n, old *pb.Secret) {
	switch {
	case n.GetValue() != maskedSecret:
	case old.GetValue() == "":
		d.problem(ref, field+".value", Invalid,
			"is the mask that answers show instead of a secret, and there is no secret to keep", "write the secret itself")
	default:
		n.Source = &pb.Secret_Value{Value: old.GetValue()}
	}
}

// url checks an absolute http or https URL. With query, it may have one.
func (c checker) url(field, text string, query bool) {
	u, err := url.Parse(text)
	switch {
	case err != nil && strings.Contains(text, "://"):
		c.bad(field, "%.200q is not a URL", text)
	case err != nil || u.Scheme != "http" && u.Scheme != "https": // such as 10.0.0.1:8080
		c.hint(field, "write http://… or https://…", "%.200q is not an absolute http or https URL", text)
	case u.Hostname() == "":
		c.bad(field, "%.200q names no host", text)
	case u.User != nil:
		c.bad(field, "holds a user name or password")
	case u.Fragment != "" || u.RawQuery != "" && !query:
		c.bad(field, "%.200q has a query or fragment", text)
	}
}

func (c checker) roots(field, pem string) {
	if pem != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		c.bad(field, "holds no certificate in PEM")
	}
}

// Patterns of the schema, compiled where they are used: validation is not hot.
const (
	pathPattern  = `^/$|^(/[A-Za-z0-9._~!$&'()*+,=:@-]+)+$`
	hostPattern  = `^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`
	tokenPattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$" // RFC 9110 section 5.6.2
	scopePattern = `^[\x21\x23-\x5b\x5d-\x7e]{1,256}$`   // RFC 6749 section 3.3
)

func matches(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }

// dotSegment reports whether a path has a segment that normalisation would resolve.
func dotSegment(path string) bool {
	for s := range strings.SplitSeq(path, "/") {
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

func (c checker) api(m *pb.Api) {
	c.text("name", m.GetName(), false)
	c.text("version", m.GetVersion(), false)
	c.text("description", m.GetDescription(), false)
	switch p := m.GetContextPath(); {
	case p == "":
		c.hint("context_path", "write /"+c.ref.ID, "is required")
	case !strings.HasPrefix(p, "/"):
		c.hint("context_path", "write /"+strings.TrimSuffix(p, "/"), "%.200q does not start with a slash", p)
	case p != "/" && strings.HasSuffix(p, "/"):
		c.hint("context_path", "write "+strings.TrimRight(p, "/"), "%.200q ends with a slash", p)
	case len(p) > 1024 || dotSegment(p) || !matches(pathPattern, p):
		c.bad("context_path", "%.200q is not a canonical path: segments of letters, digits and -._~!$&'()*+,=:@", p)
	case reservedPath(p):
		c.bad("context_path", "%.200q is where gateways answer themselves", p)
	}
	c.texts("hosts", m.GetHosts())
	for i, h := range m.GetHosts() {
		if len(h) > 253 || !matches(hostPattern, h) {
			c.hint(fmt.Sprintf("hosts[%d]", i), "no scheme, port or path", "%.200q is neither a host name nor *.suffix", h)
		}
	}
	c.upstream(m.GetUpstream())
	if p := m.GetProtectedResource(); p != nil {
		c.url("protected_resource.resource", p.GetResource(), false)
		if d := p.GetDocumentation(); d != "" {
			c.url("protected_resource.documentation", d, true)
		}
	}
}

func (c checker) upstream(u *pb.Upstream) {
	if len(u.GetTargets()) == 0 {
		c.bad("upstream.targets", "at least one target is required")
	}
	c.targets("upstream.targets", u.GetTargets())
	c.targets("upstream.sandbox_targets", u.GetSandboxTargets())
	c.duration("upstream.connect_timeout", u.GetConnectTimeout(), time.Millisecond, 10*time.Minute)
	c.duration("upstream.response_timeout", u.GetResponseTimeout(), time.Millisecond, time.Hour)
	if b := u.GetMaxRequestBody(); b != nil && (b.GetBytes() == 0 || b.GetBytes() > maxRequestBody) {
		c.bad("upstream.max_request_body", "is %d bytes; 1 to %d are allowed", b.GetBytes(), int64(maxRequestBody))
	}
	c.roots("upstream.tls.ca_pem", u.GetTls().GetCaPem())
	if n := u.GetTls().GetServerName(); n != "" && !matches(hostPattern, n) {
		c.bad("upstream.tls.server_name", "%.200q is not a host name", n)
	}
}

func (c checker) targets(list string, targets []*pb.Target) {
	c.list(list, len(targets))
	total := 0
	for i, t := range targets {
		field := fmt.Sprintf("%s[%d]", list, i)
		c.url(field+".url", t.GetUrl(), false)
		weight := 1
		if t.Weight != nil {
			weight = int(t.GetWeight())
		}
		if weight > 1_000_000 {
			c.bad(field+".weight", "is %d; at most 1000000", weight)
		}
		total += weight
	}
	if total == 0 && len(targets) > 0 {
		c.bad(list, "all weights are 0")
	}
}

// nearestHint names the nearest existing id, among few enough to look through.
func (d *Draft) nearestHint(ref catalog.Ref) string {
	if d.base.Len(ref.Kind) > maxList {
		return ""
	}
	best, distance := "", 4
	consider := func(id string) {
		if n := levenshtein.ComputeDistance(id, ref.ID); n < distance {
			best, distance = id, n
		}
	}
	for r := range d.base.All(ref.Kind) {
		consider(r.Ref().ID)
	}
	for p := range d.puts {
		if p.Kind == ref.Kind {
			consider(p.ID)
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}
