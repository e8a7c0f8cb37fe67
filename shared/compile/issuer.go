package compile

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/introspect"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Issuer is a token issuer with its keys, ready to judge tokens. Immutable.
type Issuer struct {
	// Settings are what it was compiled from.
	Settings *pb.Issuer
	ID       string
	// Name is the exact `iss` of its tokens, if there are no Tenants; empty: they have none.
	Name string
	// Tenants each have an iss of their own; nil: there are none.
	Tenants    *Tenants
	Keys       *keyset.Set
	Algorithms keyset.Algorithms
	// Audiences are those of which a token must name one; empty: any.
	Audiences []string
	// TokenTypes are the values of typ that its tokens may have, as
	// token.MediaType writes them; empty: any that no other kind of token has.
	TokenTypes []string
	// ClientIDClaims name the client, the first one present counts.
	ClientIDClaims []string
	Mappings       []token.Mapping
	// ClockSkew and MaxLifetime are seconds; no MaxLifetime: 0.
	ClockSkew, MaxLifetime int64
	// SubscriptionClaim lists the Apis a client is subscribed to; empty: none does.
	SubscriptionClaim string
	// RequireExpiry: JWTs need exp. IntrospectedExpiry: introspected tokens, too.
	RequireExpiry, IntrospectedExpiry bool
	// ValidateSubscription: its clients need subscriptions.
	ValidateSubscription bool
	// RFC9068: its tokens follow that profile.
	RFC9068 bool
	// Accept are the kinds of token that pass for access tokens.
	Accept []pb.Issuer_TokenKind
	// RefuseIDTokenClaims: what has claims of an identity token is one.
	RefuseIDTokenClaims bool
	// Introspection is how its server is asked about tokens; nil: it is not.
	Introspection *introspect.Settings
	// Remote: keys come from URLs. Fetched: at least one of them was had.
	Remote, Fetched bool
}

// NewIssuer compiles an issuer with the keys that were fetched for it; fetched is
// nil if there are none. secrets reads what the issuer names but does not hold; a
// door of secrets that is nil leaves those out, so that the control plane accepts
// secrets that only nodes have. Without faults the Issuer is not nil.
func NewIssuer(m *pb.Issuer, fetched *pb.KeySet, secrets keyset.Secrets) (*Issuer, fault.List) {
	c := checker{id: m.GetId()}
	if !c.message(m) {
		return nil, c.faults
	}
	c.issuer(m)
	keys := c.keys(m, fetched, secrets)
	algorithms, err := keyset.ParseAlgorithms(m.GetAlgorithms())
	c.key("algorithms", err)
	introspection := c.introspection(m, secrets)
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	i := &Issuer{
		Settings: proto.CloneOf(m), ID: m.GetId(), Name: m.GetIssuer(), Tenants: newTenants(m), Keys: keys, Algorithms: algorithms,
		Audiences:            slices.Clone(m.GetAudiences()),
		ClientIDClaims:       slices.Clone(m.GetClientIdClaims()),
		ClockSkew:            clockSkew(m),
		MaxLifetime:          wholeSeconds(m.GetMaxLifetime()),
		SubscriptionClaim:    m.GetSubscriptionClaim(),
		RequireExpiry:        m.RequireExpiry == nil || m.GetRequireExpiry(),
		IntrospectedExpiry:   m.GetRequireExpiry(),
		ValidateSubscription: m.ValidateSubscription == nil || m.GetValidateSubscription(),
		RFC9068:              m.GetProfile() == pb.Issuer_RFC9068,
		Accept:               slices.Clone(m.GetAccept()),
		RefuseIDTokenClaims:  m.GetRefuseIdTokenClaims(),
		Introspection:        introspection,
		Remote:               m.GetDiscovery() || len(m.GetKeys().GetJwksUrls()) > 0,
		Fetched:              len(keyset.Sources(m, fetched)) > 0,
	}
	if len(i.ClientIDClaims) == 0 {
		i.ClientIDClaims = []string{"azp", "client_id"}
	}
	for _, typ := range m.GetTokenTypes() {
		i.TokenTypes = append(i.TokenTypes, token.MediaType(typ))
	}
	for _, cm := range m.GetClaimMappings() {
		i.Mappings = append(i.Mappings, token.Mapping{Remote: cm.GetRemote(), Local: cm.GetLocal()})
	}
	return i, nil
}

