package front

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"hash/maphash"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front/fronttest/keypair"
)

func headerText(c tls.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Certificate[0]) + ":"
}

func TestOpenKeypairRefuses(t *testing.T) {
	dir := t.TempDir()
	cert, key := keypair.Write(t, dir, keypair.New(t, "a"))
	_, otherKey := keypair.Write(t, t.TempDir(), keypair.New(t, "b"))
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
	p, err := newProxies(nil, "Client-Cert", "")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		text := []byte(headerText(keypair.New(t, "x")))
		first, err := p.parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := p.parse(bytes.Clone(text)); again[0] != first[0] {
			t.Error("parsed again")
		}
	}
	if p.certs.Len() != 3 {
		t.Errorf("%d certificates kept", p.certs.Len())
	}
	// Two texts of one hash are two certificates.
	alice, bob := []byte(headerText(keypair.New(t, "alice"))), []byte(headerText(keypair.New(t, "bob")))
	cert, err := p.parse(alice)
	if err != nil {
		t.Fatal(err)
	}
	p.certs.Add(maphash.Bytes(p.seed, bob), parsedCert{string(alice), cert})
	if got, err := p.parse(bob); err != nil || got[0].Subject.CommonName != "bob" {
		t.Errorf("bob is %v, %v", got, err)
	}
}
