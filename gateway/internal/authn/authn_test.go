package authn_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

func TestToken(t *testing.T) {
	compact := first().sign(t, object{"typ": "at+jwt"}, claims(object{"nbf": now - 5, "scope": "a b"}))
	a := authn.New(authn.Config{})
	got, err := a.Token(ring(t), compact, now)
	if err != nil {
		t.Fatal(err)
	}
	if got.Issuer.ID() != "idp" || got.Issuer.Name() != iss || got.ClientID != "app" || got.Subject != "user" || got.JTI != "j1" ||
		got.IssuedAt != now-10 || got.NotBefore != now-5 || got.ExpiresAt != now+300 || got.SHA256 != sha256.Sum256(compact) ||
		got.KeyID != "k1" || got.Type != "at+jwt" || got.Key != url || !got.Issuer.ValidateSubscription() {
		t.Errorf("got %+v", got)
	}
	facts := got.Facts()
	if facts.Issuer != "idp" || facts.JTI != "j1" || facts.ClientID != "app" || facts.Subject != "user" || facts.IssuedAt != now-10 || facts.SHA256 != got.SHA256 {
		t.Errorf("facts: %+v", facts)
	}
	for i := range compact {
		compact[i] = 'x' // the request's buffer is used again
	}
	if text, _ := got.Claims.Text("scope"); text != "a b" {
		t.Errorf("scope: %q", text)
	}
}