// defaultClockSkew lets a token pass that its issuer has just made, if its clock is
// ahead of the node's. It is below the minute that most verifiers allow, because an
// expired token is good for as long.
const defaultClockSkew = 30 * time.Second

func clockSkew(m *pb.Issuer) int64 {
	if m.GetClockSkew() == nil {
		return int64(defaultClockSkew / time.Second)
	}
	return m.GetClockSkew().GetSeconds()
}

// wholeSeconds rounds up: a limit of less than a second is not none.
func wholeSeconds(d *durationpb.Duration) int64 {
	return int64((d.AsDuration() + time.Second - 1) / time.Second)
}

func (c *checker) issuer(m *pb.Issuer) {
	c.text("name", m.GetName(), false)
	c.iss(m)
	c.texts("audiences", m.GetAudiences())
	c.texts("client_id_claims", m.GetClientIdClaims())
	c.texts("token_types", m.GetTokenTypes())
	c.texts("algorithms", m.GetAlgorithms())
	c.keyServer(m)
	c.duration("clock_skew", m.GetClockSkew(), 0, 10*time.Minute)
	c.duration("max_lifetime", m.GetMaxLifetime(), 0, 10*365*day)
	c.text("subscription_claim", m.GetSubscriptionClaim(), false)
	c.claimMappings(m.GetClaimMappings())
	c.accept(m)
}

func (c *checker) accept(m *pb.Issuer) {
	for i, kind := range m.GetAccept() {
		field := fmt.Sprintf("accept[%d]", i)
		switch {
		case kind == pb.Issuer_TOKEN_KIND_UNSPECIFIED:
			c.hint(field, "one of ID_TOKEN, REFRESH_TOKEN, LOGOUT_TOKEN", "names no kind of token")
		case slices.Contains(m.GetAccept()[:i], kind):
			c.bad(field, "%s is written twice", kind)
		case kind == pb.Issuer_ID_TOKEN && m.GetRefuseIdTokenClaims():
			c.hint(field, "leave out one of the two", "ID_TOKEN is accepted, but refuse_id_token_claims refuses identity tokens")
		}
	}
}

func (c *checker) claimMappings(mappings []*pb.ClaimMapping) {
	locals := map[string]bool{}
	c.list("claim_mappings", len(mappings))
	for i, cm := range mappings {
		field := fmt.Sprintf("claim_mappings[%d]", i)
		c.text(field+".remote", cm.GetRemote(), true)
		c.text(field+".local", cm.GetLocal(), true)
		if locals[cm.GetLocal()] {
			c.bad(field+".local", "%q is written twice", cm.GetLocal())
		}
		locals[cm.GetLocal()] = true
		if cm.GetRemote() == "iss" || cm.GetLocal() == "iss" {
			c.bad(field, "iss cannot be mapped: it says whose token it is")
		}
	}
}

// keys collects the issuer's keys; nil if a configured one is faulty.
func (c *checker) keys(m *pb.Issuer, fetched *pb.KeySet, secrets keyset.Secrets) *keyset.Set {
	k := m.GetKeys()
	configured := len(k.GetJwksUrls())+len(k.GetPem())+len(k.GetHmacSecrets()) > 0 || k.GetJwks() != nil || m.GetDiscovery()
	// Tokens of an issuer with introspection may all be asked about, and none verified.
	if !configured && (m.GetIntrospection() == nil || k != nil) {
		c.hint("keys", "write keys.jwks_urls, keys.pem, keys.hmac_secrets or keys.jwks, or set discovery", "an issuer without keys accepts nothing")
	}
	c.texts("keys.jwks_urls", k.GetJwksUrls())
	for i, u := range k.GetJwksUrls() {
		c.url(fmt.Sprintf("keys.jwks_urls[%d]", i), u, true)
	}
	c.list("keys.pem", len(k.GetPem()))
	c.list("keys.hmac_secrets", len(k.GetHmacSecrets()))
	c.metadata(m)
	set, err := keyset.FromIssuer(m, fetched, secrets)
	c.key("keys", err)
	return set
}

// metadata checks where discovery looks.
func (c *checker) metadata(m *pb.Issuer) {
	switch at := m.GetMetadataUrl(); {
	case !m.GetDiscovery():
		if at != "" {
			c.hint("metadata_url", "write discovery: true", "nobody looks there without discovery")
		}
		if m.GetMetadata() != pb.Issuer_EITHER {
			c.hint("metadata", "write discovery: true", "nobody looks for them without discovery")
		}
	case at != "":
		c.url("metadata_url", at, true)
		if m.GetMetadata() != pb.Issuer_EITHER {
			c.bad("metadata", "metadata_url says where the document is already")
		}
		if strings.HasPrefix(m.GetIssuer(), "https:") && strings.HasPrefix(at, "http:") {
			c.bad("metadata_url", "is not an https URL, as the issuer is")
		}
	default:
		c.url("issuer", m.GetIssuer(), true)
	}
}

