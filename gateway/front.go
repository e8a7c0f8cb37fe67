package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// jwksPath is where the keys of signed_jwt are published, on both listeners.
const jwksPath = "/.well-known/portcullis/jwks.json"

// parseProxies reads addresses and CIDR blocks.
func parseProxies(texts []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if a, notAddress := netip.ParseAddr(text); notAddress == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is neither an address nor a CIDR block such as 10.0.0.0/8", text)
		case p.Addr().Is4In6():
			return nil, fmt.Errorf("%q: write an IPv4 address as such", text)
		case p != p.Masked():
			return nil, fmt.Errorf("%q has bits behind its prefix: is %s meant?", text, p.Masked())
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

// checkClientCert checks how proxies pass on certificates.
func (c *Config) checkClientCert() (ps fault.List) {
	if form := front.CertForm(c.ClientCertForm); c.ClientCertHeader == "" && form != "" && form != front.CertRFC9440 {
		ps = append(ps, fault.Fault{Field: "client-cert-form", Message: "says nothing without client-cert-header: no field is read", Hint: "name the field in which proxies pass on certificates"})
	}
	if problem := c.checkClientCertHeader(); problem != "" {
		ps = append(ps, fault.Fault{Field: "client-cert-header", Message: problem})
	}
	return ps
}

// checkClientCertHeader returns what is wrong with the setting; empty: nothing.
func (c *Config) checkClientCertHeader() string {
	switch {
	case c.ClientCertHeader == "":
		return ""
	case len(c.TrustedProxies) == 0:
		return "says nothing without trusted-proxies: nobody else's is read"
	}
	switch kind := request.Classify([]byte(c.ClientCertHeader)); {
	case strings.Trim(strings.ToLower(c.ClientCertHeader), "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return "is not a header name of letters, digits and '-'"
	case kind == request.Plain && !strings.EqualFold(c.ClientCertHeader, "Authorization"), kind == request.Forwarding:
		return ""
	}
	return "is a header that means something else"
}

// accessLog is which requests are logged.
func (c *Config) accessLog() front.AccessLog {
	switch {
	case c.LogRequests, c.AccessLog == "all":
		return front.LogAll
	case c.AccessLog == "off":
		return front.LogNone
	}
	return front.LogRefused
}

// openFront reads what the listener for consumers needs from files.
func openFront(cfg *Config) (pair *front.Keypair, proxies []netip.Prefix, err error) {
	if proxies, err = parseProxies(cfg.TrustedProxies); err != nil {
		return nil, nil, fmt.Errorf("trusted-proxies: %w", err)
	}
	if cfg.TLSCert == "" {
		return nil, proxies, nil
	}
	if pair, err = front.OpenKeypair(cfg.TLSCert, cfg.TLSKey, cfg.Logger); err != nil {
		return nil, nil, fmt.Errorf("tls-cert: %w", err)
	}
	expiry := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "portcullis_tls_certificate_expiry_timestamp_seconds", Help: "When the server's certificate expires.",
	}, func() float64 { return float64(pair.NotAfter().Unix()) })
	if err := cfg.Registry.Register(expiry); err != nil {
		return nil, nil, fmt.Errorf("register a metric: %w", err)
	}
	return pair, proxies, nil
}

// openSigner reads or makes the key that signs for upstreams. A node that serves
// from files needs no data directory, and gets none: its key then lives as long as
// the process.
func openSigner(cfg *Config) (*assertion.Signer, error) {
	if cfg.SigningKey != "" {
		text, err := cfg.ReadFile(cfg.SigningKey)
		if err != nil {
			return nil, fmt.Errorf("signing-key: %w", err)
		}
		s, err := assertion.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("signing-key %s: %w", cfg.SigningKey, err)
		}
		return s, nil
	}
	if len(cfg.Resources) > 0 {
		if _, err := os.Stat(cfg.DataDir); errors.Is(err, fs.ErrNotExist) {
			cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "there is no data-dir: the key for signed_jwt is as old as the process")
			return newSigner()
		}
	}
	return assertion.LoadOrMake(filepath.Join(cfg.DataDir, "signing-key.pem"))
}

func newSigner() (*assertion.Signer, error) {
	text, err := assertion.Generate()
	if err != nil {
		return nil, err
	}
	return assertion.Parse(text)
}

// pages are what the node itself answers on the front listener.
func pages(signer *assertion.Signer) map[string]*pipeline.Page {
	return map[string]*pipeline.Page{jwksPath: {ContentType: "application/jwk-set+json", Body: signer.JWKS()}}
}
