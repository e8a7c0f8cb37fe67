package authn_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

const (
	tenantsIss = "https://login.test/{tenantid}/v2.0"
	ours       = "6f1c9a52-3b0e-4c61-9d7e-0f2a7b8c1d3e"
	theirs     = "11111111-2222-3333-4444-555555555555"
)

// boundTo is a key set whose keys say whose tokens they sign, as a multi-tenant
// provider writes it, after it has been through the log.
func boundTo(t *testing.T, issuers map[string]pair) *pb.KeySet {
	t.Helper()
	var keys []string
	for issuer, p := range issuers {
		key := strings.TrimSuffix(strings.TrimPrefix(jwks(t, p), `{"keys":[`), `]}`)
		keys = append(keys, strings.TrimSuffix(key, "}")+fmt.Sprintf(`,"issuer":%q}`, issuer))
	}
	set, skipped, err := keyset.ParseJWKS([]byte(`{"keys":[`+strings.Join(keys, ",")+`]}`), keyset.Options{})
	if err != nil || len(skipped) > 0 {
		t.Fatal(err, skipped)
	}
	return &pb.KeySet{Id: "idp", Sources: []*pb.KeySet_Source{{Url: url, Jwks: string(set.JWKS()), UsableUntil: &timestamppb.Timestamp{Seconds: now + 1000}}}}
}

func TestTenants(t *testing.T) {
	of := func(tenant string) string { return strings.Replace(tenantsIss, "{tenantid}", tenant, 1) }
	named := func(m *pb.Issuer) { m.Issuer, m.Tenants = tenantsIss, []string{ours} }
	anybody := func(m *pb.Issuer) { m.Issuer, m.AnyTenant = tenantsIss, true }
	single := func(m *pb.Issuer) { m.Issuer = of(ours) }
	for name, tt := range map[string]struct {
		issuer func(*pb.Issuer)
		keys   map[string]pair // nil: keys that say nothing
		iss    string
		tid    any
		want   cause.Cause // 0: it is good
	}{
		"named":                                {named, nil, of(ours), ours, 0},
		"another tenant":                       {named, nil, of(theirs), theirs, cause.Tenant},
		"tid of another tenant":                {named, nil, of(ours), theirs, cause.Tenant},
		"iss of another tenant":                {named, nil, of(theirs), ours, cause.Tenant},
		"no tid":                               {named, nil, of(ours), nil, cause.Tenant},
		"tid that is no text":                  {named, nil, of(ours), 1, cause.Tenant},
		"in other letters":                     {named, nil, of(strings.ToUpper(ours)), strings.ToUpper(ours), cause.Tenant},
		"any":                                  {anybody, nil, of(theirs), theirs, 0},
		"any, tid of another":                  {anybody, nil, of(theirs), ours, cause.Tenant},
		"the pattern itself":                   {anybody, nil, tenantsIss, "{tenantid}", cause.IssuerUnknown},
		"no tenant":                            {anybody, nil, of(""), "", cause.IssuerUnknown},
		"two segments":                         {anybody, nil, of("a/b"), "a/b", cause.IssuerUnknown},
		"another end":                          {anybody, nil, of(ours) + "/", ours, cause.IssuerUnknown},
		"a key for all tenants":                {named, map[string]pair{tenantsIss: first()}, of(ours), ours, 0},
		"a key of this tenant":                 {named, map[string]pair{of(ours): first()}, of(ours), ours, 0},
		"a key of another tenant":              {anybody, map[string]pair{of(ours): first()}, of(theirs), theirs, cause.KeyIssuer},
		"one tenant, its key":                  {single, map[string]pair{of(ours): first()}, of(ours), ours, 0},
		"one tenant, a key for all":            {single, map[string]pair{tenantsIss: first()}, of(ours), ours, 0},
		"one tenant, a key of another":         {single, map[string]pair{of(theirs): first()}, of(ours), ours, cause.KeyIssuer},
		"a key of another issuer, all tenants": {anybody, map[string]pair{"https://login.test/{tenantid}/": first()}, of(ours), ours, cause.KeyIssuer},
	} {
		keys := fetched(t, now+1000, first())
		if tt.keys != nil {
			keys = boundTo(t, tt.keys)
		}
		r := authn.NewKeyring([]*authn.Issuer{compile(t, issuer(tt.issuer), keys)})
		_, err := authn.New(authn.Config{}).Token(r, first().sign(t, nil, claims(object{"iss": tt.iss, "tid": tt.tid})), now)
		if got := causeOf(err); got != tt.want {
			t.Errorf("%s: %v (%v), want %v", name, got, err, tt.want)
		}
	}
}