// keyServer checks how key sets are fetched.
func (c *checker) keyServer(m *pb.Issuer) {
	j := m.GetJwks()
	c.duration("jwks.ttl", j.GetTtl(), 10*time.Second, 7*day)
	c.duration("jwks.timeout", j.GetTimeout(), time.Millisecond, time.Minute)
	c.duration("jwks.max_stale", j.GetMaxStale(), 0, 365*day)
	c.roots("jwks.ca_pem", j.GetCaPem())
	if j.GetBearerToken() == nil && j.GetClientKey() == nil && j.GetClientCertPem() == "" {
		return
	}
	c.onlyHTTPS(m)
	if j.GetBearerToken() != nil {
		token := c.secret("jwks.bearer_token", j.GetBearerToken())
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			c.bad("jwks.bearer_token", "has a character that no bearer token has")
		}
	}
	switch cert := j.GetClientCertPem(); {
	case cert == "":
		if j.GetClientKey() != nil {
			c.bad("jwks.client_cert_pem", "is needed with client_key")
		}
	case j.GetClientKey() == nil:
		c.bad("jwks.client_key", "is needed with client_cert_pem")
	default:
		if c.roots("jwks.client_cert_pem", cert); c.secret("jwks.client_key", j.GetClientKey()) == "" {
			break
		}
		if _, err := tls.X509KeyPair([]byte(cert), []byte(j.GetClientKey().GetValue())); err != nil {
			c.bad("jwks.client_key", "does not go with client_cert_pem: %v", err)
		}
	}
}

// onlyHTTPS checks that what says who we are is not sent to a server that nobody vouches for.
func (c *checker) onlyHTTPS(m *pb.Issuer) {
	why := "is not an https URL: jwks.bearer_token and jwks.client_key are for https servers only"
	for i, u := range m.GetKeys().GetJwksUrls() {
		if !strings.HasPrefix(u, "https:") {
			c.bad(fmt.Sprintf("keys.jwks_urls[%d]", i), "%s", why)
		}
	}
	switch {
	case !m.GetDiscovery():
		if len(m.GetKeys().GetJwksUrls()) == 0 {
			c.bad("jwks", "there is no key server: bearer_token and client_key go with jwks_urls or discovery")
		}
	case m.GetMetadataUrl() != "" && !strings.HasPrefix(m.GetMetadataUrl(), "https:"):
		c.bad("metadata_url", "%s", why)
	case m.GetMetadataUrl() == "" && !strings.HasPrefix(m.GetIssuer(), "https:"):
		c.bad("issuer", "%s", why)
	}
}

// secret checks one that this process need not have, and returns what it holds itself.
func (c *checker) secret(field string, s *pb.Secret) string {
	text, err := keyset.ReadSecret(s, keyset.Secrets{})
	if err != nil {
		c.bad(field, "%v", err)
	}
	return text
}

// key notes what keyset found; what it found twice counts once.
func (c *checker) key(field string, err error) {
	found, ok := errors.AsType[fault.List](err)
	one, single := errors.AsType[fault.Fault](err)
	switch {
	case err == nil, ok:
	case single:
		found = fault.List{one}
	default:
		c.bad(field, "%v", err)
	}
	for _, f := range found {
		if !slices.Contains(c.faults, f) {
			c.add(f)
		}
	}
}

func (c *checker) introspection(m *pb.Issuer, secrets keyset.Secrets) *introspect.Settings {
	i := m.GetIntrospection()
	if i == nil {
		return nil
	}
	before := len(c.faults)
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
	}
	c.duration("introspection.timeout", i.GetTimeout(), time.Millisecond, 30*time.Second)
	c.duration("introspection.cache_ttl", i.GetCacheTtl(), 0, time.Hour)
	c.roots("introspection.ca_pem", i.GetCaPem())
	if len(c.faults) > before {
		return nil
	}
	settings, err := introspect.Compile(m, secrets)
	if err != nil {
		field, message, _ := strings.Cut(err.Error(), ": ")
		c.bad(field, "%s", message)
	}
	return settings
}
