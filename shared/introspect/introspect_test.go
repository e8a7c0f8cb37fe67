package introspect_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/introspect"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// somebody is who asks, where that does not matter.
var somebody = netip.MustParseAddr("192.0.2.1")

func issuer(change func(*pb.Introspection)) *pb.Issuer {
	i := &pb.Issuer{Id: "idp", Issuer: "https://idp.test", Introspection: &pb.Introspection{
		Url: "https://idp.test/introspect", ClientId: "gateway", ClientSecret: &pb.Secret{Source: &pb.Secret_Value{Value: "secret"}},
		Timeout: durationpb.New(time.Second),
	}}
	if change != nil {
		change(i.Introspection)
	}
	return i
}

func compile(t testing.TB, i *pb.Issuer) *introspect.Settings {
	t.Helper()
	s, err := introspect.Compile(i, keyset.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func active(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"active":true,"client_id":"app"}`)
}

func outcome(t testing.TB, err error) introspect.Outcome {
	t.Helper()
	if errors.Is(err, introspect.ErrInactive) {
		return introspect.Inactive
	}
	failure, ok := errors.AsType[*introspect.Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	return failure.Outcome
}

func privatePEM(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestCompile(t *testing.T) {
	if s, err := introspect.Compile(&pb.Issuer{}, keyset.Secrets{}); s != nil || err != nil {
		t.Errorf("no introspection: %v, %v", s, err)
	}
	value := func(text string) *pb.Secret { return &pb.Secret{Source: &pb.Secret_Value{Value: text}} }
	withKey := func(text string) func(*pb.Introspection) {
		return func(i *pb.Introspection) { i.ClientSecret, i.PrivateKey = nil, value(text) }
	}
	tests := []struct {
		name   string
		change func(*pb.Introspection)
		want   string // empty: good
	}{
		{"good", nil, ""},
		{"no secret", func(i *pb.Introspection) { i.ClientSecret = nil }, "introspection.client_secret"},
		{"empty secret", func(i *pb.Introspection) { i.ClientSecret = value("") }, "introspection.client_secret"},
		{"not set", func(i *pb.Introspection) {
			i.ClientSecret = &pb.Secret{Source: &pb.Secret_Env{Env: "NOPE"}}
		}, "NOPE is not set"},
		{"no file", func(i *pb.Introspection) {
			i.ClientSecret = &pb.Secret{Source: &pb.Secret_File{File: "/nope"}}
		}, "introspection.client_secret"},
		{"key", withKey(privatePEM(t, ecKey(t, elliptic.P256()))), ""},
		{"no key", withKey("x"), "introspection.private_key: it is not PEM"},
		{"weak key", withKey(privatePEM(t, rsaKey(t, 1024))), "2048"},
		{"other curve", withKey(privatePEM(t, ecKey(t, elliptic.P384()))), "P-256"},
		{"public key", withKey("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "introspection.private_key"},
	}
	for _, tt := range tests {
		secrets := keyset.Secrets{Env: func(string) (string, bool) { return "", false }, File: os.ReadFile}
		_, err := introspect.Compile(issuer(tt.change), secrets)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestSecretPlaces(t *testing.T) {
	var got atomic.Value
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, pass, _ := r.BasicAuth()
		got.Store(pass)
		active(w)
	})
	secrets := keyset.Secrets{
		Env:  func(name string) (string, bool) { return "of " + name, true },
		File: func(path string) ([]byte, error) { return []byte("in " + path + "\r\n"), nil },
	}
	for want, secret := range map[string]*pb.Secret{
		"of+E": {Source: &pb.Secret_Env{Env: "E"}}, "in+F": {Source: &pb.Secret_File{File: "F"}}, "%25%3A": {Source: &pb.Secret_Value{Value: "%:"}},
	} {
		settings, err := introspect.Compile(issuer(func(i *pb.Introspection) { i.Url, i.ClientSecret = s.URL, secret }), secrets)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := introspect.NewClient(settings).Ask(t.Context(), somebody, "t"); err != nil || got.Load() != want {
			t.Errorf("got %v, %v; want %s", got.Load(), err, want)
		}
	}
}

func TestPrivateKeyJWT(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for alg, key := range map[string]crypto.Signer{"RS256": rsaKey(t, 2048), "ES256": ecKey(t, elliptic.P256()), "EdDSA": ed} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.ParseForm() != nil || r.Header.Get("Authorization") != "" || r.PostForm.Get("token") != "t" ||
				r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
				t.Errorf("%s: %v", alg, r.PostForm)
			}
			claims := jwt.MapClaims{}
			_, err := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithAudience("https://idp.test"), jwt.WithIssuer("gateway"),
				jwt.WithSubject("gateway"), jwt.WithExpirationRequired(), jwt.WithIssuedAt()).
				ParseWithClaims(r.PostForm.Get("client_assertion"), claims, func(*jwt.Token) (any, error) { return key.Public(), nil })
			id, _ := claims["jti"].(string)
			if err != nil || id == "" || seen[id] {
				t.Errorf("%s: %v, %v", alg, err, claims)
			}
			seen[id] = true
			active(w)
		})
		c := introspect.NewClient(compile(t, issuer(func(i *pb.Introspection) {
			i.Url, i.ClientSecret, i.PrivateKey = s.URL, nil, &pb.Secret{Source: &pb.Secret_Value{Value: privatePEM(t, key)}}
		})))
		for range 2 {
			if _, err := c.Ask(t.Context(), somebody, "t"); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
	}
}

func TestDiscovery(t *testing.T) {
	var base string
	var lookups, asked atomic.Int64
	var metadata atomic.Value
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			lookups.Add(1)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, strings.ReplaceAll(metadata.Load().(string), "BASE", base))
		case "/ask":
			asked.Add(1)
			active(w)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	base = s.URL
	client := func() *introspect.Client {
		i := issuer(func(i *pb.Introspection) { i.Url = "" })
		i.Issuer, i.Discovery = base, true
		return introspect.NewClient(compile(t, i))
	}
	metadata.Store(`{"issuer":"BASE","introspection_endpoint":"BASE/ask"}`)
	c := client()
	for range 3 {
		if _, err := c.Ask(t.Context(), somebody, "t"); err != nil {
			t.Fatal(err)
		}
	}
	if lookups.Load() != 1 || asked.Load() != 3 {
		t.Errorf("%d look-ups, %d questions", lookups.Load(), asked.Load())
	}
	asked.Store(0)
	for name, text := range map[string]string{
		"another issuer":    `{"issuer":"https://evil.test","introspection_endpoint":"BASE/ask"}`,
		"none":              `{"issuer":"BASE"}`,
		"no URL":            `{"issuer":"BASE","introspection_endpoint":"/ask"}`,
		"twice":             `{"issuer":"BASE","introspection_endpoint":"BASE/x","introspection_endpoint":"BASE/ask"}`,
		"not JSON":          `<html>`,
		"with a user in it": `{"issuer":"BASE","introspection_endpoint":"http://a:b@` + strings.TrimPrefix(s.URL, "http://") + `/ask"}`,
	} {
		metadata.Store(text)
		if _, err := client().Ask(t.Context(), somebody, "t"); outcome(t, err) != introspect.Undiscovered {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked.Load() != 0 {
		t.Error("a server was asked that the metadata do not name")
	}
}

// Where a server has no OpenID document, it may have that of RFC 8414. One that is
// away has not said so.
func TestDiscoveryOfRFC8414(t *testing.T) {
	var base string
	var first atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/oauth-authorization-server/tenant":
			_, _ = io.WriteString(w, `{"issuer":"`+base+`/tenant","introspection_endpoint":"`+base+`/ask"}`)
		case "/ask":
			active(w)
		default:
			w.WriteHeader(int(first.Load()))
		}
	})
	base = s.URL
	ask := func(change func(*pb.Issuer)) error {
		i := issuer(func(i *pb.Introspection) { i.Url = "" })
		i.Issuer, i.Discovery = base+"/tenant", true
		change(i)
		_, err := introspect.NewClient(compile(t, i)).Ask(t.Context(), somebody, "t")
		return err
	}
	for status, good := range map[int64]bool{404: true, 401: true, 503: false, 429: false} {
		first.Store(status)
		if err := ask(func(*pb.Issuer) {}); (err == nil) != good {
			t.Errorf("after %d: %v", status, err)
		}
	}
	first.Store(http.StatusNotFound)
	for name, change := range map[string]func(*pb.Issuer){
		"by name": func(i *pb.Issuer) { i.Metadata = pb.Issuer_OAUTH },
		"written": func(i *pb.Issuer) { i.MetadataUrl = base + "/.well-known/oauth-authorization-server/tenant" },
	} {
		if err := ask(change); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ask(func(i *pb.Issuer) { i.Metadata = pb.Issuer_OPENID }); err == nil {
		t.Error("asked for OpenID only, it looked elsewhere")
	}
}

// An https issuer's metadata cannot send live tokens over plain HTTP.
func TestDiscoveryDoesNotLeaveTLS(t *testing.T) {
	plain := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked over plain HTTP") })
	var base string
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": base, "introspection_endpoint": plain.URL})
	}))
	t.Cleanup(s.Close)
	base = s.URL
	i := issuer(func(i *pb.Introspection) { i.Url = "" })
	i.Issuer, i.Discovery = base, true
	i.Jwks = &pb.JwksSettings{CaPem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))}
	_, err := introspect.NewClient(compile(t, i)).Ask(t.Context(), somebody, "t")
	if outcome(t, err) != introspect.Undiscovered || !strings.Contains(err.Error(), "https") {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { active(w) }))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	unknown := introspect.NewClient(compile(t, issuer(func(i *pb.Introspection) { i.Url = s.URL })))
	if _, err := unknown.Ask(t.Context(), somebody, "t"); outcome(t, err) != introspect.Unreachable {
		t.Error(err)
	}
	known := introspect.NewClient(compile(t, issuer(func(i *pb.Introspection) {
		i.Url, i.CaPem = s.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	})))
	if _, err := known.Ask(t.Context(), somebody, "t"); err != nil {
		t.Error(err)
	}
}

