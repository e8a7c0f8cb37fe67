package authn_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// What is no access token is refused where it can be known (RFC 8725 section 3.11), unless
// the issuer accepts the kind.
func TestKinds(t *testing.T) {
	const none = pb.Issuer_TOKEN_KIND_UNSPECIFIED
	id, refresh, logout := pb.Issuer_ID_TOKEN, pb.Issuer_REFRESH_TOKEN, pb.Issuer_LOGOUT_TOKEN
	events := object{"http://schemas.openid.net/event/backchannel-logout": object{}}
	for _, c := range []struct {
		name           string
		header, claims object
		reason         string              // empty: accepted
		accept         pb.Issuer_TokenKind // lets it pass; none: nothing does
	}{
		{"RFC 9068 section 2.1", object{"typ": "at+jwt"}, nil, "", none},
		{"RFC 7519 section 5.1", object{"typ": "JWT"}, nil, "", none},
		{"Keycloak, access token", nil, object{"typ": "Bearer"}, "", none},
		{"Keycloak, access token with DPoP", nil, object{"typ": "DPoP"}, "", none},
		{"Keycloak, identity token", nil, object{"typ": "ID"}, "identity token", id},
		{"Keycloak, identity token in its session", nil, object{"typ": "Serialized-ID"}, "identity token", id},
		{"Keycloak, refresh token", nil, object{"typ": "Refresh"}, "refresh token", refresh},
		{"Keycloak, offline token", nil, object{"typ": "Offline"}, "refresh token", refresh},
		{"Keycloak, logout token", nil, object{"typ": "Logout"}, "logout token", logout},
		{"Keycloak, registration", nil, object{"typ": "RegistrationAccessToken"}, "another kind", none},
		{"Keycloak, initial access", nil, object{"typ": "InitialAccessToken"}, "another kind", none},
		{"Amazon Cognito, access token", nil, object{"token_use": "access"}, "", none},
		{"Amazon Cognito, identity token", nil, object{"token_use": "id"}, "identity token", id},
		{"RFC 8693 section 3", nil, object{"token_use": "id_token"}, "identity token", id},
		{"RFC 8693 section 3, its whole name", nil, object{"token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "refresh token", refresh},
		{"RFC 6750 section 4, token_type", nil, object{"token_type": "Bearer"}, "", none},
		{"Simple JWT of Django, access token", nil, object{"token_type": "access"}, "", none},
		{"Simple JWT of Django, refresh token", nil, object{"token_type": "refresh"}, "refresh token", refresh},
		{"typ null", nil, object{"typ": json.RawMessage("null")}, "", none},
		{"typ not text", nil, object{"typ": 7}, "", none},
		{"an own typ", nil, object{"typ": "Identity"}, "", none},
		{"a word that is a media type only in the header", nil, object{"typ": "passport"}, "", none},
		{"a media type as a claim", nil, object{"typ": "application/secevent+jwt"}, "another kind", none},

		{"OpenID Connect Back-Channel Logout section 2.4, typ", object{"typ": "logout+jwt"}, nil, "logout token", logout},
		{"OpenID Connect Back-Channel Logout section 2.4, events", nil, object{"events": events}, "logout token", logout},
		{"Auth0, refresh token", object{"typ": "rt+jwt"}, nil, "refresh token", refresh},
		{"identity token by its type", object{"typ": "id_token+jwt"}, nil, "identity token", id},
		{"RFC 8417 section 2.3", object{"typ": "secevent+jwt"}, nil, "another kind", none},
		{"RFC 9449 section 4.2", object{"typ": "dpop+jwt"}, nil, "another kind", none},
		{"RFC 9101 section 10.8", object{"typ": "oauth-authz-req+jwt"}, nil, "another kind", none},
		{"RFC 9701 section 5", object{"typ": "token-introspection+jwt"}, nil, "another kind", none},
		{"RFC 8225 section 4.1", object{"typ": "passport"}, nil, "another kind", none},
		{"RFC 9901 section 4.3, key binding", object{"typ": "kb+jwt"}, nil, "another kind", none},
		{"SD-JWT VC", object{"typ": "dc+sd-jwt"}, nil, "another kind", none},
		{"SD-JWT VC before 2025", object{"typ": "vc+sd-jwt"}, nil, "another kind", none},
		{"W3C VC-JOSE-COSE section 5.1, a presentation", object{"typ": "application/vp+jwt"}, nil, "another kind", none},
		{"RFC 7523bis, client authentication", object{"typ": "client-authentication+jwt"}, nil, "another kind", none},
		{"RFC 7523bis, authorization grant", object{"typ": "Authorization-Grant+JWT"}, nil, "another kind", none},
		{"attestation-based client authentication", object{"typ": "oauth-client-attestation-pop+jwt"}, nil, "another kind", none},
		{"OpenID Federation section 3.1", object{"typ": "entity-statement+jwt"}, nil, "another kind", none},
		{"OpenID Federation section 7.2", object{"typ": "trust-mark-delegation+jwt"}, nil, "another kind", none},
		{"OpenID4VCI appendix F.1", object{"typ": "openid4vci-proof+jwt"}, nil, "another kind", none},
		{"signed userinfo", object{"typ": "userinfo+jwt"}, nil, "another kind", none},
		{"token status list", object{"typ": "statuslist+jwt"}, nil, "another kind", none},
		{"transaction tokens", object{"typ": "txntoken+jwt"}, nil, "another kind", none},
	} {
		compact := first().sign(t, c.header, claims(c.claims))
		check := func(accept ...pb.Issuer_TokenKind) authn.Failure {
			_, failure := authn.New(authn.Config{}).Explain(ring(t, func(i *pb.Issuer) { i.Accept = accept }), compact, now)
			return failure
		}
		failure := check()
		if (failure.Denial == nil) != (c.reason == "") || !strings.Contains(failure.Reason, c.reason) {
			t.Errorf("%s: %+v, want %q", c.name, failure, c.reason)
		}
		if c.reason == "" {
			continue
		}
		for _, kind := range []pb.Issuer_TokenKind{id, refresh, logout} {
			if failure := check(kind); (failure.Denial == nil) != (kind == c.accept) {
				t.Errorf("%s, accepted %s: %+v", c.name, kind, failure)
			}
		}
	}
}

// OpenID Connect Core sections 2, 3.1.3.6 and 3.3.2.11, FAPI 1.0 part 2: claims of identity tokens.
func TestMarksOfIdentityTokens(t *testing.T) {
	strict := func(i *pb.Issuer) { i.RefuseIdTokenClaims = true }
	for _, mark := range []string{"nonce", "at_hash", "c_hash", "s_hash"} {
		marked := first().sign(t, nil, claims(object{mark: "x"}))
		if _, failure := authn.New(authn.Config{}).Explain(ring(t), marked, now); failure.Denial != nil {
			t.Errorf("%s, not asked for: %+v", mark, failure)
		}
		if _, failure := authn.New(authn.Config{}).Explain(ring(t, strict), marked, now); failure.Denial == nil || !strings.Contains(failure.Reason, "refuse_id_token_claims") {
			t.Errorf("%s: %+v", mark, failure)
		}
		null := first().sign(t, nil, claims(object{mark: json.RawMessage("null")}))
		if _, failure := authn.New(authn.Config{}).Explain(ring(t, strict), null, now); failure.Denial != nil {
			t.Errorf("%s null: %+v", mark, failure)
		}
	}
}

// A mapping does not make another kind of token an access token, and token_types speaks
// of the header alone.
func TestKindGoesBeforeMappings(t *testing.T) {
	identity := claims(object{"typ": "ID"})
	for name, change := range map[string]func(*pb.Issuer){
		"typ mapped away": func(i *pb.Issuer) { i.ClaimMappings = []*pb.ClaimMapping{{Remote: "typ", Local: "x"}} },
		"typ written over": func(i *pb.Issuer) {
			i.ClaimMappings = []*pb.ClaimMapping{{Remote: "azp", Local: "typ"}, {Remote: "typ", Local: "azp"}}
		},
		"token_types": func(i *pb.Issuer) { i.TokenTypes = []string{"JWT"} },
	} {
		if _, err := authn.New(authn.Config{}).Token(ring(t, change), first().sign(t, nil, identity), now); err == nil || !strings.Contains(err.Error(), denial.InvalidToken.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	own := maps.Clone(claims())
	if _, err := authn.New(authn.Config{}).Token(ring(t, func(i *pb.Issuer) { i.TokenTypes = []string{"secevent+jwt"} }), first().sign(t, object{"typ": "secevent+jwt"}, own), now); err != nil {
		t.Errorf("a type that token_types names: %v", err)
	}
}
