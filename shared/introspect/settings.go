package introspect

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/discovery"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

// The defaults of an issuer's introspection.
const (
	defaultTimeout = 2 * time.Second
	defaultTTL     = 30 * time.Second
)

// ID identifies settings: those with the same ID are the same in everything, the
// content of secrets included.
type ID [sha256.Size]byte

// Settings are an issuer's introspection, ready for use. Immutable.
type Settings struct {
	id       ID
	issuer   string   // its `iss`
	url      string   // empty: by discovery
	metadata []string // where discovery looks
	clientID string
	secret   string
	key      crypto.Signer // nil: by secret
	timeout  time.Duration
	ttl      time.Duration
	roots    *x509.CertPool // nil: the system's
}

// Compile prepares the introspection of an issuer whose fields are sound, with the
// secrets that it names; one that secrets does not read is left out. It returns nil
// if the issuer has no introspection. The error names the field.
func Compile(issuer *pb.Issuer, secrets keyset.Secrets) (*Settings, error) {
	in := issuer.GetIntrospection()
	if in == nil {
		return nil, nil //nolint:nilnil // none is no fault
	}
	s := &Settings{
		issuer: issuer.GetIssuer(), url: in.GetUrl(), clientID: in.GetClientId(), metadata: discovery.URLs(issuer),
		timeout: duration(in.GetTimeout(), defaultTimeout), ttl: duration(in.GetCacheTtl(), defaultTTL),
	}
	ca := in.GetCaPem()
	if ca == "" && s.url == "" {
		ca = issuer.GetJwks().GetCaPem()
	}
	if ca != "" {
		s.roots = x509.NewCertPool()
		s.roots.AppendCertsFromPEM([]byte(ca))
	}
	proof, err := s.authentication(in, secrets)
	if err != nil {
		return nil, fmt.Errorf("introspection.%w", err)
	}
	s.id = identify(issuer.GetId(), s.issuer, s.url, strings.Join(s.metadata, " "), s.clientID, ca, proof, s.timeout.String(), s.ttl.String())
	return s, nil
}

// authentication reads how the gateway proves who it is, and returns what was
// read, so that settings with other secrets are other settings.
func (s *Settings) authentication(in *pb.Introspection, secrets keyset.Secrets) (proof string, err error) {
	if key := in.GetPrivateKey(); key != nil {
		text, err := keyset.ReadSecret(key, secrets)
		if err == nil && text != "" {
			s.key, err = parseKey(text)
		}
		if err != nil {
			return "", fmt.Errorf("private_key: %w", err)
		}
		return "key " + text, nil
	}
	if s.secret, err = keyset.ReadSecret(in.GetClientSecret(), secrets); err != nil {
		return "", fmt.Errorf("client_secret: %w", err)
	}
	return "secret " + s.secret, nil
}

func identify(parts ...string) ID {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return ID(h.Sum(nil))
}

func duration(d *durationpb.Duration, def time.Duration) time.Duration {
	if d == nil {
		return def
	}
	return d.AsDuration()
}

// TTL is how long an answer that says active may be used again; 0: not at all.
func (s *Settings) TTL() time.Duration { return s.ttl }

// checkURL wants https, or http if issuer does not promise better.
func checkURL(text, issuer string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("it is not an http or https URL with a host and without user and fragment")
	case u.Scheme == "http" && strings.HasPrefix(issuer, "https:"):
		return errors.New("it is not an https URL, as the issuer is")
	}
	return nil
}

func (s *Settings) tls() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.roots}
}
