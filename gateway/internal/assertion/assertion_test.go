package assertion_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

const now = 1_900_000_000

func armour(kind string, der []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(private any) string {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	return armour("PRIVATE KEY", der, err)
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func edKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// opened verifies a JWT as an upstream would, and returns its claims.
func opened(t *testing.T, s *assertion.Signer, compact string) map[string]any {
	t.Helper()
	set, skipped, err := keyset.ParseJWKS(s.JWKS(), keyset.Options{})
	if err != nil || len(skipped) > 0 {
		t.Fatal(err, skipped)
	}
	u, err := token.Parse([]byte(compact))
	if err != nil {
		t.Fatal(err)
	}
	k, err := u.Verify(set, now)
	if err != nil {
		t.Fatal(err)
	}
	if u.KeyID != s.KeyID() || u.KeyID != k.Thumbprint() {
		t.Errorf("kid %q, want the thumbprint %q", u.KeyID, k.Thumbprint())
	}
	var claims map[string]any
	if err := json.Unmarshal([]byte(u.Claims.JSON()), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func signer(t *testing.T, text string) *assertion.Signer {
	t.Helper()
	s, err := assertion.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeys(t *testing.T) {
	r, e, d := rsaKey(t, 2048), ecKey(t, elliptic.P256()), edKey(t)
	sec1, err := x509.MarshalECPrivateKey(e)
	for name, text := range map[string]string{
		"RSA":          pkcs8(r),
		"RSA PKCS#1":   armour("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), nil),
		"EC":           pkcs8(e),
		"EC SEC 1":     armour("EC PARAMETERS", []byte{6, 8, 42}, nil) + armour("EC PRIVATE KEY", sec1, err),
		"Ed25519":      pkcs8(d),
		"first signs":  pkcs8(e) + "\n" + pkcs8(r) + pkcs8(d),
		"blanks after": pkcs8(e) + "\n\n",
	} {
		s := signer(t, text)
		signed, err := planOf(s, &pb.SignedJwt{}).Sign(&assertion.Caller{Subject: "alice"}, now)
		if err != nil {
			t.Fatal(err)
		}
		if claims := opened(t, s, signed.JWT); claims["sub"] != "alice" {
			t.Errorf("%s: %v", name, claims)
		}
		if strings.Contains(string(s.JWKS()), `"d"`) {
			t.Errorf("%s: a private key is published", name)
		}
	}
	var published struct {
		Keys []struct{ Kid, Use, Alg string }
	}
	if err := json.Unmarshal(signer(t, pkcs8(e)+pkcs8(r)+pkcs8(d)).JWKS(), &published); err != nil {
		t.Fatal(err)
	}
	var algorithms []string
	for _, k := range published.Keys {
		algorithms = append(algorithms, k.Use+" "+k.Alg)
	}
	if diff := cmp.Diff([]string{"sig ES256", "sig RS256", "sig EdDSA"}, algorithms); diff != "" {
		t.Error(diff)
	}
}

func TestKeysRefused(t *testing.T) {
	e := ecKey(t, elliptic.P256())
	public, err := x509.MarshalPKIXPublicKey(e.Public())
	for name, c := range map[string]struct{ text, want string }{
		"empty":       {"", "no private key"},
		"text":        {"no key at all", "not a whole PEM block"},
		"rest":        {pkcs8(e) + "tail", "not a whole PEM block"},
		"public":      {armour("PUBLIC KEY", public, err), "not a private key"},
		"short RSA":   {pkcs8(rsaKey(t, 1024)), "1024 bits"},
		"other curve": {pkcs8(ecKey(t, elliptic.P384())), "P-256"},
		"encrypted":   {armour("ENCRYPTED PRIVATE KEY", []byte{1}, nil), "decrypt it"},
		"broken":      {armour("PRIVATE KEY", []byte{1}, nil), "cannot be read"},
		"second":      {pkcs8(e) + armour("PRIVATE KEY", []byte{1}, nil), "key 2:"},
		"too many":    {strings.Repeat(pkcs8(e), 9), "more than 8 keys"},
	} {
		if _, err := assertion.Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestLoadOrMake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "signing-key.pem")
	first, err := assertion.LoadOrMake(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := assertion.LoadOrMake(path)
	if err != nil || first.KeyID() != second.KeyID() {
		t.Errorf("the key did not survive: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.tmp")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := assertion.LoadOrMake(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged file: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "damaged" {
		t.Error("a damaged file was overwritten")
	}
}

// planOf is the plan gold of orders with these settings.
func planOf(s *assertion.Signer, settings *pb.SignedJwt) *assertion.Plan {
	return s.Plan(compile.NewAssertion(&pb.Plan{
		Id: "gold", Name: "Gold & more", Api: "orders", Security: pb.Plan_JWT, Jwt: &pb.JwtSettings{SignedJwt: settings},
	}))
}

func TestClaims(t *testing.T) {
	s := signer(t, pkcs8(ecKey(t, elliptic.P256())))
	p := planOf(s, &pb.SignedJwt{
		Issuer: "gw", Audience: "backend", Lifetime: durationpb.New(100 * time.Second),
		Claims: []string{"tenant", "org.name", "roles", "big", "absent", "tenant", "iss", "exp", "sub", "urn:portcullis:plan"},
	})
	signed, err := p.Sign(&assertion.Caller{
		Issuer: "https://acme.test", Subject: "alice", ClientID: "app-1", Application: "mobile", ApplicationName: "Mobile \"x\"", Sandbox: true,
		Claims: claims(t, `{"iss":"evil","sub":"evil","exp":1,"tenant":"acme","org":{"name":"Größe"},"roles":["a","b"],"big":9007199254740993,"urn:portcullis:plan":"evil"}`),
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	got := opened(t, s, signed.JWT)
	if jti, _ := got["jti"].(string); len(jti) < 20 {
		t.Errorf("jti %q", jti)
	}
	delete(got, "jti")
	want := map[string]any{
		"iss": "gw", "aud": "backend", "sub": "alice", "client_id": "app-1", "iat": float64(now), "exp": float64(now + 100),
		"urn:portcullis:issuer": "https://acme.test", "urn:portcullis:api": "orders", "urn:portcullis:plan": "gold", "urn:portcullis:plan_name": "Gold & more",
		"urn:portcullis:application": "mobile", "urn:portcullis:application_name": `Mobile "x"`, "urn:portcullis:environment": "SANDBOX",
		"tenant": "acme", "org.name": "Größe", "roles": []any{"a", "b"}, "big": float64(9007199254740993),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if payload := payloadOf(t, signed.JWT); !strings.Contains(payload, `"big":9007199254740993`) || strings.Count(payload, `"iss"`) != 1 {
		t.Errorf("payload %s", payload)
	}
	if got := planOf(s, &pb.SignedJwt{}).Header; got != "X-JWT-Assertion" {
		t.Errorf("header %q", got)
	}
}

func TestLifetime(t *testing.T) {
	s := signer(t, pkcs8(edKey(t)))
	for _, c := range []struct {
		lifetime           time.Duration
		tokenEnds          int64
		wantEnd, wantRenew int64
	}{
		{0, 0, 300, 240},
		{time.Second, 0, 1, 1},
		{100 * time.Second, 0, 100, 80},
		{100 * time.Second, 60, 60, 60}, // never longer than the token
		{100 * time.Second, 100, 100, 100},
		{100 * time.Second, 101, 100, 80},
	} {
		settings := &pb.SignedJwt{}
		if c.lifetime > 0 {
			settings.Lifetime = durationpb.New(c.lifetime)
		}
		caller := &assertion.Caller{}
		if c.tokenEnds > 0 {
			caller.ExpiresAt = now + c.tokenEnds
		}
		signed, err := planOf(s, settings).Sign(caller, now)
		if err != nil {
			t.Fatal(err)
		}
		if signed.ExpiresAt != now+c.wantEnd || signed.Renew != now+c.wantRenew {
			t.Errorf("%v, token ends in %d: ends in %d, renewed in %d", c.lifetime, c.tokenEnds, signed.ExpiresAt-now, signed.Renew-now)
		}
		if got := opened(t, s, signed.JWT)["exp"]; got != float64(signed.ExpiresAt) {
			t.Errorf("exp %v, want %d", got, signed.ExpiresAt)
		}
	}
}

func claims(t *testing.T, payload string) *token.Claims {
	t.Helper()
	c, err := token.ParseObject([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func payloadOf(t *testing.T, compact string) string {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(payload)
}
