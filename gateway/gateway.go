// Package gateway is the data plane: a node that decides and forwards requests.
package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"

	"github.com/portcullis-gateway/portcullis/gateway/internal/admin"
	"github.com/portcullis-gateway/portcullis/gateway/internal/assertion"
	"github.com/portcullis-gateway/portcullis/gateway/internal/authn"
	"github.com/portcullis-gateway/portcullis/gateway/internal/feed"
	fastforward "github.com/portcullis-gateway/portcullis/gateway/internal/forward/fast"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	fastfront "github.com/portcullis-gateway/portcullis/gateway/internal/front/fast"
	"github.com/portcullis-gateway/portcullis/gateway/internal/otlp"
	"github.com/portcullis-gateway/portcullis/gateway/internal/pipeline"
	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
	"github.com/portcullis-gateway/portcullis/shared/snapshot"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Config is all that a node can be told. The tags name its settings: each is a
// flag, an environment variable and a key of the configuration file.
type Config struct {
	Listen      string `setting:"listen" check:"listen" help:"address for API consumers"`
	AdminListen string `setting:"admin-listen" check:"listen" help:"address of health, metrics and explain"`

	Control         []string `setting:"control" check:"url http https" help:"URLs of the control plane"`
	NATS            []string `setting:"nats" check:"url nats tls ws wss" help:"URLs of the NATS servers"`
	NATSCredentials string   `setting:"nats-credentials" check:"file" help:"file with NATS user credentials"`
	NATSToken       string   `setting:"nats-token" check:"token" help:"token for NATS" secret:"true"`
	NodeToken       string   `setting:"node-token" check:"token" help:"opens the control plane's snapshot; default: the admin token" secret:"true"`
	AdminToken      string   `setting:"admin-token" check:"token" help:"used in place of a node token" secret:"true"`

	DataDir   string   `setting:"data-dir" check:"dir" help:"where the node keeps its snapshots and journals"`
	Resources []string `setting:"resources" check:"file" help:"serve from these files, without a control plane"`
	NodeID    string   `setting:"node-id" check:"id" help:"unique in the fleet; default: the host's name and port"`

	TokenCacheEntries int         `setting:"token-cache-entries" min:"1" help:"validated tokens to remember"`
	TokenCacheSize    config.Size `setting:"token-cache-size" min:"64KiB" help:"memory for validated tokens"`
	MaxTokenSize      config.Size `setting:"max-token-size" min:"256" max:"64KiB" help:"longest accepted token, at most 64KiB and what max-header lets in"`
	LimitKeys         int         `setting:"limit-keys" min:"1" help:"rate limit and quota counters to keep"`

	MaxHeader        config.Size   `setting:"max-header" min:"1KiB" max:"16MiB" help:"longest accepted header section"`
	MaxConns         int           `setting:"max-conns" min:"1" help:"open client connections"`
	MaxConnsPerIP    int           `setting:"max-conns-per-ip" min:"0" help:"open connections of one client address; 0: no bound"`
	ReadTimeout      time.Duration `setting:"read-timeout" min:"1ms" help:"for a request's header section"`
	WriteTimeout     time.Duration `setting:"write-timeout" min:"1ms" help:"for a client to take the next piece of an answer"`
	IdleTimeout      time.Duration `setting:"idle-timeout" min:"1ms" help:"of a connection between requests"`
	DrainDelay       time.Duration `setting:"drain-delay" min:"0s" help:"at shutdown: time for load balancers to notice that the node is not ready, while it goes on serving"`
	DrainTimeout     time.Duration `setting:"drain-timeout" min:"1ms" help:"at shutdown: time for requests in flight"`
	TLSCert          string        `setting:"tls-cert" check:"file" help:"PEM file with the server's certificate and chain; with tls-key: API consumers speak TLS. Read again when it changes"`
	TLSKey           string        `setting:"tls-key" check:"file" help:"PEM file with its private key"`
	TrustedProxies   []string      `setting:"trusted-proxies" help:"addresses or CIDR blocks of proxies whose X-Forwarded-For and -Proto count"`
	ClientCertHeader string        `setting:"client-cert-header" help:"field in which they pass on client certificates, such as Client-Cert; empty: they do not"`
	ClientCertForm   string        `setting:"client-cert-form" enum:"rfc9440,pem,xfcc,traefik" help:"how: as RFC 9440; as escaped PEM (nginx, AWS ALB); as X-Forwarded-Client-Cert (Envoy); as base64 without armour (Traefik)"`
	SigningKey       string        `setting:"signing-key" check:"file" help:"PEM file with the private key for signed_jwt, the same on all nodes; more keys in it are only published; default: one made in data-dir"`

	Pprof bool `setting:"pprof" help:"offer profiles of the process under /debug/pprof/ of the admin address"`

	ExplainRefusals int `setting:"explain-refusals" min:"0" max:"100000" help:"refused requests to keep in memory, for explain --request-id; at most 3 KiB each; 0: none"`

	AccessLog   string       `setting:"access-log" enum:"refused,all,off" help:"requests to log, each with one line: those that were refused or failed, all, or none"`
	LogShare    config.Share `setting:"access-log-share" help:"with access-log all: the share of the requests that were neither refused nor failed, above 0 and up to 1"`
	LogRate     int          `setting:"access-log-refused-rate" min:"0" help:"lines about refused and failed requests in a second for each Api and cause; 0: no bound"`
	LogRequests bool         `setting:"log-requests" help:"older name of access-log all"`

	OTLPEndpoint     string        `setting:"otlp-endpoint" check:"url http https" help:"base URL of an OpenTelemetry collector that takes OTLP over HTTP: http://127.0.0.1:4318; empty: nothing is sent"`
	OTLPHeaders      []string      `setting:"otlp-headers" secret:"true" help:"fields that go with every request to it, as name=value"`
	OTLPTraceShare   config.Share  `setting:"otlp-trace-share" help:"share of the requests to trace, between 0 and 1; a trusted proxy's sampled flag goes before it"`
	OTLPMetricsEvery time.Duration `setting:"otlp-metrics-interval" min:"0s" help:"between two sendings of metrics; 0s: none are sent"`
	OTLPAttributes   []string      `setting:"otlp-attributes" help:"resource attributes of all that is sent, as name=value: service.name=edge,deployment.environment.name=prod"`

	Logger   *slog.Logger         `setting:"-"`
	Registry *prometheus.Registry `setting:"-"`
	// Listening is called with the two addresses once both listen; may be nil.
	Listening func(proxy, admin string) `setting:"-"`
	// OnStateSize is called with the approximate size in bytes of the state in force
	// when it has changed by a quarter, so that a process can tune its garbage
	// collection; may be nil.
	OnStateSize func(bytes int) `setting:"-"`
	// LookupEnv and ReadFile reach what issuers name for their HMAC secrets.
	LookupEnv func(string) (string, bool)  `setting:"-"`
	ReadFile  func(string) ([]byte, error) `setting:"-"`
	Version   string                       `setting:"-"`
}

