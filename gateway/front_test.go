package gateway

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

func TestParseProxies(t *testing.T) {
	got, err := parseProxies([]string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128"} {
		if got[i].String() != want {
			t.Errorf("got %s, want %s", got[i], want)
		}
	}
	for text, want := range map[string]string{
		"10.0.0.0/33": "neither an address", "proxy.internal": "neither an address", "10.1.0.0/8": "is 10.0.0.0/8 meant?",
		"::ffff:10.0.0.1": "IPv4", "fe80::1%eth0": "neither an address", "": "neither an address",
	} {
		if _, err := parseProxies([]string{"10.0.0.0/8", text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestValidateFront(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*Config)
		setting string // with a fault; empty: none
	}{
		"nothing":           {func(*Config) {}, ""},
		"certificate alone": {func(c *Config) { c.TLSCert = "a" }, "tls-cert"},
		"key alone":         {func(c *Config) { c.TLSKey = "a" }, "tls-cert"},
		"both":              {func(c *Config) { c.TLSCert, c.TLSKey = "a", "b" }, ""},
		"proxies":           {func(c *Config) { c.TrustedProxies = []string{"x"} }, "trusted-proxies"},
		"a long token":      {func(c *Config) { c.MaxTokenSize, c.MaxHeader = 32<<10, 40<<10 }, ""},
		"no room for it":    {func(c *Config) { c.MaxTokenSize = 32 << 10 }, "max-token-size"},
		"a short header":    {func(c *Config) { c.MaxHeader = 8 << 10 }, ""},
		"header of nobody":  {func(c *Config) { c.ClientCertHeader = "Client-Cert" }, "client-cert-header"},
		"header":            {func(c *Config) { c.ClientCertHeader, c.TrustedProxies = "client-cert", []string{"::1"} }, ""},
		"a form of nothing": {func(c *Config) { c.ClientCertForm = "xfcc" }, "client-cert-form"},
		"a form": {func(c *Config) {
			c.ClientCertForm, c.ClientCertHeader, c.TrustedProxies = "xfcc", "X-Forwarded-Client-Cert", []string{"::1"}
		}, ""},
		"own header":          {func(c *Config) { c.ClientCertHeader, c.TrustedProxies = "X-SSL-Cert", []string{"::1"} }, ""},
		"underscores":         {func(c *Config) { c.ClientCertHeader, c.TrustedProxies = "X_Cert", []string{"::1"} }, "client-cert-header"},
		"another meaning":     {func(c *Config) { c.ClientCertHeader, c.TrustedProxies = "Connection", []string{"::1"} }, "client-cert-header"},
		"the bearer's header": {func(c *Config) { c.ClientCertHeader, c.TrustedProxies = "authorization", []string{"::1"} }, "client-cert-header"},
	} {
		cfg := DefaultConfig()
		c.change(&cfg)
		err := cfg.Validate()
		problems, _ := errors.AsType[fault.List](err)
		if c.setting == "" && err != nil || c.setting != "" && (len(problems) != 1 || problems[0].Field != c.setting) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenSigner(t *testing.T) {
	dir := t.TempDir()
	text, err := assertion.Generate()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(change func(*Config)) (*assertion.Signer, error) {
		cfg := DefaultConfig()
		cfg.DataDir = filepath.Join(dir, "data")
		change(&cfg)
		return openSigner(&cfg)
	}
	id := func(change func(*Config)) string {
		t.Helper()
		s, err := open(change)
		if err != nil {
			t.Fatal(err)
		}
		return s.KeyID()
	}
	files := func(c *Config) { c.Resources = []string{"x.yaml"} }
	if a, b := id(files), id(files); a == b {
		t.Error("without a data directory two processes have one key")
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("a node that serves from files made a data directory")
	}
	if a, b := id(func(*Config) {}), id(func(*Config) {}); a != b {
		t.Error("the key of the data directory changes")
	}
	if a, b := id(files), id(func(*Config) {}); a != b {
		t.Error("a node that serves from files does not use the data directory")
	}
	if a, b := id(func(c *Config) { c.SigningKey = file }), id(func(*Config) {}); a == b {
		t.Error("signing-key is not used")
	}
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ file, want string }{
		"no file": {filepath.Join(dir, "none"), "none"}, "no key": {empty, "no private key"},
	} {
		if _, err := open(func(cfg *Config) { cfg.SigningKey = c.file }); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "signing-key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A node with TLS and a signing key, from outside.
func TestNodeOverTLS(t *testing.T) {
	dir := t.TempDir()
	resources := filepath.Join(dir, "r.yaml")
	if err := os.WriteFile(resources, []byte("{kind: Application, id: a}"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := selfSigned(t, dir)
	var log bytes.Buffer
	cfg := DefaultConfig()
	cfg.Listen, cfg.AdminListen, cfg.Resources, cfg.DataDir = "127.0.0.1:0", "127.0.0.1:0", []string{resources}, dir
	cfg.TLSCert, cfg.TLSKey, cfg.Logger = cert, key, slog.New(slog.NewTextHandler(&log, nil))
	front, admin := runNode(t, cfg)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(client.CloseIdleConnections)
	var sets []string
	for _, base := range []string{"https://" + front, "http://" + admin} {
		resp, err := client.Get(base + jwksPath)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !json.Valid(body) || resp.Header.Get("Content-Type") != "application/jwk-set+json" || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", base, resp.StatusCode, body)
		}
		sets = append(sets, string(body))
	}
	s, err := openSigner(&cfg)
	if err != nil || sets[0] != sets[1] || sets[0] != string(s.JWKS()) {
		t.Errorf("%v: %v", err, sets)
	}
	resp, err := client.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "portcullis_tls_certificate_expiry_timestamp_seconds") {
		t.Error("no metric of the certificate's end")
	}
}
