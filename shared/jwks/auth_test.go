package jwks_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/jwks"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// newTLSServer is one whose issuers trust it, and ask often.
func newTLSServer(t *testing.T, h http.HandlerFunc) (s *httptest.Server, trusting func(id string, urls ...string) *pb.Issuer) {
	t.Helper()
	s = httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, func(id string, urls ...string) *pb.Issuer {
		i := issuer(id, urls...)
		i.Jwks.Timeout = nil
		i.Jwks.CaPem = pemOf("CERTIFICATE", s.Certificate().Raw)
		return i
	}
}

// RFC 8414 puts its name before the issuer's path. It is asked after OpenID discovery
// has found nothing, and not if that document is another issuer's.
func TestMetadataOfRFC8414(t *testing.T) {
	var s *server
	asked := sync.Map{}
	claimed := func(w http.ResponseWriter, issuer string) {
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer, s.URL+"/keys")
	}
	s = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.Path, true)
		switch r.URL.Path {
		case "/.well-known/oauth-authorization-server/tenant", "/.well-known/oauth-authorization-server/forged", "/elsewhere":
			claimed(w, s.URL+"/tenant")
		case "/.well-known/oauth-authorization-server/stranger":
			claimed(w, s.URL+"/stranger")
		case "/.well-known/oauth-authorization-server/large", "/.well-known/oauth-authorization-server/down":
			claimed(w, s.URL+strings.TrimPrefix(r.URL.Path, "/.well-known/oauth-authorization-server"))
		case "/large/.well-known/openid-configuration":
			_, _ = w.Write(make([]byte, 65<<10))
		case "/down/.well-known/openid-configuration":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/stranger/.well-known/openid-configuration":
			claimed(w, "https://other.test")
		case "/keys":
			body(set("a"))(w, r)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	of := func(id, path string, change func(*pb.Issuer)) *pb.Issuer {
		i := issuer(id)
		i.Issuer, i.Discovery = s.URL+path, true
		if change != nil {
			change(i)
		}
		return i
	}
	w := run(t, nil, of("either", "/tenant", nil),
		of("oauth", "/tenant", func(i *pb.Issuer) { i.Metadata = pb.Issuer_OAUTH }),
		of("written", "/tenant", func(i *pb.Issuer) { i.MetadataUrl = s.URL + "/elsewhere" }),
		of("openid", "/tenant", func(i *pb.Issuer) { i.Metadata = pb.Issuer_OPENID }),
		of("forged", "/forged", nil), of("stranger", "/stranger", nil), of("large", "/large", nil), of("down", "/down", nil))
	for _, id := range []string{"either", "oauth", "written"} {
		eventually(t, id, func() bool { return w.kids(id) == "a" })
	}
	eventually(t, "no OpenID document", func() bool { return w.outcome("openid", jwks.BadStatus) > 0 })
	for _, id := range []string{"forged", "stranger"} {
		eventually(t, id, func() bool { return w.outcome(id, jwks.BadDiscovery) > 0 })
		if w.kids(id) != "" {
			t.Errorf("%s: another issuer's metadata count", id)
		}
	}
	eventually(t, "too large", func() bool { return w.outcome("large", jwks.TooLarge) > 0 })
	eventually(t, "down", func() bool { return w.outcome("down", jwks.BadStatus) > 0 })
	for _, id := range []string{"stranger", "large", "down"} {
		if _, ok := asked.Load("/.well-known/oauth-authorization-server/" + id); ok {
			t.Errorf("%s: the next document was asked for although it was not said that there is none before it", id)
		}
	}
}