// What one token brings about does not shut a server off for the others.
func TestBreakerCountsTheServersFaultsOnly(t *testing.T) {
	var status atomic.Int64
	var calls atomic.Int64
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		if n := status.Load(); n != 200 {
			w.WriteHeader(int(n))
			return
		}
		active(w)
	})
	c := introspect.NewClient(compile(t, issuer(func(i *pb.Introspection) { i.Url = s.URL })))
	status.Store(400)
	for range 50 {
		if _, err := c.Ask(t.Context(), somebody, "t"); outcome(t, err) != introspect.BadStatus {
			t.Fatal(err)
		}
	}
	if open, _ := c.Circuit(); open || calls.Load() != 50 {
		t.Error("answers 400 opened the circuit")
	}
	status.Store(500)
	for range 5 {
		_, _ = c.Ask(t.Context(), somebody, "t")
	}
	calls.Store(0)
	if _, err := c.Ask(t.Context(), somebody, "t"); outcome(t, err) != introspect.Open || calls.Load() != 0 {
		t.Error(err)
	}
	status.Store(200)
	deadline := time.Now().Add(5 * time.Second)
	for {
		if _, err := c.Ask(t.Context(), somebody, "t"); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("the circuit does not close")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if open, openings := c.Circuit(); open || openings != 1 || calls.Load() != 1 {
		t.Errorf("open %v, opened %d times, asked %d times", open, openings, calls.Load())
	}
}

