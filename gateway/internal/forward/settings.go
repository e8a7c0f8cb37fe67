package forward

import (
	"cmp"
	"crypto/tls"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/compile"
)

// Settings say where an Api's requests go, and how. Immutable.
type Settings struct{ *compile.Upstream }

// HasSandbox reports whether there are sandbox targets.
func (s Settings) HasSandbox() bool { return len(s.Sandbox) > 0 }

// Key is all that makes a connection to a target what it is: targets of equal
// Keys can share connections.
type Key struct {
	// Address is host and port.
	Address string
	// Secure: the target speaks TLS. The following are for that alone.
	Secure bool
	// CAPEM are the authorities that are trusted; empty: those of the system.
	CAPEM string
	// ServerName that certificates must have.
	ServerName string
	// Insecure: certificates are not looked at.
	Insecure bool
	// ConnectTimeout is for a connection, TLS handshake included.
	ConnectTimeout time.Duration
}

// Key returns the key of a target.
func (s Settings) Key(t *compile.Target) Key {
	key := Key{Address: t.Address, Secure: t.Secure, ConnectTimeout: s.ConnectTimeout}
	if t.Secure {
		key.CAPEM, key.Insecure = s.Upstream.TLS.CAPEM, s.Upstream.TLS.InsecureSkipVerify
		key.ServerName = cmp.Or(s.Upstream.TLS.ServerName, t.Name)
	}
	return key
}

// TLSConfig returns the configuration for connections to a target with this key;
// nil: it speaks no TLS.
func (s Settings) TLSConfig(k *Key) *tls.Config {
	if !k.Secure {
		return nil
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         k.ServerName,
		InsecureSkipVerify: k.Insecure, //nolint:gosec // asked for by insecure_skip_verify
		RootCAs:            s.Upstream.TLS.Roots,
		NextProtos:         []string{"http/1.1"},
	}
}
