package authn

import (
	"slices"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// kind is what a token is.
type kind uint8

const (
	access kind = iota // or nobody can tell
	identity
	refresh
	logout
	other
)

// Reasons of tokens that are no access tokens (RFC 8725 section 3.11).
//
//nolint:gochecknoglobals // constants
var (
	reasonIdentity = reason{cause.TokenKind, "the token says that it is an identity token, which is no access token; accept: [ID_TOKEN] of the issuer would let it pass"}
	reasonRefresh  = reason{cause.TokenKind, "the token says that it is a refresh token, which is no access token"}
	reasonLogout   = reason{cause.TokenKind, "the token says that it is a logout token, which is no access token"}
	reasonForeign  = reason{cause.TokenKind, "the token says that it is of another kind than an access token: a proof, an event, an answer, a credential or the like"}
	reasonMarks    = reason{cause.TokenKind, "the token has nonce, at_hash, c_hash or s_hash, so it is an identity token: the issuer has refuse_id_token_claims"}
)

// logoutEventClaim marks a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4).
const logoutEventClaim = "events.http://schemas.openid.net/event/backchannel-logout"

// refuseKind returns why the issuer does not take a token of this kind; none: it does.
func (i *Issuer) refuseKind(k kind) reason {
	accepts := func(k pb.Issuer_TokenKind) bool { return slices.Contains(i.def.Accept, k) }
	switch k {
	case access:
		return none
	case identity:
		if accepts(pb.Issuer_ID_TOKEN) {
			return none
		}
		return reasonIdentity
	case refresh:
		if accepts(pb.Issuer_REFRESH_TOKEN) {
			return none
		}
		return reasonRefresh
	case logout:
		if accepts(pb.Issuer_LOGOUT_TOKEN) {
			return none
		}
		return reasonLogout
	case other:
	}
	return reasonForeign
}

// refuseByKind returns why a JWT is no access token; none: it is, or nobody can tell. A
// type that the issuer's token_types name is good, whatever it is.
func (i *Issuer) refuseByKind(u *token.Unverified) reason {
	if len(i.def.TokenTypes) == 0 {
		if why := i.refuseKind(kindOfType(token.MediaType(u.Type))); why != none {
			return why
		}
	}
	return i.refuseByClaims(u.Claims)
}

// refuseByClaims returns why a token is none that the issuer takes, by claims that tell
// kinds apart, before any mapping.
func (i *Issuer) refuseByClaims(claims *token.Claims) reason {
	if claims.Has(logoutEventClaim) {
		if why := i.refuseKind(logout); why != none {
			return why
		}
	}
	for _, name := range []string{"typ", "token_use", "token_type"} {
		text, _ := claims.Text(name)
		if why := i.refuseKind(kindOfClaim(text)); why != none {
			return why
		}
	}
	if i.def.RefuseIDTokenClaims && slices.ContainsFunc([]string{"nonce", "at_hash", "c_hash", "s_hash"}, claims.Has) {
		return reasonMarks
	}
	return none
}

// kindOfClaim reads the claims by which providers tell their tokens apart: typ of
// Keycloak, token_use of Amazon Cognito, token_type of RFC 7662 section 2.2 and of
// others, with the names of RFC 8693 section 3.
func kindOfClaim(text string) kind {
	text = strings.ToLower(text)
	switch strings.TrimPrefix(text, "urn:ietf:params:oauth:token-type:") {
	case "id", "id_token", "serialized-id":
		return identity
	case "refresh", "refresh_token", "offline", "offline_token":
		return refresh
	case "logout", "logout_token":
		return logout
	case "initialaccesstoken", "registrationaccesstoken": // of Keycloak's client registration
		return other
	}
	// As a claim, other words than media types may mean anything.
	if strings.HasSuffix(text, "+jwt") {
		return kindOfType(token.MediaType(text))
	}
	return access
}

// kindOfType reads a media type as typ has it. RFC 8725 section 3.11 asks for such types,
// so that no kind of token is taken for another. at+jwt is that of access tokens (RFC 9068).
func kindOfType(typ string) kind {
	switch typ {
	case "id_token+jwt", "id+jwt":
		return identity
	case "rt+jwt", "refresh+jwt":
		return refresh
	case "logout+jwt": // OpenID Connect Back-Channel Logout 1.0
		return logout
	case "dpop+jwt", // RFC 9449
		"secevent+jwt",            // RFC 8417
		"token-introspection+jwt", // RFC 9701
		"oauth-authz-req+jwt",     // RFC 9101
		"passport",                // RFC 8225
		"kb+jwt", "sd-jwt",        // RFC 9901
		"dc+sd-jwt", "vc+sd-jwt", "vc+jwt", "vp+sd-jwt", "vp+jwt", "vc-ld+jwt", "vp-ld+jwt", // W3C VC-JOSE-COSE and SD-JWT VC
		"client-authentication+jwt", "authorization-grant+jwt", // RFC 7523bis
		"oauth-client-attestation+jwt", "oauth-client-attestation-pop+jwt",
		"oauth-id-jag+jwt", "txntoken+jwt", "wit+jwt", "wpt+jwt", "statuslist+jwt", "userinfo+jwt", "jwk-set+jwt",
		// OpenID Federation 1.0
		"entity-statement+jwt", "trust-mark+jwt", "trust-mark-delegation+jwt", "trust-mark-status-response+jwt",
		"resolve-response+jwt", "explicit-registration-response+jwt",
		// OpenID for Verifiable Credentials
		"openid4vci-proof+jwt", "openid4vci-issuer-metadata+jwt", "key-attestation+jwt", "keyattestation+jwt", "verifier-attestation+jwt":
		return other
	}
	return access
}