// The Kubernetes API server shows its key set to service accounts only, whose token
// is exchanged in its file.
func TestBearerTokenForKeyServer(t *testing.T) {
	var want atomic.Pointer[string]
	first, second := "first", "second"
	want.Store(&first)
	s, trusting := newTLSServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+*want.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body(set("a"))(w, r)
	})
	file := atomic.Pointer[string]{}
	file.Store(&first)
	with := func(id string, secret *pb.Secret) *pb.Issuer {
		i := trusting(id, s.URL+"/"+id)
		i.Jwks.BearerToken = secret
		return i
	}
	w := run(t, func(c *jwks.Config) {
		c.Secrets = keyset.Secrets{File: func(path string) ([]byte, error) {
			if path != "/token" {
				return nil, errors.New("no such file")
			}
			return []byte(*file.Load() + "\n"), nil
		}}
	},
		with("good", &pb.Secret{Source: &pb.Secret_File{File: "/token"}}), with("none", nil),
		with("wrong", &pb.Secret{Source: &pb.Secret_Value{Value: "x"}}),
		with("absent", &pb.Secret{Source: &pb.Secret_File{File: "/absent"}}),
		with("env", &pb.Secret{Source: &pb.Secret_Env{Env: "TOKEN"}}))
	eventually(t, "the set", func() bool { return w.kids("good") == "a" })
	eventually(t, "no token", func() bool { return w.outcome("none", jwks.BadStatus) > 0 })
	eventually(t, "a wrong token", func() bool { return w.outcome("wrong", jwks.BadStatus) > 0 })
	eventually(t, "no file", func() bool { return w.outcome("absent", jwks.NoSecret) > 0 })
	eventually(t, "no environment", func() bool { return w.outcome("env", jwks.NoSecret) > 0 })

	want.Store(&second)
	file.Store(&second)
	before := w.outcome("good", jwks.Success)
	w.Refresh("good")
	eventually(t, "the new token", func() bool { return w.outcome("good", jwks.Success) > before })
}

// The token is for hosts that somebody wrote down, not for those that metadata lead to.
func TestBearerTokenStaysOnWrittenHosts(t *testing.T) {
	var stolen atomic.Pointer[string]
	elsewhere, _ := newTLSServer(t, func(w http.ResponseWriter, r *http.Request) {
		got := r.Header.Get("Authorization")
		stolen.Store(&got)
		body(set("a"))(w, r)
	})
	var s *httptest.Server
	s, trusting := newTLSServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL, elsewhere.URL)
	})
	i := trusting("idp")
	i.Issuer, i.Discovery = s.URL, true
	i.Jwks.BearerToken = &pb.Secret{Source: &pb.Secret_Value{Value: "secret"}}
	w := run(t, nil, i)
	eventually(t, "the set", func() bool { return w.kids("idp") == "a" })
	if got := stolen.Load(); got == nil || *got != "" {
		t.Errorf("a host that metadata name got %v", got)
	}
}

func TestClientCertificateForKeyServer(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s, trusting := newTLSServer(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 || string(r.TLS.PeerCertificates[0].Raw) != string(cert) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		body(set("a"))(w, r)
	})
	with, without := trusting("with", s.URL), trusting("without", s.URL)
	with.Jwks.ClientCertPem = pemOf("CERTIFICATE", cert)
	with.Jwks.ClientKey = &pb.Secret{Source: &pb.Secret_Value{Value: pemOf("PRIVATE KEY", private)}}
	lost := trusting("lost", s.URL)
	lost.Jwks.ClientCertPem = with.Jwks.ClientCertPem
	lost.Jwks.ClientKey = &pb.Secret{Source: &pb.Secret_File{File: "/absent"}}
	w := run(t, func(c *jwks.Config) {
		c.Secrets.File = func(string) ([]byte, error) { return nil, errors.New("no such file") }
	}, with, without, lost)
	eventually(t, "the set", func() bool { return w.kids("with") == "a" })
	eventually(t, "no certificate", func() bool { return w.outcome("without", jwks.BadStatus) > 0 })
	eventually(t, "no key", func() bool { return w.outcome("lost", jwks.NoSecret) > 0 })
	if strings.Contains(w.kids("without")+w.kids("lost"), "a") {
		t.Error("who did not say who they are share the fetches of one who did")
	}
}