// DefaultConfig works on one machine with the control plane and NATS at their
// usual addresses.
func DefaultConfig() Config {
	e := front.DefaultConfig()
	return Config{
		Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:9090",
		Control: []string{"http://127.0.0.1:8081"}, NATS: []string{"nats://127.0.0.1:4222"},
		DataDir: "data/gateway", TokenCacheEntries: 100_000, TokenCacheSize: 256 << 20,
		MaxTokenSize: token.DefaultSize, ClientCertForm: string(front.CertRFC9440), LimitKeys: 1_000_000,
		MaxHeader: config.Size(e.MaxHeader), MaxConns: e.MaxConns, ReadTimeout: e.ReadTimeout,
		WriteTimeout: e.WriteTimeout, IdleTimeout: e.IdleTimeout, DrainTimeout: e.DrainTimeout,
		OTLPTraceShare: 0.01, OTLPMetricsEvery: time.Minute,
		ExplainRefusals: 1000, AccessLog: "refused", LogShare: 1, LogRate: e.LogRate,
		Logger: slog.New(slog.DiscardHandler), Version: "devel",
		ReadFile: keyset.ReadRegular,
	}
}

// Validate checks what single values do not show.
func (c *Config) Validate() error {
	var ps fault.List
	ps = append(ps, config.Conflicts("listen", c.Listen, "admin-listen", c.AdminListen)...)
	if len(c.Resources) == 0 && len(c.Control) == 0 {
		ps = append(ps, fault.Fault{Field: "control", Message: "is needed unless --resources names files"})
	}
	if len(c.Resources) == 0 && len(c.NATS) == 0 {
		ps = append(ps, fault.Fault{Field: "nats", Message: "is needed unless --resources names files"})
	}
	if c.NATSCredentials != "" && c.NATSToken != "" {
		ps = append(ps, fault.Fault{Field: "nats-token", Message: "is set, and nats-credentials too", Hint: "leave one of them out"})
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		ps = append(ps, fault.Fault{Field: "tls-cert", Message: "is needed with tls-key, and the other way round"})
	}
	if c.MaxTokenSize > c.MaxHeader && c.MaxTokenSize != token.DefaultSize {
		ps = append(ps, fault.Fault{
			Field: "max-token-size", Message: fmt.Sprintf("%s is more than max-header lets in, %s", c.MaxTokenSize, c.MaxHeader),
			Hint: "raise max-header, and leave room for the other fields",
		})
	}
	if _, err := parseProxies(c.TrustedProxies); err != nil {
		ps = append(ps, fault.Fault{Field: "trusted-proxies", Message: err.Error()})
	}
	if c.LogRequests && c.AccessLog == "off" {
		ps = append(ps, fault.Fault{Field: "log-requests", Message: "asks for what access-log off turns off", Hint: "leave it out"})
	}
	ps = append(ps, c.checkOTLP()...)
	if c.LogShare <= 0 {
		ps = append(ps, fault.Fault{Field: "access-log-share", Message: "is 0", Hint: "access-log refused logs refused and failed requests only"})
	}
	ps = append(ps, c.checkClientCert()...)
	return ps.Err()
}

