package authn_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	definitions "github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

const (
	now    = int64(1_800_000_000)
	iss    = "https://idp.test"
	secret = "0123456789abcdef0123456789abcdef"
)

type object = map[string]any

// pair is a key pair as an identity provider has it.
type pair struct {
	alg, kid string
	private  any
}

func newPair(alg, kid string) pair {
	var key any
	var err error
	switch alg[:2] {
	case "RS", "PS":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "Ed":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key = []byte(secret)
	}
	if err != nil {
		panic(err)
	}
	return pair{alg, kid, key}
}

var (
	first  = sync.OnceValue(func() pair { return newPair("ES256", "k1") })
	second = sync.OnceValue(func() pair { return newPair("ES256", "k2") })
)

func (p pair) sign(t testing.TB, header, claims object) []byte {
	t.Helper()
	head := object{"alg": p.alg, "typ": "JWT"}
	if p.kid != "" {
		head["kid"] = p.kid
	}
	maps.Copy(head, header)
	enc := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	input := enc(head) + "." + enc(claims)
	sig, err := jwt.GetSigningMethod(p.alg).Sign(input, p.private)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(input + "." + base64.RawURLEncoding.EncodeToString(sig))
}

// jwks is the public half as a JWK set.
func jwks(t testing.TB, pairs ...pair) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	var keys []object
	for _, p := range pairs {
		signer, ok := p.private.(crypto.Signer)
		if !ok {
			t.Fatal("no public key")
		}
		switch public := signer.Public().(type) {
		case *ecdsa.PublicKey:
			point, err := public.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, object{"kty": "EC", "crv": "P-256", "kid": p.kid, "x": enc(point[1:33]), "y": enc(point[33:])})
		case *rsa.PublicKey:
			keys = append(keys, object{"kty": "RSA", "kid": p.kid, "n": enc(public.N.Bytes()), "e": "AQAB"})
		case ed25519.PublicKey:
			keys = append(keys, object{"kty": "OKP", "crv": "Ed25519", "kid": p.kid, "x": enc(public)})
		}
	}
	data, err := json.Marshal(object{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const url = "http://idp.test/jwks"

func issuer(change ...func(*pb.Issuer)) *pb.Issuer {
	i := &pb.Issuer{Id: "idp", Issuer: iss, ClockSkew: seconds(0), Keys: &pb.Keys{JwksUrls: []string{url}}}
	for _, c := range change {
		c(i)
	}
	return i
}

func fetched(t testing.TB, until int64, pairs ...pair) *pb.KeySet {
	t.Helper()
	return &pb.KeySet{Id: "idp", Sources: []*pb.KeySet_Source{{
		Url: url, Jwks: jwks(t, pairs...), UsableUntil: &timestamppb.Timestamp{Seconds: until},
	}}}
}

func compile(t testing.TB, i *pb.Issuer, set *pb.KeySet) *authn.Issuer {
	t.Helper()
	return compileWith(t, i, set, keyset.Secrets{})
}

func compileWith(t testing.TB, i *pb.Issuer, set *pb.KeySet, secrets keyset.Secrets) *authn.Issuer {
	t.Helper()
	compiled, faults := definitions.NewIssuer(i, set, secrets)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return authn.NewIssuer(compiled)
}

// ring has one issuer, with the first key.
func ring(t testing.TB, change ...func(*pb.Issuer)) *authn.Keyring {
	t.Helper()
	return authn.NewKeyring([]*authn.Issuer{compile(t, issuer(change...), fetched(t, now+1000, first()))})
}

func claims(more ...object) object {
	c := object{"iss": iss, "sub": "user", "azp": "app", "jti": "j1", "iat": now - 10, "exp": now + 300}
	for _, m := range more {
		for name, value := range m {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
	}
	return c
}

func seconds(n int64) *durationpb.Duration { return &durationpb.Duration{Seconds: n} }
