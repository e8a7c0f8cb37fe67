package authn_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// typical are the claims of an access token as identity providers issue them:
// signed with RS256, it has about 630 bytes.
func typical(more ...object) object {
	return claims(append([]object{{"aud": "https://orders.test", "scope": "orders.read orders.write"}}, more...)...)
}

// several are tokens of one issuer that differ in their jti.
func several(b *testing.B, p pair, n int) [][]byte {
	b.Helper()
	all := make([][]byte, n)
	for i := range all {
		all[i] = p.sign(b, nil, typical(object{"jti": "token-" + strconv.Itoa(i)}))
	}
	return all
}

// keyring has one issuer with the key of p.
func keyring(b *testing.B, p pair, change ...func(*pb.Issuer)) *authn.Keyring {
	b.Helper()
	i, set := issuer(change...), (*pb.KeySet)(nil)
	if p.alg == "HS256" {
		i.Keys = &pb.Keys{HmacSecrets: []*pb.HmacSecret{{Source: &pb.HmacSecret_Value{Value: secret}}}}
	} else {
		set = fetched(b, now+1000, p)
	}
	return authn.NewKeyring([]*authn.Issuer{compile(b, i, set)})
}

// BenchmarkToken is the cache of validated tokens: what is found in it, and what
// a token costs that is not, storing it included.
func BenchmarkToken(b *testing.B) {
	run := func(name string, a *authn.Authenticator, r *authn.Keyring, want error, compacts ...[]byte) {
		for range 3 { // from the third time on a token is remembered, whatever came between
			for _, compact := range compacts[:min(len(compacts), 10_000)] {
				if _, err := a.Token(r, compact, now); !errors.Is(err, want) {
					b.Fatal(err)
				}
			}
		}
		b.Run(name, func(b *testing.B) {
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Token(r, compacts[i], now); !errors.Is(err, want) {
					b.Fatal(err)
				}
				if i++; i == len(compacts) {
					i = 0
				}
			}
		})
	}
	rsa := newPair("RS256", "k1")
	run("repeated", authn.New(authn.Config{}), keyring(b, rsa), nil, rsa.sign(b, nil, typical()))
	hmac := newPair("HS256", "")
	run("rotation of 10000", authn.New(authn.Config{}), keyring(b, hmac), nil, several(b, hmac, 10_000)...)
	run("refused again", authn.New(authn.Config{}), ring(b), denial.InvalidToken, second().sign(b, object{"kid": "k1"}, typical()))
	// More tokens than the cache holds: each one is new when it comes.
	small := authn.Config{CacheEntries: 32}
	run("new/HS256", authn.New(small), keyring(b, hmac), nil, several(b, hmac, 1000)...)
	run("new/ES256", authn.New(small), keyring(b, first()), nil, several(b, first(), 1000)...)
	run("new/RS256", authn.New(small), keyring(b, rsa), nil, several(b, rsa, 200)...)
}

func BenchmarkTokenParallel(b *testing.B) {
	a, r := authn.New(authn.Config{}), ring(b)
	compact := first().sign(b, nil, typical())
	if _, err := a.Token(r, compact, now); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := a.Token(r, compact, now); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkValidate is the whole check of a token that nothing is remembered of.
func BenchmarkValidate(b *testing.B) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA", "HS256"} {
		p := newPair(alg, "k1")
		validate(b, alg, keyring(b, p), p.sign(b, nil, typical()), nil)
	}
}

// BenchmarkIssuerRules is what an issuer's settings add to the check of an HS256
// token, and what it costs to refuse one without a signature check.
func BenchmarkIssuerRules(b *testing.B) {
	p := newPair("HS256", "")
	rules := func(i *pb.Issuer) {
		i.Audiences, i.TokenTypes, i.Algorithms = []string{"https://a.test", "https://orders.test"}, []string{"JWT", "at+jwt"}, []string{"HS256", "RS256"}
		i.MaxLifetime, i.ClientIdClaims = seconds(3600), []string{"client", "azp"}
	}
	mapped := func(i *pb.Issuer) { i.ClaimMappings = []*pb.ClaimMapping{{Remote: "tenant.id", Local: "tenant"}} }
	own := p.sign(b, nil, typical())
	validate(b, "none", keyring(b, p), own, nil)
	validate(b, "all", keyring(b, p, rules), own, nil)
	validate(b, "a mapped claim", keyring(b, p, mapped), p.sign(b, nil, typical(object{"tenant": object{"id": "acme"}})), nil)
	validate(b, "refused/audience", keyring(b, p, rules), p.sign(b, nil, typical(object{"aud": "https://x.test"})), denial.InvalidToken)
	validate(b, "refused/issuer", keyring(b, p), p.sign(b, nil, typical(object{"iss": "https://x.test"})), denial.InvalidToken)
	validate(b, "refused/not a JWT", keyring(b, p), []byte(strings.Repeat("t", 629)), denial.InvalidToken)
}

func validate(b *testing.B, name string, r *authn.Keyring, compact []byte, want *denial.Denial) {
	b.Helper()
	a := authn.New(authn.Config{})
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, failure := a.Explain(r, compact, now); (want == nil) != (failure.Denial == nil) || want != nil && !errors.Is(failure.Denial, want) {
				b.Fatal(failure)
			}
		}
	})
}

// BenchmarkIntrospect: an introspected token while its answer is remembered.
func BenchmarkIntrospect(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"active":true,"client_id":"app","sub":"user","exp":%d}`, now+300)
	}))
	defer s.Close()
	i := compile(b, &pb.Issuer{Id: "idp", Issuer: iss, Introspection: &pb.Introspection{Url: s.URL, ClientId: "gateway", ClientSecret: &pb.Secret{Source: &pb.Secret_Value{Value: "secret"}}}}, nil)
	a, r, compact := authn.New(authn.Config{}), authn.NewKeyring([]*authn.Issuer{i}), []byte("0paque-7f9c2b6e11aa4fd3")
	if _, err := a.Introspect(r, i, netip.Addr{}, compact, now); err != nil {
		b.Fatal(err)
	}
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := a.Introspect(r, i, netip.Addr{}, compact, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkClaimed finds out who seems to have made a token that was refused.
func BenchmarkClaimed(b *testing.B) {
	a, r, compact := authn.New(authn.Config{}), ring(b), first().sign(b, nil, typical())
	b.ReportAllocs()
	for b.Loop() {
		if a.Claimed(r, compact, now) == nil {
			b.Fatal("nobody")
		}
	}
}