// Check looks at the files that the settings name, as far as that needs no start:
// the certificate and its key, the signing key, and what the resource files say.
func (c *Config) Check() error {
	var ps fault.List
	if c.TLSCert != "" && c.TLSKey != "" {
		if _, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
			ps = append(ps, fault.Fault{Field: "tls-cert", Message: err.Error()})
		}
	}
	if c.SigningKey != "" {
		if text, err := os.ReadFile(c.SigningKey); err == nil {
			if _, err := assertion.Parse(text); err != nil {
				ps = append(ps, fault.Fault{Field: "signing-key", Message: c.SigningKey + ": " + err.Error()})
			}
		}
	}
	if len(c.Resources) > 0 {
		if err := feed.CheckFiles(c.Resources); err != nil {
			ps = append(ps, fault.Fault{Field: "resources", Message: err.Error()})
		}
	}
	return ps.Err()
}

// Run is a node. It returns when ctx has ended and everything it started has.
func Run(ctx context.Context, cfg Config) error {
	var listen net.ListenConfig
	consumers, err := listen.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer consumers.Close() // closed by the server before
	back, err := listen.Listen(ctx, "tcp", cfg.AdminListen)
	if err != nil {
		return fmt.Errorf("admin-listen: %w", err)
	}
	defer back.Close() // closed by the server before
	n, err := build(cfg, consumers.Addr().String())
	if err != nil {
		return err
	}
	defer n.upstreams.Close()
	if cfg.Listening != nil {
		cfg.Listening(consumers.Addr().String(), back.Addr().String())
	}
	return n.run(ctx, consumers, back)
}

// node is the wired parts.
type node struct {
	upstreams *fastforward.Pool
	feed      *feed.Feed
	front     *fastfront.Server
	refusals  *front.Refusals
	otlp      *otlp.Exporter // nil: nothing is sent
	admin     admin.Config
}

// run ends in the order: no new requests, requests in flight, then the feed,
// which saves the state, then admin, so that the end can be watched.
func (n *node) run(ctx context.Context, consumers, back net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	feeding, endFeed := context.WithCancel(context.WithoutCancel(ctx))
	defer endFeed()
	watch, endWatch := context.WithCancel(context.WithoutCancel(ctx))
	defer endWatch()
	g.Go(func() error {
		defer endFeed() // requests in flight are decided by the newest state
		err := n.front.Run(ctx, consumers)
		if err == nil { // else some may still be in flight
			n.feed.Leave()
		}
		return err
	})
	g.Go(func() error {
		defer endWatch()
		err := n.feed.Run(feeding)
		if err != nil {
			n.front.Hurry()
		}
		return err
	})
	g.Go(func() error { return admin.Run(watch, back, n.admin) })
	if n.otlp != nil {
		g.Go(func() error {
			n.otlp.Run(watch)
			return nil
		})
	}
	return g.Wait()
}

func build(cfg Config, addr string) (*node, error) {
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	if cfg.NodeID == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("node-id: %w", err)
		}
		_, port, _ := net.SplitHostPort(addr)
		cfg.NodeID = host + "-" + port
	}
	pair, proxies, err := openFront(&cfg)
	if err != nil {
		return nil, err
	}
	signer, err := openSigner(&cfg)
	if err != nil {
		return nil, err
	}
	n := &node{upstreams: fastforward.NewPool(), refusals: front.NewRefusals(cfg.ExplainRefusals)}
	var disk *snapshot.Dir
	if len(cfg.Resources) == 0 {
		if disk, err = snapshot.OpenDir(filepath.Join(cfg.DataDir, "snapshots")); err != nil {
			return nil, fmt.Errorf("data-dir: %w", err)
		}
	}
	tokens := authn.New(authn.Config{
		MaxTokenBytes: int(cfg.MaxTokenSize), CacheEntries: cfg.TokenCacheEntries, CacheBytes: int(cfg.TokenCacheSize),
		OnUnknownKey: func(issuer string) { n.feed.UnknownKey(issuer) },
	})
	n.feed = feed.New(feed.Config{
		NodeID: cfg.NodeID, Version: cfg.Version, Logger: cfg.Logger, Metrics: feed.NewMetrics(cfg.Registry),
		Compiler: &feed.Compiler{
			Upstreams: n.upstreams.Prepare, Secrets: keyset.Secrets{Env: cfg.LookupEnv, File: cfg.ReadFile}, Signer: signer,
		},
		Resources: cfg.Resources, Control: cfg.Control, Token: firstOf(cfg.NodeToken, cfg.AdminToken),
		Connect: connector(cfg), Disk: disk, OnStateSize: cfg.OnStateSize,
		Counters: func() (uint64, uint64) { return n.front.Totals() },
	})
	n.feed.Register(cfg.Registry)
	registerTokenCache(cfg.Registry, tokens)
	limits := restrict.NewStore(cfg.LimitKeys)
	decider := pipeline.New(tokens, limits)
	if n.otlp, err = openOTLP(&cfg); err != nil {
		return nil, err
	}
	n.front, err = fastfront.New(n.frontConfig(&cfg, decider, pair, proxies, signer))
	if err != nil {
		return nil, err
	}
	n.admin = admin.Config{
		Status: n.status, Gatherer: cfg.Registry, Logger: cfg.Logger, JWKS: signer.JWKS(), Pprof: cfg.Pprof,
		Explain:        func(r *request.Request) (any, error) { return explain(n.feed, decider, r) },
		ExplainRefusal: func(id string) (any, error) { return explainRefusal(n.refusals, id) },
	}
	return n, nil
}

