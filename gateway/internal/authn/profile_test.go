package authn_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

func TestProfileRFC9068(t *testing.T) {
	profile := func(i *pb.Issuer) { i.Profile = pb.Issuer_RFC9068 }
	whole := object{"aud": "https://api.test", "client_id": "app"}
	tests := []struct {
		name   string
		header object
		claims object
		want   string // empty: accepted
	}{
		{"good", object{"typ": "at+jwt"}, nil, ""},
		{"media type", object{"typ": "application/at+jwt"}, nil, ""},
		{"other case", object{"typ": "AT+JWT"}, nil, ""},
		{"several audiences", object{"typ": "at+jwt"}, object{"aud": []string{"a", "b"}}, ""},
		{"JWT", object{"typ": "JWT"}, nil, "typ"},
		{"no typ", object{"typ": ""}, nil, "typ"},
		{"another application type", object{"typ": "application/jwt"}, nil, "typ"},
		{"no exp", object{"typ": "at+jwt"}, object{"exp": nil}, "one of"},
		{"no aud", object{"typ": "at+jwt"}, object{"aud": nil}, "one of"},
		{"no sub", object{"typ": "at+jwt"}, object{"sub": nil}, "one of"},
		{"empty sub", object{"typ": "at+jwt"}, object{"sub": ""}, "one of"},
		{"no client_id, but azp", object{"typ": "at+jwt"}, object{"client_id": nil}, "one of"},
		{"client_id a number", object{"typ": "at+jwt"}, object{"client_id": 1}, "one of"},
		{"exp null", object{"typ": "at+jwt"}, object{"exp": json.RawMessage("null")}, "one of"},
		{"client_id null", object{"typ": "at+jwt"}, object{"client_id": json.RawMessage("null")}, "one of"},
		{"no iat", object{"typ": "at+jwt"}, object{"iat": nil}, "one of"},
		{"no jti", object{"typ": "at+jwt"}, object{"jti": nil}, "one of"},
	}
	for _, tt := range tests {
		for name, change := range map[string][]func(*pb.Issuer){
			"":                   {profile},
			", exp not required": {profile, func(i *pb.Issuer) { i.RequireExpiry = new(bool) }},
			", sub and client mapped": {profile, func(i *pb.Issuer) {
				i.ClaimMappings = []*pb.ClaimMapping{{Remote: "azp", Local: "client_id"}, {Remote: "azp", Local: "sub"}}
			}},
		} {
			_, failure := authn.New(authn.Config{}).Explain(ring(t, change...), first().sign(t, tt.header, claims(whole, tt.claims)), now)
			if (failure.Denial == nil) != (tt.want == "") || !strings.Contains(failure.Reason, tt.want) {
				t.Errorf("%s%s: %+v", tt.name, name, failure)
			}
		}
	}
	// Without the profile, all but the missing exp is good.
	for _, tt := range tests[5:] {
		if tt.name == "no exp" || tt.name == "exp null" {
			continue
		}
		if _, failure := authn.New(authn.Config{}).Explain(ring(t), first().sign(t, tt.header, claims(whole, tt.claims)), now); failure.Denial != nil {
			t.Errorf("%s, no profile: %+v", tt.name, failure)
		}
	}
}

func TestClaimed(t *testing.T) {
	a, r := authn.New(authn.Config{}), ring(t)
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	body := enc(`{"iss":"` + iss + `"}`)
	for token, want := range map[string]bool{
		string(first().sign(t, nil, claims())):               true,
		enc(`{}`) + "." + body + ".":                         true,
		enc(`{"alg":"none","crit":[]}`) + "." + body + ".xx": true,
		enc(`{}`) + "==." + body + ".x":                      true,
		enc(`{}`) + "." + body + ".x.y.z":                    true,
		enc(`{}`) + "." + body:                               false,
		"x." + body + ".x":                                   false,
		enc(`[]`) + "." + body + ".x":                        false,
		enc(`{}`) + "." + enc(`{"iss":"https://x"}`) + ".x":  false,
		enc(`{}`) + "." + enc(`{"iss":1}`) + ".x":            false,
		enc(`{}`) + "." + enc(`{"ISS":"`+iss+`"}`) + ".x":    false,
		"":   false,
		"..": false,
	} {
		if got := a.Claimed(r, []byte(token), now); (got != nil) != want {
			t.Errorf("%s: %v", token, got)
		}
	}
}

func TestIssuerWithoutIntrospectionIsNotAsked(t *testing.T) {
	r := ring(t)
	i, ok := r.ByID("idp")
	if !ok {
		t.Fatal("the issuer is not found by its id")
	}
	if _, err := authn.New(authn.Config{}).Introspect(r, i, netip.Addr{}, []byte("opaque"), now); !errors.Is(err, denial.InvalidToken) {
		t.Error(err)
	}
	if _, ok := r.ByID("nobody"); ok {
		t.Error("an issuer that is not there was found")
	}
}