// A tenant that has an Issuer of its own is that one's; its settings count.
func TestTenantOfItsOwn(t *testing.T) {
	own := issuer(func(m *pb.Issuer) {
		m.Id, m.Issuer, m.Audiences = "own", strings.Replace(tenantsIss, "{tenantid}", ours, 1), []string{"orders"}
	})
	all := issuer(func(m *pb.Issuer) { m.Issuer, m.AnyTenant = tenantsIss, true })
	r := authn.NewKeyring([]*authn.Issuer{compile(t, all, fetched(t, now+1000, first())), compile(t, own, fetched(t, now+1000, first()))})
	_, err := authn.New(authn.Config{}).Token(r, first().sign(t, nil, claims(object{"iss": own.GetIssuer(), "tid": ours})), now)
	if causeOf(err) != cause.Audience {
		t.Errorf("%v", err)
	}
}

// A mapping does not move another claim to where the tenant is looked for.
func TestTenantBeforeMappings(t *testing.T) {
	r := ring(t, func(m *pb.Issuer) {
		m.Issuer, m.Tenants = tenantsIss, []string{ours}
		m.ClaimMappings = []*pb.ClaimMapping{{Remote: "other", Local: "tid"}}
	})
	iss := strings.Replace(tenantsIss, "{tenantid}", ours, 1)
	_, err := authn.New(authn.Config{}).Token(r, first().sign(t, nil, claims(object{"iss": iss, "tid": theirs, "other": ours})), now)
	if causeOf(err) != cause.Tenant {
		t.Errorf("%v", err)
	}
}

func causeOf(err error) cause.Cause {
	if d, ok := errors.AsType[*denial.Denial](err); ok {
		return d.Cause()
	}
	return 0
}

// unnamed is an issuer whose tokens have no iss, with keys that were fetched.
func unnamed(t *testing.T, id string, keys ...pair) *authn.Issuer {
	t.Helper()
	set := fetched(t, now+1000, keys...)
	if len(keys) == 0 {
		set = nil
	}
	return compile(t, issuer(func(m *pb.Issuer) { m.Id, m.Issuer, m.NoIssuer = id, "", true }), set)
}

// Of a token without iss only the key says whose it is.
func TestTokensWithoutIssuer(t *testing.T) {
	a, b := unnamed(t, "a", first()), unnamed(t, "b", second())
	named := compile(t, issuer(), fetched(t, now+1000, newPair("ES256", "k3")))
	r := authn.NewKeyring([]*authn.Issuer{a, b, named})
	for name, tt := range map[string]struct {
		ring  *authn.Keyring
		token []byte
		want  string // the issuer, or the cause
	}{
		"the first's":          {r, first().sign(t, nil, claims(object{"iss": nil})), "a"},
		"the second's":         {r, second().sign(t, nil, claims(object{"iss": nil})), "b"},
		"without kid":          {r, second().sign(t, object{"kid": ""}, claims(object{"iss": nil})), "b"},
		"nobody's":             {r, newPair("ES256", "k1").sign(t, nil, claims(object{"iss": nil})), "signature"},
		"an unknown kid":       {r, newPair("ES256", "k9").sign(t, nil, claims(object{"iss": nil})), "key_unknown"},
		"expired":              {r, second().sign(t, nil, claims(object{"iss": nil, "exp": now - 1})), "expired"},
		"another iss":          {r, first().sign(t, nil, claims(object{"iss": "https://other.test"})), "issuer_unknown"},
		"iss of a named one":   {r, first().sign(t, nil, claims()), "key_unknown"},
		"an empty iss":         {r, first().sign(t, nil, claims(object{"iss": ""})), "issuer_unknown"},
		"nobody takes such":    {authn.NewKeyring([]*authn.Issuer{named}), first().sign(t, nil, claims(object{"iss": nil})), "issuer_unknown"},
		"a key that both have": {authn.NewKeyring([]*authn.Issuer{a, unnamed(t, "c", first())}), first().sign(t, nil, claims(object{"iss": nil})), "issuer_ambiguous"},
		"keys never had":       {authn.NewKeyring([]*authn.Issuer{unnamed(t, "d")}), first().sign(t, nil, claims(object{"iss": nil})), "keys_unavailable"},
	} {
		token, err := authn.New(authn.Config{}).Token(tt.ring, tt.token, now)
		got := causeOf(err).String()
		if err == nil {
			got = token.Issuer.ID()
		}
		if got != tt.want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, tt.want)
		}
	}
	// It is not shown to the introspection server of another.
	authenticator := authn.New(authn.Config{})
	if maker := authenticator.Claimed(r, second().sign(t, nil, claims(object{"iss": nil})), now); maker != b {
		t.Errorf("claimed to be of %v", maker)
	}
	if maker := authenticator.Claimed(r, newPair("ES256", "k1").sign(t, nil, claims(object{"iss": nil})), now); maker != nil {
		t.Errorf("nobody's token is claimed to be of %v", maker.ID())
	}
	// Its checks wait for their turn as all others do.
	release := authenticator.Occupy()
	found, compact := make(chan *authn.Issuer), second().sign(t, nil, claims(object{"iss": nil}))
	go func() { found <- authenticator.Claimed(r, compact, now) }()
	select {
	case <-found:
		t.Error("a signature was checked out of turn")
		release()
	case <-time.After(50 * time.Millisecond):
		release()
		<-found
	}
}
