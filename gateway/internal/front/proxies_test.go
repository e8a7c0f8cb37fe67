package front

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"hash/maphash"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate makes a self-signed one.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// write puts a certificate and its key into two files, as tools do it: by renaming.
func write(t *testing.T, dir string, c tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func headerText(c tls.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Certificate[0]) + ":"
}

func TestOpenKeypairRefuses(t *testing.T) {
	dir := t.TempDir()
	cert, key := write(t, dir, certificate(t, "a"))
	_, otherKey := write(t, t.TempDir(), certificate(t, "b"))
	logger := slog.New(slog.DiscardHandler)
	pair, err := OpenKeypair(cert, key, logger)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := pair.look(); changed || err != nil {
		t.Errorf("read again without a change: %v, %v", changed, err)
	}
	for name, files := range map[string][2]string{
		"no file": {filepath.Join(dir, "none"), key}, "no key": {cert, filepath.Join(dir, "none")},
		"a key of another": {cert, otherKey}, "swapped": {key, cert},
	} {
		if _, err := OpenKeypair(files[0], files[1], logger); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParsedCertificatesAreKept(t *testing.T) {
	p, err := newProxies(nil, "Client-Cert")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		text := []byte(headerText(certificate(t, "x")))
		first, err := p.parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := p.parse(bytes.Clone(text)); again != first {
			t.Error("parsed again")
		}
	}
	if p.certs.Len() != 3 {
		t.Errorf("%d certificates kept", p.certs.Len())
	}
	// Two texts of one hash are two certificates.
	alice, bob := []byte(headerText(certificate(t, "alice"))), []byte(headerText(certificate(t, "bob")))
	cert, err := p.parse(alice)
	if err != nil {
		t.Fatal(err)
	}
	p.certs.Add(maphash.Bytes(p.seed, bob), parsedCert{string(alice), cert})
	if got, err := p.parse(bob); err != nil || got.Subject.CommonName != "bob" {
		t.Errorf("bob is %v, %v", got.Subject, err)
	}
}
