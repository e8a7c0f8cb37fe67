package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
)

// Config is what the API needs; NodeToken, DrainDelay and ShutdownGrace may be left out.
type Config struct {
	Store  *store.Store
	Ledger *ledger.Ledger
	Fleet  *fleet.Fleet
	// AdminTokens open everything: the token's text by the name that the audit
	// shows. At least one; none may be empty.
	AdminTokens map[string]string
	// NodeToken opens the snapshot and nothing else; empty: nodes use an admin token.
	NodeToken string
	// Registry is what /metrics shows; the API adds its own metrics to it.
	Registry *prometheus.Registry
	Logger   *slog.Logger
	// DrainDelay is how long Serve goes on, with /readyz saying no, after its context ended.
	DrainDelay time.Duration
	// ShutdownGrace is how long requests in flight may take after that. Default 10s.
	ShutdownGrace time.Duration
}

// Server answers the REST API.
type Server struct {
	store   *store.Store
	ledger  *ledger.Ledger
	fleet   *fleet.Fleet
	tokens  *tokens
	logger  *slog.Logger
	delay   time.Duration
	grace   time.Duration
	metrics metrics
	// bodyTime is how long a body may take to arrive.
	bodyTime time.Duration
	handler  http.Handler
	// draining: Serve is about to end.
	draining atomic.Bool
	// ended is held for reading by every request, and for good by a Serve that has returned.
	ended sync.RWMutex
}

// New makes a server; it refuses to be without an admin token.
func New(cfg Config) (*Server, error) {
	tokens, err := newTokens(cfg.AdminTokens, cfg.NodeToken)
	if err != nil {
		return nil, fmt.Errorf("control API: %w", err)
	}
	if cfg.Store == nil || cfg.Ledger == nil || cfg.Fleet == nil || cfg.Registry == nil || cfg.Logger == nil {
		return nil, errors.New("control API: store, ledger, fleet, registry and logger are all needed")
	}
	if cfg.ShutdownGrace <= 0 {
		cfg.ShutdownGrace = 10 * time.Second
	}
	s := &Server{
		store: cfg.Store, ledger: cfg.Ledger, fleet: cfg.Fleet,
		tokens: tokens, logger: cfg.Logger, delay: cfg.DrainDelay, grace: cfg.ShutdownGrace, metrics: newMetrics(cfg.Registry),
		bodyTime: bodyTime,
	}
	s.handler = s.wrap(s.routes(cfg.Registry))
	return s, nil
}

// Serve answers on l, which it closes, until ctx ends; then /readyz says no for
// DrainDelay, no new connections are taken, and requests in flight may finish. No
// request is being answered when it returns. It may be called once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// Bodies and answers have deadlines of their own: an import may take an hour.
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the control API on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	select {
	case err := <-ended:
		return fmt.Errorf("serve the control API on %s: %w", l.Addr(), err)
	case <-time.After(s.delay):
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // what is left is cut off
	}
	err := <-ended
	s.ended.Lock() // waits for the handlers whose connections were cut off
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control API on %s: %w", l.Addr(), err)
	}
	return nil
}