// Each row is one check of the issuer's settings.
func TestChecks(t *testing.T) {
	types := func(names ...string) func(*pb.Issuer) { return func(i *pb.Issuer) { i.TokenTypes = names } }
	audiences := func(names ...string) func(*pb.Issuer) { return func(i *pb.Issuer) { i.Audiences = names } }
	skew := func(n int64) func(*pb.Issuer) { return func(i *pb.Issuer) { i.ClockSkew = seconds(n) } }
	lifetime := func(n int64) func(*pb.Issuer) { return func(i *pb.Issuer) { i.MaxLifetime = seconds(n) } }
	noExpiry := func(i *pb.Issuer) { i.RequireExpiry = new(bool) }
	algorithms := func(names ...string) func(*pb.Issuer) { return func(i *pb.Issuer) { i.Algorithms = names } }
	clients := func(paths ...string) func(*pb.Issuer) { return func(i *pb.Issuer) { i.ClientIdClaims = paths } }
	same := func(*pb.Issuer) {}
	invalid, expired := denial.InvalidToken, denial.TokenExpired
	for _, c := range []struct {
		name           string
		change         func(*pb.Issuer)
		header, claims object
		want           *denial.Denial
		reason         string
	}{
		{"good", same, nil, nil, nil, ""},
		{"25 iss with a slash", same, nil, object{"iss": iss + "/"}, invalid, "iss"},
		{"25 iss in another case", same, nil, object{"iss": strings.ToUpper(iss)}, invalid, "iss"},
		{"iss absent", same, nil, object{"iss": nil}, invalid, "iss"},
		{"alg not allowed", algorithms("RS256", "EdDSA"), nil, nil, invalid, "alg is not"},
		{"alg allowed", algorithms("ES256"), nil, nil, nil, ""},
		{"22 exp absent", same, nil, object{"exp": nil}, invalid, "exp is absent"},
		{"22 exp absent, not required", noExpiry, nil, object{"exp": nil}, nil, ""},
		{"exp past though not required", noExpiry, nil, object{"exp": now}, expired, "exp has passed"},
		{"exp now", same, nil, object{"exp": now}, expired, "exp has passed"},
		{"exp in a second", same, nil, object{"exp": now + 1}, nil, ""},
		{"exp within skew", skew(5), nil, object{"exp": now - 4}, nil, ""},
		{"exp at the end of skew", skew(5), nil, object{"exp": now - 5}, expired, "exp has passed"},
		{"21 exp as text", same, nil, object{"exp": "1900000000"}, invalid, "exp, nbf or iat"},
		{"23 nbf in the future", same, nil, object{"nbf": now + 1}, invalid, "nbf"},
		{"23 nbf within skew", skew(5), nil, object{"nbf": now + 5}, nil, ""},
		{"23 nbf beyond skew", skew(5), nil, object{"nbf": now + 6}, invalid, "nbf"},
		{"23 iat in the future", same, nil, object{"iat": now + 1}, invalid, "iat"},
		{"23 iat within skew", skew(5), nil, object{"iat": now + 5}, nil, ""},
		{"lifetime", lifetime(300), nil, object{"iat": now - 1, "exp": now + 299}, nil, ""},
		{"lifetime too long", lifetime(300), nil, object{"iat": now - 1, "exp": now + 300}, invalid, "max_lifetime"},
		{"lifetime without iat", lifetime(300), nil, object{"iat": nil, "exp": now + 300}, nil, ""},
		{"lifetime without iat, too long", lifetime(300), nil, object{"iat": nil, "exp": now + 301}, invalid, "max_lifetime"},
		{"lifetime without exp", func(i *pb.Issuer) { noExpiry(i); lifetime(300)(i) }, nil, object{"exp": nil}, invalid, "max_lifetime"},
		{"24 aud text", audiences("api"), nil, object{"aud": "api"}, nil, ""},
		{"24 aud list", audiences("x", "api"), nil, object{"aud": []string{"other", "api"}}, nil, ""},
		{"24 aud part", audiences("api"), nil, object{"aud": "api2"}, invalid, "aud has none"},
		{"24 aud absent", audiences("api"), nil, nil, invalid, "aud has none"},
		{"24 aud empty", audiences("x", "api"), nil, object{"aud": []string{}}, invalid, "aud has none"},
		{"24 aud empty, none asked for", same, nil, object{"aud": []string{}}, nil, ""},
		{"26 typ absent", types("at+jwt"), object{"typ": ""}, nil, invalid, "typ is not"},
		{"26 typ other", types("at+jwt"), nil, nil, invalid, "typ is not"},
		{"26 typ", types("at+jwt"), object{"typ": "AT+JWT"}, nil, nil, ""},
		{"26 typ with application", types("at+jwt"), object{"typ": "application/at+JWT"}, nil, nil, ""},
		{"26 typ configured with application", types("application/AT+jwt"), object{"typ": "at+jwt"}, nil, nil, ""},
		{"26 logout token", same, object{"typ": "logout+jwt"}, nil, invalid, "logout token"},
		{"26 logout token, long", same, object{"typ": "application/Logout+JWT"}, nil, invalid, "logout token"},
		{"26 proof", same, object{"typ": "dpop+jwt"}, nil, invalid, "another kind"},
		{"26 event", same, object{"typ": "secevent+jwt"}, nil, invalid, "another kind"},
		{"26 introspection", same, object{"typ": "token-introspection+jwt"}, nil, invalid, "another kind"},
		{"26 logout by its claim", same, nil, object{"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}}}, invalid, "logout token"},
		{"26 other events", same, nil, object{"events": object{"x": 1}}, nil, ""},
		{"26 own typ", same, object{"typ": "acme+jwt"}, nil, nil, ""},
		{"8 crit", same, object{"crit": []string{"exp"}}, nil, invalid, "crit"},
		{"28 kid of nobody", same, object{"kid": "k9"}, nil, invalid, "no key"},
		{"client by path, beside null", clients("org.client", "azp"), nil, object{"org": object{"client": json.RawMessage("null")}}, nil, ""},
		{"RFC 7519 section 4.1.4: exp null is no exp", same, nil, object{"exp": json.RawMessage("null")}, invalid, "exp is absent"},
		{"exp null, not required", noExpiry, nil, object{"exp": json.RawMessage("null")}, nil, ""},
		{"RFC 7519 section 4.1.3: aud null is no aud", audiences("api"), nil, object{"aud": json.RawMessage("null")}, invalid, "aud has none"},
		{"aud null, none asked for", same, nil, object{"aud": json.RawMessage("null")}, nil, ""},
		{"iss null", same, nil, object{"iss": json.RawMessage("null")}, invalid, "iss"},
		{"RFC 7800 section 3.1: cnf null binds to nothing", same, nil, object{"cnf": json.RawMessage("null")}, nil, ""},
		{"cnf with nothing but null", same, nil, object{"cnf": object{"jkt": json.RawMessage("null")}}, invalid, "cnf"},
		{"RFC 7519 section 2: exp with an exponent", same, nil, object{"exp": json.RawMessage("1.80000001e9")}, nil, ""},
		{"RFC 7519 section 4.1.4: exp ends within this second", same, nil, object{"exp": json.RawMessage("1800000000.9")}, expired, "exp has passed"},
		{"RFC 7519 section 4.1.5: nbf begins within this second", same, nil, object{"nbf": json.RawMessage("1800000000.1")}, invalid, "nbf"},
		{"RFC 7519 section 4.1.5: nbf began before it", same, nil, object{"nbf": json.RawMessage("1799999999.9")}, nil, ""},
		{"RFC 7519 section 4.1.6: iat within this second (PyJWT)", same, nil, object{"iat": json.RawMessage("1800000000.9")}, nil, ""},
		{"23 iat with an exponent in the future", same, nil, object{"iat": json.RawMessage("1.800000001e9")}, invalid, "iat"},
		{"client by path", clients("org.client", "azp"), nil, object{"org": object{"client": "app"}, "azp": "x"}, nil, ""},
	} {
		compact := first().sign(t, c.header, claims(c.claims))
		a, r := authn.New(authn.Config{}), ring(t, c.change)
		_, failure := a.Explain(r, compact, now)
		refused := c.want != nil
		if refused != (failure.Denial != nil) || refused && !errors.Is(failure.Denial, c.want) || !strings.Contains(failure.Reason, c.reason) {
			t.Errorf("%s: explained as %v, %q", c.name, failure.Denial, failure.Reason)
		}
		if refused && failure.Denial.Cause() == cause.Unspecified {
			t.Errorf("%s: no cause", c.name)
		}
		for _, attempt := range []string{"first", "again"} {
			got, err := a.Token(r, compact, now)
			if !refused && (err != nil || got.ClientID != "app") || refused && err != error(failure.Denial) {
				t.Errorf("%s (%s): got %v", c.name, attempt, err)
			}
		}
		if strings.Contains(failure.Reason, "app") && strings.Contains(failure.Reason, "user") {
			t.Errorf("%s: the reason tells claims: %q", c.name, failure.Reason)
		}
	}
}

// A claim that names no client is not held against the token, and no other is taken
// in its place. Null is not there (RFC 7519 knows no null).
func TestClient(t *testing.T) {
	for _, c := range []struct {
		name   string
		paths  []string
		claims string
		want   string
	}{
		{"RFC 9068 section 2.2, client_id", nil, `{"client_id":"app"}`, "app"},
		{"OpenID Connect Core section 2, azp before client_id", nil, `{"azp":"app","client_id":"other"}`, "app"},
		{"none", nil, `{}`, ""},
		{"null hides nothing", nil, `{"azp":null,"client_id":"app"}`, "app"},
		{"nothing but null", nil, `{"azp":null,"client_id":null}`, ""},
		{"a number", nil, `{"azp":5,"client_id":"app"}`, ""},
		{"an object", nil, `{"azp":{"id":"app"},"client_id":"app"}`, ""},
		{"empty", nil, `{"azp":"","client_id":"app"}`, ""},
		{"true", nil, `{"azp":true}`, ""},
		{"RFC 7519 section 4.1.3, aud is a string", []string{"aud"}, `{"aud":"app"}`, "app"},
		{"RFC 7519 section 4.1.3, aud is a list of one", []string{"aud"}, `{"aud":["app"]}`, "app"},
		{"aud is a list of two", []string{"aud", "azp"}, `{"aud":["app","other"],"azp":"app"}`, ""},
		{"aud is empty", []string{"aud"}, `{"aud":[]}`, ""},
		{"any claim that is a list of one", []string{"x"}, `{"x":["app"]}`, "app"},
		{"a list of one number", []string{"x"}, `{"x":[5]}`, ""},
		{"a list of one list", []string{"x"}, `{"x":[["app"]]}`, ""},
		{"a list of one empty string", []string{"x"}, `{"x":[""]}`, ""},
	} {
		var more map[string]any
		if err := json.Unmarshal([]byte(c.claims), &more); err != nil {
			t.Fatal(err)
		}
		payload := claims(object{"azp": nil})
		maps.Copy(payload, more)
		a := authn.New(authn.Config{})
		got, err := a.Token(ring(t, func(i *pb.Issuer) { i.ClientIdClaims = c.paths }), first().sign(t, nil, payload), now)
		if err != nil || got.ClientID != c.want {
			t.Errorf("%s: client %q, %v; want %q", c.name, got.ClientID, err, c.want)
		}
	}
}

func TestBadSignature(t *testing.T) {
	stranger := newPair("ES256", "k1")
	a := authn.New(authn.Config{})
	for name, compact := range map[string][]byte{
		"foreign key":             stranger.sign(t, nil, claims()),
		"foreign key and expired": stranger.sign(t, nil, claims(object{"exp": now - 1})),
		"HMAC":                    newPair("HS256", "k1").sign(t, nil, claims()),
		"not a token":             []byte("opaque"),
		"too long":                bytes.Repeat([]byte("a"), 9000),
	} {
		if _, err := a.Token(ring(t), compact, now); !errors.Is(err, denial.InvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token without kid is tried with so many keys and no more; who asks why is told, and it
// is not done again at once.
func TestMoreKeysThanAreTried(t *testing.T) {
	pairs := make([]pair, keyset.MaxCandidates+1)
	for i := range pairs {
		pairs[i] = newPair("ES256", "")
	}
	i := compile(t, issuer(), fetched(t, now+1000, pairs...))
	r, keys := authn.NewKeyring([]*authn.Issuer{i}), i.Keys().Keys()
	for name, want := range map[string]bool{"the last that is tried": true, "the first that is not": false} {
		key := keys[keyset.MaxCandidates]
		if want {
			key = keys[keyset.MaxCandidates-1]
		}
		p := pairs[slices.IndexFunc(pairs, func(p pair) bool {
			private, ok := p.private.(*ecdsa.PrivateKey)
			return ok && private.PublicKey.Equal(key.Material())
		})]
		a := authn.New(authn.Config{})
		compact := p.sign(t, nil, claims())
		if _, err := a.Token(r, compact, now); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
		if want {
			continue
		}
		if _, failure := a.Explain(r, compact, now); !strings.Contains(failure.Reason, "first 100 keys") {
			t.Errorf("explained as %q", failure.Reason)
		}
		if _, err := a.Token(r, compact, now); err == nil || a.Stats().NegativeHits != 1 {
			t.Errorf("it was tried again: %v, %+v", err, a.Stats())
		}
	}
}

func TestTooLongIsNotEvenLookedUp(t *testing.T) {
	a := authn.New(authn.Config{MaxTokenBytes: 1000})
	compact := first().sign(t, nil, claims(object{"pad": strings.Repeat("x", 1000)}))
	if _, err := a.Token(ring(t), compact, now); !errors.Is(err, denial.TokenTooLong) || a.Stats().Misses != 0 {
		t.Errorf("%v, %+v", err, a.Stats())
	}
	a = authn.New(authn.Config{MaxTokenBytes: 2000})
	if _, err := a.Token(ring(t), compact, now); err != nil {
		t.Error(err)
	}
}

func TestKeyOfAnotherIssuer(t *testing.T) {
	other := &pb.Issuer{Id: "other", Issuer: "https://other.test", Keys: &pb.Keys{JwksUrls: []string{url}}}
	r := authn.NewKeyring([]*authn.Issuer{
		compile(t, issuer(), fetched(t, now+1000, first())), compile(t, other, fetched(t, now+1000, second())),
	})
	a := authn.New(authn.Config{})
	if _, err := a.Token(r, second().sign(t, nil, claims()), now); !errors.Is(err, denial.InvalidToken) {
		t.Errorf("a key of another issuer is used: %v", err)
	}
	if _, err := a.Token(r, second().sign(t, nil, claims(object{"iss": "https://other.test"})), now); err != nil {
		t.Error(err)
	}
}

func TestMappings(t *testing.T) {
	r := ring(t, func(i *pb.Issuer) {
		i.ClaimMappings = []*pb.ClaimMapping{{Remote: "scp", Local: "scope"}, {Remote: "user.id", Local: "sub"}, {Remote: "client", Local: "azp"}}
	})
	got, err := authn.New(authn.Config{}).Token(r, first().sign(t, nil, claims(object{"scp": "x", "user": object{"id": "u7"}, "client": "c7", "azp": nil})), now)
	if err != nil {
		t.Fatal(err)
	}
	if scope, _ := got.Claims.Text("scope"); scope != "x" || got.Claims.Has("scp") || got.Subject != "u7" || got.ClientID != "c7" {
		t.Errorf("got %+v, scope %q", got, scope)
	}
}

func TestKeysUnavailable(t *testing.T) {
	compact := first().sign(t, nil, claims())
	a := authn.New(authn.Config{})
	check := func(name string, i *pb.Issuer, set *pb.KeySet, compact []byte, want *denial.Denial) {
		t.Helper()
		r := authn.NewKeyring([]*authn.Issuer{compile(t, i, set)})
		if _, err := a.Token(r, compact, now); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	check("never had a set", issuer(), nil, compact, denial.KeysUnavailable)
	check("discovery, never had a set", issuer(func(i *pb.Issuer) { i.Keys, i.Discovery = nil, true }), nil, compact, denial.KeysUnavailable)
	check("a set of a URL that is gone", issuer(func(i *pb.Issuer) { i.Keys.JwksUrls = []string{"http://new/"} }), fetched(t, now+1, first()), compact, denial.KeysUnavailable)
	check("another issuer's token", issuer(), nil, first().sign(t, nil, claims(object{"iss": "x"})), denial.InvalidToken)
	check("an unfit token", issuer(), nil, first().sign(t, nil, claims(object{"exp": nil})), denial.InvalidToken)
	check("symmetric", issuer(), nil, newPair("HS256", "k1").sign(t, nil, claims()), denial.InvalidToken)
	check("no URLs", issuer(func(i *pb.Issuer) {
		i.Keys = &pb.Keys{HmacSecrets: []*pb.HmacSecret{{Source: &pb.HmacSecret_Env{Env: "ELSEWHERE"}}}}
	}), nil, compact, denial.InvalidToken)
	check("set too old", issuer(), fetched(t, now-1, first()), compact, denial.InvalidToken)
	// The answer is not remembered: the keys come, and the same token passes.
	if _, err := a.Token(ring(t), compact, now); err != nil {
		t.Error(err)
	}
}

// What a cached token must not outlive.
func TestHitIsChecked(t *testing.T) {
	compact := first().sign(t, nil, claims(object{"nbf": now - 5}))
	r := ring(t)
	a := authn.New(authn.Config{})
	token := func(r *authn.Keyring, at int64) error {
		_, err := a.Token(r, compact, at)
		return err
	}
	fill := func() {
		t.Helper()
		if err := token(r, now); err != nil {
			t.Fatal(err)
		}
		hits := a.Stats().Hits
		if err := token(r, now+1); err != nil || a.Stats().Hits != hits+1 {
			t.Fatalf("not a hit: %v", err)
		}
	}
	fill()
	if err := token(r, now+300); !errors.Is(err, denial.TokenExpired) {
		t.Errorf("15 expired: %v", err)
	}
	fill()
	if err := token(r, now-6); !errors.Is(err, denial.InvalidToken) {
		t.Errorf("before nbf: %v", err)
	}
	fill()
	rotated := authn.NewKeyring([]*authn.Issuer{compile(t, issuer(), fetched(t, now+1000, second()))})
	if err := token(rotated, now); !errors.Is(err, denial.InvalidToken) {
		t.Errorf("15 key removed: %v", err)
	}
	fill()
	stricter := ring(t, func(i *pb.Issuer) { i.Audiences = []string{"api"} })
	if err := token(stricter, now); !errors.Is(err, denial.InvalidToken) {
		t.Errorf("15 settings changed: %v", err)
	}
	fill()
	if err := token(authn.NewKeyring(nil), now); !errors.Is(err, denial.InvalidToken) {
		t.Errorf("15 issuer removed: %v", err)
	}
	old := authn.NewKeyring([]*authn.Issuer{compile(t, issuer(), fetched(t, now+20, first()))})
	if err := token(old, now); err != nil {
		t.Fatal(err)
	}
	if err := token(old, now+20); err != nil {
		t.Errorf("last second of the key set: %v", err)
	}
	if err := token(old, now+21); !errors.Is(err, denial.InvalidToken) {
		t.Errorf("17 key set too old: %v", err)
	}
}

func TestNegativeCache(t *testing.T) {
	compact := second().sign(t, object{"kid": "k1"}, claims())
	r, a := ring(t), authn.New(authn.Config{})
	for range 3 {
		if _, err := a.Token(r, compact, now); !errors.Is(err, denial.InvalidToken) {
			t.Fatal(err)
		}
	}
	if s := a.Stats(); s.Validations != 1 || s.NegativeHits != 2 || s.NegativeEntries != 1 {
		t.Errorf("not remembered: %+v", s)
	}
	if _, err := a.Token(r, compact, now+10); !errors.Is(err, denial.InvalidToken) || a.Stats().Validations != 2 {
		t.Errorf("remembered for more than 10 s: %v, %+v", err, a.Stats())
	}
	// New keys free it at once.
	renamed := second()
	renamed.kid = "k1"
	fresh := authn.NewKeyring([]*authn.Issuer{compile(t, issuer(), fetched(t, now+1000, renamed))})
	if _, err := a.Token(fresh, compact, now+10); err != nil {
		t.Errorf("a refusal outlives its keys: %v", err)
	}
	// What time changes is not remembered.
	early := first().sign(t, nil, claims(object{"nbf": now + 1}))
	if _, err := a.Token(r, early, now); !errors.Is(err, denial.InvalidToken) {
		t.Error(err)
	}
	if _, err := a.Token(r, early, now+1); err != nil {
		t.Errorf("a refusal outlives nbf: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	a := authn.New(authn.Config{CacheEntries: 64, CacheBytes: 1 << 20, NegativeEntries: 64, NegativeBytes: 64 << 10})
	hmac := newPair("HS256", "")
	r := authn.NewKeyring([]*authn.Issuer{compile(t, issuer(func(i *pb.Issuer) {
		i.Keys = &pb.Keys{HmacSecrets: []*pb.HmacSecret{{Source: &pb.HmacSecret_Value{Value: secret}}}}
	}), nil)})
	for i := range 1000 {
		compact := hmac.sign(t, nil, claims(object{"jti": fmt.Sprint(i), "pad": strings.Repeat("x", i%5*300)}))
		for range 2 { // those that come once are kept elsewhere
			if got, err := a.Token(r, compact, now); err != nil || got.JTI != fmt.Sprint(i) {
				t.Fatal(got, err)
			}
		}
		compact[len(compact)-2] ^= 2
		if _, err := a.Token(r, compact, now); !errors.Is(err, denial.InvalidToken) {
			t.Fatal(err)
		}
	}
	s := a.Stats()
	if s.Entries > 64 || s.Bytes > 1<<20 || s.NegativeEntries > 64 || s.NegativeBytes > 64<<10 || s.Entries == 0 || s.NegativeEntries == 0 {
		t.Errorf("out of bounds: %+v", s)
	}
	if s.Evictions < 900 || s.SignatureHits == 0 {
		t.Errorf("evictions are not counted, or forgotten altogether: %+v", s)
	}
}

func TestUnknownKeyIsReportedSeldom(t *testing.T) {
	var asked []string
	a := authn.New(authn.Config{OnUnknownKey: func(id string) { asked = append(asked, id) }})
	r := ring(t)
	for i := range 2000 {
		kid := fmt.Sprintf("unknown-%d", i)
		if _, err := a.Token(r, second().sign(t, object{"kid": kid}, claims()), now+int64(i/200)); !errors.Is(err, denial.InvalidToken) {
			t.Fatal(err)
		}
	}
	if len(asked) != 1 || asked[0] != "idp" {
		t.Errorf("asked %d times in 10 s", len(asked))
	}
	if a.Stats().NegativeEntries != 0 {
		t.Error("refusals that cost no signature check fill the negative cache")
	}
	if _, err := a.Token(r, second().sign(t, object{"kid": "x"}, claims()), now+10); err == nil || len(asked) != 2 {
		t.Errorf("asked %d times in 11 s", len(asked))
	}
	// A wrong signature under a known kid, and secrets, ask for nothing.
	for _, compact := range [][]byte{second().sign(t, object{"kid": "k1"}, claims()), newPair("HS256", "nope").sign(t, nil, claims())} {
		if _, err := a.Token(r, compact, now+100); err == nil || len(asked) != 2 {
			t.Errorf("asked %d times", len(asked))
		}
	}
}

func TestMemo(t *testing.T) {
	got, err := authn.New(authn.Config{}).Token(ring(t), first().sign(t, nil, claims()), now)
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]int, 20)
	for i := range keys {
		got.Remember(&keys[i], i)
		if v, ok := got.Recall(&keys[i]); !ok || v != i {
			t.Errorf("key %d: %v, %v", i, v, ok)
		}
	}
	if _, ok := got.Recall(&keys[0]); ok {
		t.Error("the memo grows without bound")
	}
	if got.RevocationMemo().Load() != nil {
		t.Error("the memo is not empty")
	}
}

// An issuer that gets another name while its new provider is down does not take the
// keys of the old one along.
func TestKeysOfOtherSettings(t *testing.T) {
	before := issuer(func(i *pb.Issuer) { i.Keys, i.Discovery = nil, true })
	set := fetched(t, now+1000, first())
	set.Sources[0].FetchedUnder = keyset.FetchedUnder(before, true)
	renamed := issuer(func(i *pb.Issuer) { i.Keys, i.Discovery, i.Issuer = nil, true, "https://other.test" })
	a := authn.New(authn.Config{})
	if _, err := a.Token(authn.NewKeyring([]*authn.Issuer{compile(t, before, set)}), first().sign(t, nil, claims()), now); err != nil {
		t.Errorf("as it was: %v", err)
	}
	token := first().sign(t, nil, claims(object{"iss": "https://other.test"}))
	if _, err := a.Token(authn.NewKeyring([]*authn.Issuer{compile(t, renamed, set)}), token, now); !errors.Is(err, denial.KeysUnavailable) {
		t.Errorf("for its new name: %v, want keys_unavailable", err)
	}
}
