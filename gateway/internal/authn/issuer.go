package authn

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/introspect"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Issuer is a token issuer with its keys, compiled. Another pointer means other
// settings or other keys. Of one pointer nothing changes, but for how long its
// keys may be used (see Renew).
type Issuer struct {
	settings    *pb.Issuer // what it was compiled from
	id, iss     string
	keys        atomic.Pointer[keyset.Set]
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
	wantsExpiry          bool // says itself that tokens must have exp: introspected ones, too
	validateSubscription bool
	rfc9068              bool
	// introspection is how its server is asked about tokens; nil: it is not.
	introspection *introspect.Settings
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
	introspection, err := introspect.Compile(issuer, secrets)
	if err != nil {
		return nil, errors.New("compile issuer " + issuer.GetId() + ": " + err.Error())
	}
	if issuer.GetProfile() != pb.Issuer_ANY && issuer.GetProfile() != pb.Issuer_RFC9068 {
		return nil, errors.New("compile issuer " + issuer.GetId() + ": profile: it is not one that this version knows")
	}
	i := &Issuer{
		settings: proto.CloneOf(issuer),
		id:       issuer.GetId(), iss: issuer.GetIssuer(), algorithms: algorithms,
		audiences:            slices.Clone(issuer.GetAudiences()),
		clientID:             slices.Clone(issuer.GetClientIdClaims()),
		skew:                 issuer.GetClockSkew().GetSeconds(),
		maxLifetime:          issuer.GetMaxLifetime().GetSeconds(),
		subscriptions:        issuer.GetSubscriptionClaim(),
		requireExpiry:        issuer.RequireExpiry == nil || issuer.GetRequireExpiry(),
		wantsExpiry:          issuer.GetRequireExpiry(),
		rfc9068:              issuer.GetProfile() == pb.Issuer_RFC9068,
		introspection:        introspection,
		validateSubscription: issuer.ValidateSubscription == nil || issuer.GetValidateSubscription(),
		remote:               issuer.GetDiscovery() || len(issuer.GetKeys().GetJwksUrls()) > 0,
		fetched:              len(keyset.Sources(issuer, fetched)) > 0,
	}
	i.keys.Store(keys)
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

// Renew takes over the keys of next, if next differs from i in nothing but that
// keys may be used for longer, and tells whether it did. So a key set that was
// fetched again and is the same does not end what was validated with it.
func (i *Issuer) Renew(next *Issuer) bool {
	if i.fetched != next.fetched || !proto.Equal(i.settings, next.settings) || !next.Keys().Extends(i.Keys()) {
		return false
	}
	i.keys.Store(next.Keys())
	return true
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
func (i *Issuer) Keys() *keyset.Set { return i.keys.Load() }

// HasKeys tells whether a token of the issuer could be verified at all: it has
// configured keys, or a key set was fetched at least once.
func (i *Issuer) HasKeys() bool { return i.fetched || i.Keys().Len() > 0 }

// Keyring is all issuers in force. It is immutable.
type Keyring struct {
	byName  map[string]*Issuer
	byID    map[string]*Issuer
	members map[*Issuer]struct{}
}

// NewKeyring makes a keyring. Of several issuers of one name, which the catalog
// does not allow, the one with the least id counts.
func NewKeyring(issuers []*Issuer) *Keyring {
	r := &Keyring{byName: make(map[string]*Issuer, len(issuers)), byID: make(map[string]*Issuer, len(issuers)), members: make(map[*Issuer]struct{}, len(issuers))}
	for _, issuer := range issuers {
		if had := r.byName[issuer.iss]; had == nil || issuer.id < had.id {
			r.byName[issuer.iss] = issuer
		}
	}
	for _, issuer := range r.byName {
		r.members[issuer] = struct{}{}
		r.byID[issuer.id] = issuer
	}
	return r
}

// ByID finds an issuer by its id.
func (r *Keyring) ByID(id string) (*Issuer, bool) {
	issuer, ok := r.byID[id]
	return issuer, ok
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