// frontConfig is what the listener for consumers works by.
func (n *node) frontConfig(cfg *Config, decider *pipeline.Pipeline, pair *front.Keypair, proxies []netip.Prefix, signer *assertion.Signer) front.Config {
	return front.Config{
		Decide: func(r *request.Request, d *pipeline.Decision) error {
			view := n.feed.View()
			if view == nil {
				return denial.NotReady
			}
			return decider.Decide(view, r, d)
		},
		Logger: cfg.Logger, Registry: cfg.Registry, Draining: n.feed.Drain,
		MaxHeader: int(cfg.MaxHeader), MaxConns: cfg.MaxConns, MaxConnsPerIP: cfg.MaxConnsPerIP,
		ReadTimeout: cfg.ReadTimeout, WriteTimeout: cfg.WriteTimeout, IdleTimeout: cfg.IdleTimeout,
		DrainDelay: cfg.DrainDelay, DrainTimeout: cfg.DrainTimeout, AccessLog: cfg.accessLog(), LogShare: float64(cfg.LogShare), LogRate: cfg.LogRate, Refusals: n.refusals, Tracing: n.tracing(cfg),
		TLS: pair, Trusted: proxies, ClientCertHeader: cfg.ClientCertHeader, ClientCertForm: front.CertForm(cfg.ClientCertForm), Pages: pages(signer),
	}
}

func (n *node) status() admin.Status {
	s := n.feed.Status()
	status := admin.Status{
		State: s.State, Epoch: s.Position.Epoch, Sequence: s.Position.Sequence,
		Age: s.Age, Lag: s.Behind, Serving: s.Ready,
	}
	for _, f := range s.NotInForce {
		status.NotInForce = append(status.NotInForce, admin.Fault{Resource: f.Ref.String(), Sequence: f.Sequence, Reason: f.Reason})
	}
	return status
}

func connector(cfg Config) func(context.Context) (*stream.Bus, error) {
	return func(ctx context.Context) (*stream.Bus, error) {
		if len(cfg.NATS) == 0 {
			return nil, errors.New("no NATS address is set")
		}
		return stream.Connect(ctx, stream.Config{
			URLs: slices.Clone(cfg.NATS), Name: cfg.NodeID, Logger: cfg.Logger,
			CredentialsFile: cfg.NATSCredentials, Token: cfg.NATSToken,
		})
	}
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// registerTokenCache shows the token cache's totals, which the cache counts itself.
func registerTokenCache(registry prometheus.Registerer, tokens *authn.Authenticator) {
	register := promauto.With(registry)
	total := func(name, help string, value func(authn.Stats) uint64) {
		register.NewCounterFunc(prometheus.CounterOpts{Name: "portcullis_token_cache_" + name, Help: help},
			func() float64 { return float64(value(tokens.Stats())) })
	}
	total("hits_total", "Tokens that were found validated.", func(s authn.Stats) uint64 { return s.Hits })
	total("misses_total", "Tokens that had to be validated.", func(s authn.Stats) uint64 { return s.Misses })
	total("evictions_total", "Validated tokens that made room for others.", func(s authn.Stats) uint64 { return s.Evictions })
	total("signature_hits_total", "Tokens that had to be validated, but for their signature, which was known.", func(s authn.Stats) uint64 { return s.SignatureHits })
	total("negative_hits_total", "Tokens that were found refused.", func(s authn.Stats) uint64 { return s.NegativeHits })
	registerIntrospection(registry, tokens)
}
