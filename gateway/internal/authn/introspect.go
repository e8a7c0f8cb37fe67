package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/introspect"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Reasons of introspected tokens.
//
//nolint:gochecknoglobals // constants
var (
	reasonNoIntrospection = reason{cause.IntrospectionOff, "the issuer has no introspection"}
	reasonNoToken         = reason{cause.CredentialMalformed, "the token has characters that no token has, and is not sent anywhere"}
	reasonElsewhere       = reason{cause.IssuerMismatch, "the token says that another configured issuer has made it, and is not shown to this one"}
	reasonOtherIssuer     = reason{cause.IssuerMismatch, "the introspection server's answer has another iss"}
	reasonTokenType       = reason{cause.TokenKind, "the introspection server's answer has a token_type that is not Bearer or DPoP"}
)

// inactive is a remembered refusal of one issuer's server.
type inactive struct {
	issuer *Issuer
	denial *denial.Denial
	from   int64
}

// Introspect validates a token by asking the introspection server of issuer,
// which is one of ring, at now (seconds since 1970). The error is a
// *denial.Denial: InvalidToken, TokenTooLong, TokenExpired or IntrospectionUnavailable. For a
// token that is remembered it does not allocate. compact is not kept. caller is the
// address of who sent the token, and gets its turn among others who have the server asked.
//
// What is remembered holds for this very *Issuer, and so for nothing once its
// settings or keys change: for cache_ttl what is active, for a few seconds what is not.
func (a *Authenticator) Introspect(ring *Keyring, issuer *Issuer, caller netip.Addr, compact []byte, now int64) (*Token, error) {
	if len(compact) > a.cfg.MaxTokenBytes {
		return nil, denial.TokenTooLong.Because(cause.TooLong)
	}
	hash := maphash.Bytes(a.seed, compact) ^ bits.RotateLeft64(maphash.String(a.seed, issuer.def.ID), 1)
	if t, ok := a.asked.get(hash, compact); ok {
		if t.Issuer == issuer && now < t.askAgain {
			switch t.state(now) {
			case live:
				a.askedHits.Add(1)
				return t, nil
			case expired:
				a.askedHits.Add(1)
				a.asked.remove(hash, compact)
				return nil, denial.TokenExpired
			default: // asked again
			}
		}
		a.asked.remove(hash, compact)
	}
	if d := a.knownInactive(issuer, hash, compact, now); d != nil {
		a.askedNegative.Add(1)
		return nil, d
	}
	a.askedMisses.Add(1)
	return a.inquire(ring, issuer, caller, hash, compact, now)
}

func (a *Authenticator) knownInactive(issuer *Issuer, hash uint64, compact []byte, now int64) *denial.Denial {
	r, ok := a.inactive.get(hash, compact)
	if !ok || r.issuer != issuer || now < r.from || now >= r.from+negativeTTL {
		return nil
	}
	return r.denial
}

// inquiry is the outcome of one question, with the issuer it holds for.
type inquiry struct {
	issuer *Issuer
	token  *Token
	fail   Failure
}

// inquire asks about a token that is not remembered. Requests that carry it at
// the same moment share the answer, unless they see different settings.
func (a *Authenticator) inquire(ring *Keyring, issuer *Issuer, caller netip.Addr, hash uint64, compact []byte, now int64) (*Token, error) {
	own := string(compact) // outlives the request
	shared, _, _ := a.inquiries.Do(issuer.def.ID+"\x00"+own, func() (any, error) {
		// Another flight may have landed after this request looked.
		if t, ok := a.asked.get(hash, compact); ok && t.Issuer == issuer && now < t.askAgain && t.state(now) == live {
			return inquiry{issuer: issuer, token: t}, nil
		}
		if known := a.knownInactive(issuer, hash, compact, now); known != nil {
			return inquiry{issuer: issuer, fail: Failure{Denial: known}}, nil //nolint:nilerr // the refusal is the result
		}
		t, fail := a.ExplainIntrospection(ring, issuer, caller, compact, now)
		switch {
		case fail.Denial == nil && t.askAgain > now:
			a.asked.put(hash, own, t, t.size(len(compact)))
		case fail.costly:
			a.inactive.put(hash, own, inactive{issuer, fail.Denial, now}, len(compact)+128)
		}
		return inquiry{issuer, t, fail}, nil
	})
	done, ok := shared.(inquiry)
	if !ok || done.issuer != issuer {
		t, fail := a.ExplainIntrospection(ring, issuer, caller, compact, now)
		done = inquiry{issuer, t, fail}
	}
	if done.fail.Denial != nil {
		return nil, done.fail.Denial
	}
	return done.token, nil
}

