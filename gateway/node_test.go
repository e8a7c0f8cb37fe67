package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// runNode runs a node until the test ends, and returns its addresses.
func runNode(t *testing.T, cfg Config) (front, admin string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	addresses, done := make(chan [2]string, 1), make(chan error, 1)
	cfg.Listening = func(front, admin string) { addresses <- [2]string{front, admin} }
	go func() { done <- Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the node ends with %v", err)
		}
	})
	select {
	case a := <-addresses:
		return a[0], a[1]
	case err := <-done:
		done <- nil
		t.Fatalf("the node does not start: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("the node does not start")
	}
	return "", ""
}

// selfSigned writes a certificate and its key.
func selfSigned(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// A node that cannot start ends at once, whatever its drain-delay.
func TestNodeThatFailsEndsAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resources.yaml")
	if err := os.WriteFile(file, []byte("kind: Api\nid: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Listen, cfg.AdminListen, cfg.Resources, cfg.DataDir, cfg.DrainDelay = "127.0.0.1:0", "127.0.0.1:0", []string{file}, t.TempDir(), 30*time.Second
	began := time.Now()
	if err := Run(t.Context(), cfg); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
