package authn

import (
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Failure says why a token is refused. The zero value: it is not.
type Failure struct {
	// Denial is the caller's answer.
	Denial *denial.Denial
	// Reason is for the operator. It holds nothing of the token and no secret.
	Reason string

	// costly: the refusal took a signature check.
	costly bool
}

// reason is why a token is refused: the cause, and what it means here in words.
type reason struct {
	cause cause.Cause
	text  string
}

// Reasons that are not one of package token's errors.
//
//nolint:gochecknoglobals // constants
var (
	none              reason // nothing speaks against the token
	reasonIssuer      = reason{cause.IssuerUnknown, "no configured issuer has the token's iss"}
	reasonAmbiguous   = reason{cause.IssuerAmbiguous, "the token has no iss, and another issuer with no_issuer has the key that verified it"}
	reasonTenant      = reason{cause.Tenant, "the tenant that iss names is not one of the issuer's tenants"}
	reasonTenantID    = reason{cause.Tenant, "tid is not the tenant that iss names"}
	reasonKeyIssuer   = reason{cause.KeyIssuer, "the key set binds the key that verified the token to another issuer"}
	reasonAlgorithm   = reason{cause.Algorithm, "alg is not one of the issuer's algorithms"}
	reasonType        = reason{cause.Type, "typ is not one of the issuer's token_types"}
	reasonAudience    = reason{cause.Audience, "aud has none of the issuer's audiences"}
	reasonNoExpiry    = reason{cause.NoExpiry, "exp is absent and the issuer requires it"}
	reasonNotBefore   = reason{cause.NotYetValid, "nbf is in the future"}
	reasonIssuedAt    = reason{cause.IssuedInFuture, "iat is in the future"}
	reasonLifetime    = reason{cause.Lifetime, "the token lives longer than the issuer's max_lifetime"}
	reasonProfileType = reason{cause.Profile, "typ is not at+jwt, which the issuer's profile RFC9068 asks for"}
	reasonProfile     = reason{cause.Profile, "one of iss, exp, aud, sub, client_id, iat and jti is absent, which the issuer's profile RFC9068 asks for"}
	reasonExpired     = reason{cause.Expired, "exp has passed"}
	reasonNoKeys      = reason{cause.KeysUnavailable, "no keys were fetched yet for the issuer with its present settings"}
)

// because makes an error of package token a reason.
func because(err error) reason {
	if e, ok := errors.AsType[token.Error](err); ok {
		return reason{e.Cause(), e.Error()}
	}
	return reason{cause.Malformed, err.Error()} // BUG: it has no others
}

// refuse makes the reason the Failure of a bad token; costly as in Failure.
func (r reason) refuse(costly bool) Failure {
	return Failure{Denial: denial.InvalidToken.Because(r.cause), Reason: r.text, costly: costly}
}

// tooLong refuses a token by its size alone. It is no token that is bad: a client that
// gets another one, as it does after invalid_token, gets one that is as long.
func tooLong() Failure {
	return Failure{Denial: denial.TokenTooLong.Because(cause.TooLong), Reason: token.ErrSize.Error()}
}

// draft is a token while it is checked.
type draft struct {
	issuer     *Issuer
	unverified *token.Unverified
	claims     *token.Claims
	registered token.Registered
	clientID   string
	tenant     string
	binding    Binding
}

// check validates a token in full. Everything that can refuse it without a
// signature check does so first; only that it has expired is said after the
// signature has shown that it ever was good. signed is what is known of the signature
// from before; nil: nothing.
func (a *Authenticator) check(ring *Keyring, compact []byte, now int64, signed *signature) (*Token, Failure) {
	a.validations.Add(1)
	unverified, err := token.ParseLimit(compact, a.cfg.MaxTokenBytes)
	if errors.Is(err, token.ErrSize) {
		return nil, tooLong()
	}
	if err != nil {
		return nil, because(err).refuse(false)
	}
	if len(ring.unnamed) > 0 && !unverified.Claims.Has("iss") {
		return a.checkUnnamed(ring, unverified, compact, now, signed)
	}
	issuer, ok := ring.Issuer(unverified.Registered.Issuer)
	if !ok {
		return nil, reasonIssuer.refuse(false)
	}
	return a.checkOf(issuer, unverified, compact, now, signed)
}

// checkUnnamed validates a token without iss: its key says whose it is. A key that
// several issuers have says nothing.
func (a *Authenticator) checkUnnamed(ring *Keyring, unverified *token.Unverified, compact []byte, now int64, signed *signature) (*Token, Failure) {
	var refused Failure
	for _, issuer := range ring.unnamed {
		t, failure := a.checkOf(issuer, unverified, compact, now, signed)
		switch {
		case failure.Denial == nil && ring.ambiguous(issuer, t.key):
			return nil, reasonAmbiguous.refuse(true)
		case failure.Denial == nil || errors.Is(failure.Denial, denial.TokenExpired):
			return t, failure
		case failure.closer(refused):
			refused = failure
		}
	}
	return nil, refused
}

// closer reports whether f comes from an issuer that is more likely the token's
// than other's: one whose keys were tried, or could not be.
func (f Failure) closer(other Failure) bool {
	rank := func(f Failure) int {
		switch {
		case f.Denial == nil:
			return 0
		case f.costly:
			return 3
		case errors.Is(f.Denial, denial.KeysUnavailable):
			return 2
		default:
			return 1
		}
	}
	return rank(f) > rank(other)
}

// ambiguous reports whether another issuer without iss has a key of issuer, too.
func (r *Keyring) ambiguous(issuer *Issuer, key *keyset.Key) bool {
	return slices.ContainsFunc(r.unnamed, func(other *Issuer) bool { return other != issuer && other.Keys().Holds(key) })
}

// checkOf validates a token as one of this issuer.
func (a *Authenticator) checkOf(issuer *Issuer, unverified *token.Unverified, compact []byte, now int64, signed *signature) (*Token, Failure) {
	d := draft{issuer: issuer, unverified: unverified, claims: unverified.Claims, registered: unverified.Registered}
	if why := d.readTenant(); why != none {
		return nil, why.refuse(false)
	}
	if why := d.readBinding(); why != none {
		return nil, why.refuse(false)
	}
	if issuer.def.RFC9068 {
		if why := d.profile(); why != none {
			return nil, why.refuse(false)
		}
	}
	if why := d.readClaims(); why != none {
		return nil, why.refuse(false)
	}
	if why := d.refusal(now); why != none {
		return nil, why.refuse(false)
	}
	key := signed.by(issuer, now)
	if key != nil {
		a.newcomers.hits.Add(1)
	} else {
		var failure Failure
		if key, failure = a.verify(&d, now); failure.Denial != nil {
			return nil, failure
		}
	}
	if d.bound(key) {
		return nil, reasonKeyIssuer.refuse(true)
	}
	t := d.token(compact, key)
	if t.state(now) == expired {
		return nil, Failure{Denial: denial.TokenExpired, Reason: reasonExpired.text, costly: true}
	}
	return t, Failure{}
}

// readTenant finds the tenant whose token it is: the one that iss names, and tid as
// well. It is read before claims are renamed.
func (d *draft) readTenant() reason {
	tenants := d.issuer.def.Tenants
	if tenants == nil {
		return none
	}
	tenant, ok := tenants.Of(d.registered.Issuer)
	switch tid, text := d.claims.Text("tid"); {
	case !ok:
		return reasonIssuer
	case !text || tid != tenant:
		return reasonTenantID
	case !tenants.Trusts(tenant):
		return reasonTenant
	}
	d.tenant = tenant
	return none
}

// bound reports whether the key set binds a key to another issuer than the token's. A
// key for all tenants of a provider is as good for an Issuer that is one of them.
func (d *draft) bound(key *keyset.Key) bool {
	switch tenants := d.issuer.def.Tenants; {
	case key.Issuer == "":
		return false
	case tenants != nil:
		return tenants.Fill(key.Issuer, d.tenant) != d.unverified.Registered.Issuer
	default:
		return !compile.OfTenants(key.Issuer) && key.Issuer != d.unverified.Registered.Issuer
	}
}

// readClaims renames claims as the issuer's mappings say, and finds the client.
func (d *draft) readClaims() reason {
	if len(d.issuer.def.Mappings) > 0 {
		d.claims = d.claims.Rename(d.issuer.def.Mappings)
		var err error
		if d.registered, err = d.claims.Registered(); err != nil {
			return because(err)
		}
	}
	for _, path := range d.issuer.def.ClientIDClaims {
		if d.claims.Has(path) {
			// What names no client is not held against the token: without a client there is
			// no application, and so no subscription where one is needed.
			d.clientID, _ = d.claims.One(path)
			break
		}
	}
	return none
}

// refusal returns why the issuer's settings refuse the token; none: they do not.
func (d *draft) refusal(now int64) reason {
	i := d.issuer
	switch {
	case !i.def.Algorithms.Has(d.unverified.Algorithm):
		return reasonAlgorithm
	case len(i.def.TokenTypes) > 0 && !slices.Contains(i.def.TokenTypes, token.MediaType(d.unverified.Type)):
		return reasonType
	}
	if why := i.refuseByKind(d.unverified); why != none {
		return why
	}
	if i.def.RequireExpiry && d.registered.ExpiresAt == token.Absent {
		return reasonNoExpiry
	}
	return d.refuseByAudienceAndDates(now)
}

// refuseByAudienceAndDates returns why the token is refused by its audience or its
// dates, whether it is a signed or an introspected one; none: it is not.
func (d *draft) refuseByAudienceAndDates(now int64) reason {
	i, r := d.issuer, &d.registered
	switch {
	case len(i.def.Audiences) > 0 && !slices.ContainsFunc(r.Audience, func(aud string) bool { return slices.Contains(i.def.Audiences, aud) }):
		return reasonAudience
	case r.NotBefore > now+i.def.ClockSkew:
		return reasonNotBefore
	case r.IssuedAt > now+i.def.ClockSkew:
		return reasonIssuedAt
	case i.def.MaxLifetime > 0 && !d.shortLived(now):
		return reasonLifetime
	}
	return none
}

// profile checks what RFC 9068 sections 2.1 and 2.2 promise, by the claims' own
// names, before any mapping; none: all of it is there.
func (d *draft) profile() reason {
	if token.MediaType(d.unverified.Type) != "at+jwt" {
		return reasonProfileType
	}
	r := &d.registered
	client, _ := d.claims.Text("client_id")
	if r.Issuer == "" || r.ExpiresAt == token.Absent || len(r.Audience) == 0 || r.Subject == "" || client == "" || r.IssuedAt == token.Absent || r.ID == "" {
		return reasonProfile
	}
	return none
}

// shortLived holds exp against iat, or against now if the token has no iat.
func (d *draft) shortLived(now int64) bool {
	from := d.registered.IssuedAt
	if from == token.Absent {
		from = now
	}
	return d.registered.ExpiresAt != token.Absent && d.registered.ExpiresAt-from <= d.issuer.def.MaxLifetime
}

// signedBy checks the signature when it is its turn.
func (a *Authenticator) signedBy(unverified *token.Unverified, keys *keyset.Set, now int64) (*keyset.Key, error) {
	defer a.verification()()
	return unverified.Verify(keys, now)
}

// verification waits for a place among the signature checks. The place must be given
// back also if a check panics: else there would be one less for good.
func (a *Authenticator) verification() (done func()) {
	a.verifying <- struct{}{}
	return a.verified
}

// verify checks the signature, a bounded number at a time.
func (a *Authenticator) verify(d *draft, now int64) (*keyset.Key, Failure) {
	keys := d.issuer.Keys()
	key, err := a.signedBy(d.unverified, keys, now)
	if err == nil {
		return key, Failure{}
	}
	i, kid := d.issuer, d.unverified.KeyID
	if i.def.Remote && d.unverified.Algorithm < keyset.HS256 {
		if kid != "" && (err == token.ErrKeyDates || !keys.HasID(kid)) { //nolint:errorlint // a constant, never wrapped
			a.unknownKey(i.def.ID, now)
		}
		if !i.def.Fetched {
			return nil, Failure{Denial: denial.KeysUnavailable, Reason: reasonNoKeys.text}
		}
	}
	return nil, because(err).refuse(err == token.ErrSignature || err == token.ErrUntried) //nolint:errorlint // as above
}

func (d *draft) token(compact []byte, key *keyset.Key) *Token {
	_, until := key.Validity()
	t := &Token{
		Issuer: d.issuer, ClientID: d.clientID, Subject: d.registered.Subject, JTI: d.registered.ID, Claims: d.claims, Binding: d.binding,
		IssuedAt: present(d.registered.IssuedAt), NotBefore: present(d.registered.NotBefore), ExpiresAt: end(d.registered.ExpiresAt),
		SHA256: sha256.Sum256(compact), KeyID: d.unverified.KeyID, Type: d.unverified.Type, Key: key.Origin, key: key, keyUntil: until,
	}
	if twin, ok := d.unverified.Twin(); ok {
		t.twin[0] = twin
		t.OtherSHA256 = t.twin[:]
	}
	return t
}

// end is present for exp. A token that ended at 0 has ended, although 0 stands
// for one that does not.
func end(date int64) int64 {
	if date == 0 {
		return 1
	}
	return present(date)
}

func present(date int64) int64 {
	if date == token.Absent {
		return 0
	}
	return date
}
