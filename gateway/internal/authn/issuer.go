package authn

import (
	"errors"
	"slices"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Issuer is a token issuer with its keys, compiled. It is immutable; another
// pointer means other settings or other keys.
type Issuer struct {
	id, iss     string
	keys        *keyset.Set
	algorithms  keyset.Algorithms
	audiences   []string
	types       []string // as normalType returns them
	clientID    []string
	mappings    []token.Mapping
	skew        int64 // seconds
	maxLifetime int64 // seconds; 0: no limit

	// subscriptions is the claim that lists the Apis a client is subscribed to; empty: none does.
	subscriptions string

	requireExpiry        bool
	validateSubscription bool
	// remote: keys come from URLs. fetched: at least one of them was had.
	remote, fetched bool
}

// NewIssuer compiles an issuer with the keys that were fetched for it; fetched is
// nil if there are none. The error names the field that is wrong.
func NewIssuer(issuer *pb.Issuer, fetched *pb.KeySet, secrets keyset.Secrets) (*Issuer, error) {
	if issuer.GetIssuer() == "" {
		return nil, errors.New("compile issuer " + issuer.GetId() + ": issuer is empty")
	}
	keys, err := keyset.FromIssuer(issuer, fetched, secrets)
	if err != nil {
		return nil, errors.New("compile issuer " + issuer.GetId() + ": " + err.Error())
	}
	algorithms, err := keyset.ParseAlgorithms(issuer.GetAlgorithms())
	if err != nil {
		return nil, errors.New("compile issuer " + issuer.GetId() + ": " + err.Error())
	}
	i := &Issuer{
		id: issuer.GetId(), iss: issuer.GetIssuer(), keys: keys, algorithms: algorithms,
		audiences:            slices.Clone(issuer.GetAudiences()),
		clientID:             slices.Clone(issuer.GetClientIdClaims()),
		skew:                 issuer.GetClockSkew().GetSeconds(),
		maxLifetime:          issuer.GetMaxLifetime().GetSeconds(),
		subscriptions:        issuer.GetSubscriptionClaim(),
		requireExpiry:        issuer.RequireExpiry == nil || issuer.GetRequireExpiry(),
		validateSubscription: issuer.ValidateSubscription == nil || issuer.GetValidateSubscription(),
		remote:               issuer.GetDiscovery() || len(issuer.GetKeys().GetJwksUrls()) > 0,
		fetched:              len(keyset.Sources(issuer, fetched)) > 0,
	}
	if len(i.clientID) == 0 {
		i.clientID = []string{"azp", "client_id"}
	}
	for _, typ := range issuer.GetTokenTypes() {
		i.types = append(i.types, normalType(typ))
	}
	for _, m := range issuer.GetClaimMappings() {
		if m.GetLocal() == "iss" || m.GetRemote() == "iss" {
			return nil, errors.New("compile issuer " + issuer.GetId() + ": claim_mappings: iss cannot be mapped")
		}
		i.mappings = append(i.mappings, token.Mapping{Remote: m.GetRemote(), Local: m.GetLocal()})
	}
	return i, nil
}

// ID is the Issuer's id, which plans name.
func (i *Issuer) ID() string { return i.id }

// Name is the exact `iss` of its tokens.
func (i *Issuer) Name() string { return i.iss }

// ValidateSubscription tells whether its clients need subscriptions.
func (i *Issuer) ValidateSubscription() bool { return i.validateSubscription }

// SubscriptionClaim is the claim that is trusted in place of subscriptions; empty: none is.
func (i *Issuer) SubscriptionClaim() string { return i.subscriptions }

// Keys are the keys in force, for looking at.
func (i *Issuer) Keys() *keyset.Set { return i.keys }

// HasKeys tells whether a token of the issuer could be verified at all: it has
// configured keys, or a key set was fetched at least once.
func (i *Issuer) HasKeys() bool { return i.fetched || i.keys.Len() > 0 }

// Keyring is all issuers in force. It is immutable.
type Keyring struct {
	byName  map[string]*Issuer
	members map[*Issuer]struct{}
}

// NewKeyring makes a keyring. Of several issuers of one name, which the catalog
// does not allow, the one with the least id counts.
func NewKeyring(issuers []*Issuer) *Keyring {
	r := &Keyring{byName: make(map[string]*Issuer, len(issuers)), members: make(map[*Issuer]struct{}, len(issuers))}
	for _, issuer := range issuers {
		if had := r.byName[issuer.iss]; had == nil || issuer.id < had.id {
			r.byName[issuer.iss] = issuer
		}
	}
	for _, issuer := range r.byName {
		r.members[issuer] = struct{}{}
	}
	return r
}

// Issuer finds an issuer by the exact `iss` of its tokens.
func (r *Keyring) Issuer(iss string) (*Issuer, bool) {
	issuer, ok := r.byName[iss]
	return issuer, ok
}

// has tells whether exactly this compiled issuer is in force.
func (r *Keyring) has(issuer *Issuer) bool { _, ok := r.members[issuer]; return ok }

// normalType writes a media type as RFC 7515 section 4.1.9 compares it: in lower
// case, and without "application/" if there is no other slash.
func normalType(typ string) string {
	typ = strings.ToLower(typ)
	if short, ok := strings.CutPrefix(typ, "application/"); ok && !strings.Contains(short, "/") {
		return short
	}
	return typ
}

// isForeignType tells the kinds of token that have a type of their own and are
// not access tokens (RFC 8725 section 3.11).
func isForeignType(typ string) bool {
	switch typ {
	case "dpop+jwt", // RFC 9449
		"logout+jwt",                                           // OpenID Connect Back-Channel Logout 1.0
		"secevent+jwt",                                         // RFC 8417
		"token-introspection+jwt",                              // RFC 9701
		"oauth-authz-req+jwt",                                  // RFC 9101
		"client-authentication+jwt", "authorization-grant+jwt", // RFC 7523bis
		"oauth-client-attestation+jwt", "oauth-client-attestation-pop+jwt",
		"kb+jwt", "dc+sd-jwt", "vc+sd-jwt", "sd-jwt", "statuslist+jwt",
		"entity-statement+jwt", "trust-mark+jwt", "resolve-response+jwt", // OpenID Federation 1.0
		"openid4vci-proof+jwt", "jwk-set+jwt", "txntoken+jwt", "rt+jwt", "id_token+jwt":
		return true
	}
	return false
}