func TestQuestionsAreBounded(t *testing.T) {
	var at, most atomic.Int64
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n := at.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		at.Add(-1)
		active(w)
	})
	c := introspect.NewClient(compile(t, issuer(func(i *pb.Introspection) { i.Url, i.Timeout = s.URL, durationpb.New(20*time.Second) })))
	var questions sync.WaitGroup
	for range 64 {
		questions.Go(func() {
			if _, err := c.Ask(t.Context(), somebody, "t"); err != nil {
				t.Error(err)
			}
		})
	}
	for at.Load() < 64 {
		time.Sleep(time.Millisecond)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := c.Ask(ctx, somebody, "t"); outcome(t, err) != introspect.Busy {
			t.Error(err)
		}
		cancel()
	}
	close(release)
	questions.Wait()
	if most.Load() != 64 {
		t.Errorf("%d at a time", most.Load())
	}
}

func TestPool(t *testing.T) {
	p := introspect.NewPool()
	first := p.Client(compile(t, issuer(nil)))
	if p.Client(compile(t, issuer(nil))) != first {
		t.Error("the same settings have another client")
	}
	for name, change := range map[string]func(*pb.Introspection){
		"url":    func(i *pb.Introspection) { i.Url += "/x" },
		"client": func(i *pb.Introspection) { i.ClientId = "x" },
		"secret": func(i *pb.Introspection) { i.ClientSecret = &pb.Secret{Source: &pb.Secret_Value{Value: "x"}} },
		"time":   func(i *pb.Introspection) { i.Timeout = durationpb.New(time.Minute / 2) },
	} {
		if p.Client(compile(t, issuer(change))) == first {
			t.Errorf("another %s has the same client", name)
		}
	}
	other := issuer(nil)
	other.Id = "other"
	if p.Client(compile(t, other)) == first {
		t.Error("another issuer has the same client")
	}
}

// An answer is never cut off to what can be read of it.
func TestTooLarge(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"active":true}`+strings.Repeat(" ", 64<<10))
	})
	c := introspect.NewClient(compile(t, issuer(func(i *pb.Introspection) { i.Url = s.URL })))
	if _, err := c.Ask(t.Context(), somebody, "t"); outcome(t, err) != introspect.TooLarge {
		t.Error(err)
	}
}
