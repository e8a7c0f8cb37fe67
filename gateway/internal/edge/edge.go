// Package edge is the gateway's door: it takes in requests over fasthttp,
// brings them into the form that the pipeline decides on, and answers.
//
// A request that could be read in two ways is refused here, before anything
// looks at it: both Content-Length and Transfer-Encoding, folded header lines,
// a target that is not canonical, two names for one host. Each rule is named
// beside its test. Every answer carries X-Request-Id, a new one for each
// request. Denials of all steps become answers in one place (answer.go).
//
// The body of a request is not looked at before the request was let through:
// 100-continue is sent only then. fasthttp waits for the first byte of a body,
// however, so a client that sends a header section, no Expect and no body gets
// its answer when ReadTimeout has passed.
package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
)

// Config is what a Server needs. Zero durations and sizes have the defaults of DefaultConfig.
type Config struct {
	// Decide decides about a request, like pipeline.Pipeline.Decide on the
	// view of the moment. Its error is a *denial.Denial, or counts as denial.Internal.
	Decide func(*request.Request, *pipeline.Decision) error
	Logger *slog.Logger
	// Registry takes the metrics of requests.
	Registry prometheus.Registerer
	// Pages are the gateway's own answers, by path, on every host. Their paths begin
	// with /.well-known/.
	Pages map[string]*pipeline.Page
	// Draining is called when Run begins to drain: the node must stop being ready.
	Draining func()

	// MaxHeader bounds a request's header section in bytes; more is 431. Every
	// open connection holds a buffer of this size.
	MaxHeader int
	// ReadTimeout is how long a header section may take.
	ReadTimeout time.Duration
	// WriteTimeout is how long a client may take for the next piece of an answer.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may be idle between requests.
	IdleTimeout time.Duration
	// MaxConns bounds the open connections, MaxConnsPerIP those of one address; 0: no bound for one address.
	MaxConns, MaxConnsPerIP int
	// DrainDelay is how long the listener stays open after Draining was
	// called, so that load balancers notice. 0: not at all.
	DrainDelay time.Duration
	// DrainTimeout is how long requests in flight may then take.
	DrainTimeout time.Duration
	// Trusted are the proxies in front of this one whose X-Forwarded-For,
	// X-Forwarded-Proto and ClientCertHeader count. Nobody else's do.
	Trusted []netip.Prefix
	// ClientCertHeader is the field in which they pass on the client's certificate
	// as RFC 9440 has it; empty: they do not.
	ClientCertHeader string
	// TLS is the server's certificate; nil: the listener speaks no TLS. Clients are
	// asked for a certificate, and may have none.
	TLS *Keypair
	// LogAll logs every request; else only those that were refused or failed.
	LogAll bool
}

// DefaultConfig returns the limits that suit most installations.
func DefaultConfig() Config {
	return Config{
		MaxHeader:    16 << 10,
		ReadTimeout:  30 * time.Second,
		WriteTimeout: 30 * time.Second,
		IdleTimeout:  75 * time.Second,
		MaxConns:     256 << 10,
		DrainTimeout: 15 * time.Second,
	}
}

// Server serves requests. Make it with New.
type Server struct {
	config   Config
	http     *fasthttp.Server
	metrics  *metrics
	ids      *ids
	peers    *peers
	draining atomic.Bool
	clock    wallClock
}

// New makes a Server; it serves nothing before Run.
func New(config Config) (*Server, error) {
	fill(&config)
	m, err := newMetrics(config.Registry)
	if err != nil {
		return nil, err
	}
	p, err := newPeers(config.Trusted, config.ClientCertHeader)
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, metrics: m, ids: newIDs(), peers: p}
	s.http = &fasthttp.Server{
		Handler:       s.handle,
		ExpectHandler: s.expect,
		ErrorHandler:  s.fail,
		Logger:        printer{config.Logger},

		// Time limits, and bounds of one address, are the connections' own matter (conn.go).
		ReadBufferSize:  config.MaxHeader,
		Concurrency:     config.MaxConns,
		LazyRequestTime: true,

		// Bodies are streams, of which the server reads as little as it can
		// ahead; their real bound is the upstream's.
		StreamRequestBody:  true,
		MaxRequestBodySize: 1,

		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		NoDefaultDate:                true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
	}
	return s, nil
}

func fill(c *Config) {
	d := DefaultConfig()
	for _, f := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&c.ReadTimeout, d.ReadTimeout}, {&c.WriteTimeout, d.WriteTimeout}, {&c.IdleTimeout, d.IdleTimeout}, {&c.DrainTimeout, d.DrainTimeout}} {
		if *f.value <= 0 {
			*f.value = f.standard
		}
	}
	if c.MaxHeader <= 0 {
		c.MaxHeader = d.MaxHeader
	}
	if c.MaxConns <= 0 {
		c.MaxConns = d.MaxConns
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Draining == nil {
		c.Draining = func() {}
	}
}

// Run serves ln until ctx ends, and then drains: readiness goes first, answers
// close their connections, after DrainDelay the listener closes, and requests
// in flight have DrainTimeout to end. It closes ln, and returns nil after a
// drain in which all requests ended.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	ln = s.listener(ln)
	if s.config.TLS != nil {
		ln = tls.NewListener(ln, tlsConfig(s.config.TLS))
		var watching sync.WaitGroup
		defer watching.Wait()
		watch, stop := context.WithCancel(ctx)
		defer stop()
		watching.Go(func() { s.config.TLS.Watch(watch) })
	}
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", ln.Addr(), errors.Join(err, ln.Close()))
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.config.Draining()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s while draining: %w", ln.Addr(), errors.Join(err, ln.Close()))
	case <-time.After(s.config.DrainDelay):
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	err := s.http.ShutdownWithContext(grace)
	_ = ln.Close() // which Shutdown does not know yet if it came before Serve
	if err := errors.Join(err, <-served); err != nil {
		return fmt.Errorf("drain %s: %w", ln.Addr(), err)
	}
	return nil
}

// listener gives ln's connections their limits.
func (s *Server) listener(ln net.Listener) *listener {
	c := &s.config
	return &listener{
		Listener: ln, read: c.ReadTimeout, idle: c.IdleTimeout, write: c.WriteTimeout, secure: c.TLS != nil,
		perClient: c.MaxConnsPerIP, refused: s.metrics.refused.Inc, conns: map[netip.Addr]int{},
	}
}

// tlsConfig asks clients for a certificate without judging it: whether one is
// needed, and of whom, is for the plans to say. Session tickets are on; their keys
// are the node's own, are replaced each day, and bring back the client's certificate.
func tlsConfig(pair *Keypair) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: pair.Certificate, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"},
	}
}

// printer brings fasthttp's messages into the log.
type printer struct{ logger *slog.Logger }

// Printf implements fasthttp.Logger.
func (p printer) Printf(format string, args ...any) {
	p.logger.LogAttrs(context.Background(), slog.LevelDebug, "http server", slog.String("message", fmt.Sprintf(format, args...)))
}
