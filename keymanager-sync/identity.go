package keymanager

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/rest"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

const (
	tokenFile   = "admin-token"
	replicaFile = "replica-id"
	tokenBytes  = 32
)

// identity is what a replica is, apart from its settings.
type identity struct {
	replica               string
	adminToken, nodeToken string
}

// identify reads or makes the replica's id and tokens.
func identify(cfg Config) (identity, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return identity{}, fmt.Errorf("data_dir: %w", err)
	}
	own := identity{replica: cfg.Replica, adminToken: cfg.AdminToken, nodeToken: cfg.NodeToken}
	var err error
	if own.replica == "" {
		made := strings.ToLower(ulid.Make().String())
		if own.replica, _, err = keepInFile(filepath.Join(cfg.DataDir, replicaFile), made); err != nil {
			return identity{}, fmt.Errorf("replica id: %w", err)
		}
	}
	if cfg.NodeTokenFile != "" {
		if own.nodeToken, err = readSecret(cfg.NodeTokenFile); err != nil {
			return identity{}, fmt.Errorf("node_token_file: %w", err)
		}
	}
	switch {
	case cfg.AdminToken != "":
	case cfg.AdminTokenFile != "":
		if own.adminToken, err = readSecret(cfg.AdminTokenFile); err != nil {
			return identity{}, fmt.Errorf("admin_token_file: %w", err)
		}
	default:
		if own.adminToken, err = generated(cfg); err != nil {
			return identity{}, fmt.Errorf("admin token: %w", err)
		}
	}
	return own, nil
}

// generated is the admin token that was made at first start.
func generated(cfg Config) (string, error) {
	path := filepath.Join(cfg.DataDir, tokenFile)
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // never fails
	token, fresh, err := keepInFile(path, base64.RawURLEncoding.EncodeToString(random))
	if err != nil {
		return "", err
	}
	if fresh {
		if _, err := fmt.Fprintf(cfg.Out, "admin token (shown once, kept in %s): %s\n", path, token); err != nil {
			return "", err
		}
	}
	return token, nil
}

// keepInFile reads a value, or writes the one that was made if there is none yet.
// fresh reports that it was written. A crash leaves the whole value or none.
func keepInFile(path, made string) (value string, fresh bool, err error) {
	value, err = readSecret(path)
	if !errors.Is(err, os.ErrNotExist) {
		return value, false, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return "", false, err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already if all went well
	_, err = f.WriteString(made + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", false, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return "", false, err
	}
	return made, true, nil
}

func readSecret(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	value := strings.TrimSpace(string(raw))
	if value == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return value, nil
}

func (own identity) storeConfig(cfg Config) store.Config {
	peerToken := own.nodeToken
	if peerToken == "" {
		peerToken = own.adminToken
	}
	c := store.Config{
		Dir: cfg.DataDir, Logger: cfg.Logger, Peers: cfg.Peers, PeerToken: peerToken,
		Writer: "keymanager-sync " + own.replica + " " + cfg.Version, Replicas: cfg.LogReplicas, MaxDownloads: cfg.MaxDownloads,
		First: cfg.First,
	}
	if cfg.Registry != nil {
		c.Registry = cfg.Registry
	}
	return c
}

func (own identity) restConfig(cfg Config, st *store.Store, l *ledger.Ledger, f *fleet.Fleet) rest.Config {
	return rest.Config{
		Store: st, Ledger: l, Fleet: f,
		AdminTokens: map[string]string{"admin": own.adminToken}, NodeToken: own.nodeToken,
		Registry: cfg.Registry, Logger: cfg.Logger, DrainDelay: cfg.DrainDelay, ShutdownGrace: cfg.ShutdownGrace,
	}
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func isBaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func secure(listener net.Listener, cert, key string) (net.Listener, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("tls_cert, tls_key: %w", err)
	}
	return tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}), nil
}

// showBus makes the connection visible in the metrics.
func showBus(registry prometheus.Registerer, bus *stream.Bus) {
	register := promauto.With(registry)
	count := func(name, help string, read func(stream.Stats) uint64) {
		register.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(read(bus.Stats())) })
	}
	register.NewGaugeFunc(prometheus.GaugeOpts{Name: "portcullis_nats_connected", Help: "1 while NATS is connected."}, func() float64 {
		if bus.Connected() {
			return 1
		}
		return 0
	})
	count("portcullis_nats_disconnects_total", "Times the connection to NATS was lost.", func(s stream.Stats) uint64 { return s.Disconnects })
	count("portcullis_log_consumer_renewals_total", "Times the log's consumer had to be replaced.", func(s stream.Stats) uint64 { return s.Renewals })
	count("portcullis_signals_undecodable_total", "Signals that were dropped because they could not be understood.", func(s stream.Stats) uint64 { return s.Undecodable })
}
