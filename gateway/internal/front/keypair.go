package front

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// lookEvery is the time between two looks at the files of a Keypair. They are
// looked at, not watched, because certificates are replaced through symbolic
// links in other directories, and never in a hurry.
const lookEvery = time.Second

// Keypair is the server's certificate with its key, from two files in PEM that
// may be replaced at any time. It is safe for concurrent use.
type Keypair struct {
	certFile, keyFile string
	logger            *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	seen              [2]os.FileInfo // as last read; only Watch uses it
}

// OpenKeypair reads the files.
func OpenKeypair(certFile, keyFile string, logger *slog.Logger) (*Keypair, error) {
	k := &Keypair{certFile: certFile, keyFile: keyFile, logger: logger}
	if _, err := k.look(); err != nil {
		return nil, err
	}
	return k, nil
}

// Certificate is for tls.Config.GetCertificate.
func (k *Keypair) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return k.current.Load(), nil
}

// NotAfter is when the certificate in force expires.
func (k *Keypair) NotAfter() time.Time { return k.current.Load().Leaf.NotAfter }

// Watch reads the files again when they change, until ctx ends. What cannot be
// read, or does not belong together, is logged once; the old pair stays.
func (k *Keypair) Watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, err := k.look()
		switch {
		case err != nil:
			k.logger.LogAttrs(ctx, slog.LevelError, "the new TLS certificate is refused, the old one stays", slog.Any("error", err))
		case changed:
			k.logger.LogAttrs(ctx, slog.LevelInfo, "a new TLS certificate is in force", slog.Time("not_after", k.NotAfter()))
		}
	}
}

// look reads the files if they are not those that were read last.
func (k *Keypair) look() (changed bool, err error) {
	var now [2]os.FileInfo
	for i, file := range []string{k.certFile, k.keyFile} {
		if now[i], err = os.Stat(file); err != nil && k.seen[i] == nil {
			return false, fmt.Errorf("read the TLS certificate: %w", err)
		}
	}
	if same(k.seen[0], now[0]) && same(k.seen[1], now[1]) {
		return false, nil
	}
	missing := now[0] == nil || now[1] == nil
	if missing {
		return false, nil // in the middle of being replaced
	}
	k.seen = now
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return false, fmt.Errorf("read the TLS certificate %s with the key %s: %w", k.certFile, k.keyFile, err)
	}
	k.current.Store(&pair)
	return true, nil
}

func same(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