// ExplainIntrospection is Introspect without any cache, and says why a token is refused.
func (a *Authenticator) ExplainIntrospection(ring *Keyring, issuer *Issuer, caller netip.Addr, compact []byte, now int64) (*Token, Failure) {
	if issuer.def.Introspection != nil && len(compact) > a.cfg.MaxTokenBytes {
		return nil, tooLong()
	}
	if why := a.refuseToAsk(ring, issuer, compact, now); why != none {
		return nil, why.refuse(false)
	}
	others, err := token.OtherSpellings(compact)
	if err != nil {
		return nil, because(err).refuse(false)
	}
	answer, err := a.servers.Client(issuer.def.Introspection).Ask(context.Background(), caller, string(compact))
	a.countOutcome(err)
	if err != nil {
		if failure, ok := errors.AsType[*introspect.Error](err); ok {
			return nil, Failure{Denial: denial.IntrospectionUnavailable.Because(failure.Cause()), Reason: failure.Error(), costly: failure.Lasting}
		}
		return nil, Failure{Denial: denial.InvalidToken.Because(cause.Inactive), Reason: err.Error(), costly: true}
	}
	d := draft{issuer: issuer, claims: answer.Claims, registered: answer.Registered}
	if why := d.answered(now); why != none {
		return nil, why.refuse(true)
	}
	t := &Token{
		Issuer: issuer, ClientID: d.clientID, Subject: d.registered.Subject, JTI: d.registered.ID, Claims: d.claims, Binding: d.binding,
		IssuedAt: present(d.registered.IssuedAt), NotBefore: present(d.registered.NotBefore), ExpiresAt: end(d.registered.ExpiresAt),
		SHA256: sha256.Sum256(compact), OtherSHA256: others, Key: "introspection", askAgain: now + int64(issuer.def.Introspection.TTL()/time.Second),
	}
	if t.state(now) == expired {
		return nil, Failure{Denial: denial.TokenExpired, Reason: reasonExpired.text, costly: true}
	}
	return t, Failure{}
}

// refuseToAsk returns why an issuer's server is not asked about a token; none: it is.
func (a *Authenticator) refuseToAsk(ring *Keyring, issuer *Issuer, compact []byte, now int64) reason {
	switch {
	case issuer.def.Introspection == nil:
		return reasonNoIntrospection
	case !token.IsB64Token(compact):
		return reasonNoToken
	}
	// A live token of one issuer is never shown to the server of another.
	if maker := a.Claimed(ring, compact, now); maker != nil && maker != issuer {
		return reasonElsewhere
	}
	// Servers call identity and refresh tokens active, too, and some do not say what they are.
	if jwt, err := token.ParseLimit(compact, a.cfg.MaxTokenBytes); err == nil {
		return issuer.refuseByKind(jwt)
	}
	return none
}

func (a *Authenticator) countOutcome(err error) {
	outcome := introspect.Active
	if err != nil {
		outcome = introspect.Inactive
	}
	if failure, ok := errors.AsType[*introspect.Error](err); ok {
		outcome = failure.Outcome
	}
	if n := a.outcomes[outcome]; n != nil {
		n.Add(1)
	}
}

// answered tells what the issuer's settings have against the answer of its
// introspection server; none: nothing. An answer need not say whose token it
// is, nor when it expires; what it says must be right.
func (d *draft) answered(now int64) reason {
	i := d.issuer
	if i.def.Tenants == nil && d.registered.Issuer != "" && d.registered.Issuer != i.def.Name {
		return reasonOtherIssuer
	}
	if why := d.readTenant(); why != none {
		return why
	}
	if why := i.refuseByClaims(d.claims); why != none {
		return why
	}
	if !isUsable(d.claims) {
		return reasonTokenType
	}
	if why := d.readBinding(); why != none {
		return why
	}
	if why := d.readClaims(); why != none {
		return why
	}
	if i.def.IntrospectedExpiry && d.registered.ExpiresAt == token.Absent {
		return reasonNoExpiry
	}
	return d.refuseByAudienceAndDates(now)
}

// isUsable reports whether token_type is one that a client presents as an access token
// (RFC 7662 section 2.2), or absent.
func isUsable(claims *token.Claims) bool {
	text, ok := claims.Text("token_type")
	switch strings.TrimPrefix(strings.ToLower(text), "urn:ietf:params:oauth:token-type:") {
	case "bearer", "dpop", "access_token":
		return true
	}
	return !ok || kindOfClaim(text) != access // a kind that the issuer accepts
}
