// Package front is what all fronts have in common. A front is the gateway's door
// for one HTTP stack: front/fast for fasthttp, front/std for net/http. It brings
// a request into the form that the pipeline decides on, lets a forwarder answer
// it, and answers itself what was refused.
//
// A request that could be read in two ways is refused here, before anything
// looks at it: both Content-Length and Transfer-Encoding, folded header lines,
// a target that is not canonical, two names for one host (call.go). Every answer
// carries X-Request-Id: a new one, or that of a trusted proxy. Denials of all steps become
// answers in one place (answer.go). front/fronttest is what every front must pass.
//
// The body of a request is not looked at before the request was let through:
// 100-continue is sent only then.
package front

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
)

// Config is what a front needs. Zero durations and sizes have the defaults of DefaultConfig.
type Config struct {
	// Decide decides about a request, like pipeline.Pipeline.Decide on the
	// view of the moment. Its error is a *denial.Denial, or counts as denial.Internal.
	Decide func(*request.Request, *pipeline.Decision) error
	Logger *slog.Logger
	// Registry takes the metrics of requests; nil: they are kept to themselves.
	Registry prometheus.Registerer
	// Pages are the gateway's own answers, by path, on every host. Their paths begin
	// with /.well-known/.
	Pages map[string]*pipeline.Page
	// Draining is called when Run begins to drain: the node must stop being ready.
	Draining func()

	// MaxHeader bounds a request's header section in bytes; more is 431. Every
	// open connection holds a buffer of this size.
	MaxHeader int
	// ReadTimeout is how long a header section may take, and a body of up to
	// SmallBody with it.
	ReadTimeout time.Duration
	// WriteTimeout is how long a client may take for the next piece of an answer.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may be idle between requests.
	IdleTimeout time.Duration
	// Patience bounds the time for longer bodies.
	Patience Patience
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
	// ClientCertHeader is the field in which they pass on the client's certificate;
	// empty: they do not. ClientCertForm is how; empty: CertRFC9440.
	ClientCertHeader string
	ClientCertForm   CertForm
	// TLS is the server's certificate; nil: the listener speaks no TLS. Clients are
	// asked for a certificate, and may have none.
	TLS *Keypair
	// AccessLog says which requests are logged.
	AccessLog AccessLog
	// Tracing is how requests are traced; nil: they are not, and what clients and proxies
	// say of their traces goes on as it came.
	Tracing *Tracing
	// Refusals keeps the last refused requests; nil: nothing does.
	Refusals *Refusals
	// LogShare is the share of the requests that were let through which LogAll logs, above 0. 0: all.
	LogShare float64
	// LogRate bounds the lines about refused requests in a second, for each Api and
	// cause; how many were left out is logged, too. 0: no bound.
	LogRate int
}

// AccessLog is which requests are logged, each with one line.
type AccessLog uint8

// What is logged.
const (
	// LogRefused: requests that were refused, or failed upstream (5xx).
	LogRefused AccessLog = iota
	// LogAll: these, and of the others the share LogShare.
	LogAll
	// LogNone: none.
	LogNone
)

// DefaultConfig returns the limits that suit most installations.
func DefaultConfig() Config {
	return Config{
		MaxHeader:    24 << 10,
		ReadTimeout:  30 * time.Second,
		WriteTimeout: 30 * time.Second,
		IdleTimeout:  75 * time.Second,
		Patience:     Patience{Stall: 30 * time.Second, Rate: 1 << 10},
		MaxConns:     256 << 10,
		DrainTimeout: 15 * time.Second,
		LogRate:      10,
	}
}

// Core is what a front is built around: it parses requests, has them decided and
// answered, counts and logs them. It is safe for concurrent use.
type Core struct {
	// Config is complete: what was zero has its default.
	Config   Config
	metrics  *metrics
	ids      *ids
	proxies  *proxies
	throttle *throttle
	draining atomic.Bool
	hurried  chan struct{} // closed: DrainDelay is not waited for
}

// NewCore makes a Core, and registers its metrics.
func NewCore(config Config) (*Core, error) {
	fill(&config)
	p, err := newProxies(config.Trusted, config.ClientCertHeader, config.ClientCertForm)
	if err != nil {
		return nil, err
	}
	return &Core{Config: config, metrics: newMetrics(config.Registry), ids: newIDs(), proxies: p, throttle: newThrottle(config.LogRate), hurried: make(chan struct{})}, nil
}

func fill(c *Config) {
	d := DefaultConfig()
	for _, f := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&c.ReadTimeout, d.ReadTimeout},
		{&c.WriteTimeout, d.WriteTimeout},
		{&c.IdleTimeout, d.IdleTimeout},
		{&c.DrainTimeout, d.DrainTimeout},
		{&c.Patience.Stall, d.Patience.Stall},
	} {
		if *f.value <= 0 {
			*f.value = f.standard
		}
	}
	for _, f := range []struct {
		value    *int
		standard int
	}{{&c.MaxHeader, d.MaxHeader}, {&c.MaxConns, d.MaxConns}, {&c.Patience.Rate, d.Patience.Rate}} {
		if *f.value <= 0 {
			*f.value = f.standard
		}
	}
	if c.LogShare <= 0 {
		c.LogShare = 1
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Draining == nil {
		c.Draining = func() {}
	}
}

// Draining reports whether Run drains: answers close their connections.
func (c *Core) Draining() bool { return c.draining.Load() }
