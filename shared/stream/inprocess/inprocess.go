// Package inprocess runs a NATS server with JetStream inside this process: one
// server for a small installation, or a member of a cluster. Its store syncs
// every write before it is acknowledged, which is what makes the log durable; the
// server's own default would lose whole streams in a power cut.
//
// It links the server, so the gateway must not import it.
package inprocess

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	maxPayload = 8 << 20
	maxPending = 64 << 20 // what one slow client may have waiting

	readyTimeout  = 30 * time.Second
	startupPeriod = 50 * time.Millisecond

	quietAttempts = 60 // to reach a member that is away, each about a second, for one line in the log
)

// Config says what kind of server is wanted.
type Config struct {
	// Dir is the data directory; made if absent, and locked against a second
	// server. Required.
	Dir string
	// Name of the server, without spaces; unique in a cluster, where it must stay
	// the same for the life of the data directory. Default: portcullis.
	Name string
	// Listen is the address for clients, host:port; port 0 takes a free one. Empty:
	// only this process can connect, with InProcessConn. Required in a cluster.
	Listen string
	// Cluster makes the server a member of a cluster.
	Cluster *Cluster
	// Token is asked of clients and of the cluster's other servers. Without one,
	// addresses other than loopback are refused, because everybody who can connect can
	// write the log, unless Open says that something else keeps strangers away.
	Token string
	Open  bool
	// Logger gets what the server has to say. Required.
	Logger *slog.Logger
}

// Cluster describes a cluster to one of its members.
type Cluster struct {
	Name   string   // without spaces, the same on all members
	Listen string   // the address for the other members, host:port
	Routes []string // host:port of all members; the own one may be among them
}

// Server is a running NATS server.
type Server struct {
	server *server.Server
	lock   *os.File
	member bool
}

// Start starts a server and returns when clients can connect, and, if it is not a
// member of a cluster, when the log can be used. A member needs a majority of the
// others for that; see Ready.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s, err := start(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start nats server in %s: %w", cfg.Dir, err)
	}
	return s, nil
}

func start(ctx context.Context, cfg Config) (*Server, error) {
	opts, err := options(cfg)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	inner, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	logger := &serverLog{logger: cfg.Logger}
	inner.SetLoggerV2(logger, false, false, false)
	s := &Server{server: inner, lock: lock, member: cfg.Cluster != nil}
	started := make(chan struct{})
	go func() { // it can wait for long, on a large store
		defer close(started)
		inner.Start()
	}()
	if err := s.awaitStart(ctx, logger); err != nil {
		inner.Shutdown()
		<-started
		s.Stop()
		return nil, err
	}
	<-started
	return s, nil
}

func (s *Server) awaitStart(ctx context.Context, logger *serverLog) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errors.New("it did not become ready in time"))
	defer cancel()
	for !s.server.ReadyForConnections(startupPeriod) || !s.server.JetStreamEnabled() {
		if fatal := logger.fatal.Load(); fatal != nil {
			return errors.New(*fatal)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(startupPeriod / 10):
		}
	}
	return nil
}

func options(cfg Config) (*server.Options, error) {
	if cfg.Dir == "" || cfg.Logger == nil {
		return nil, errors.New("a data directory and a logger are needed")
	}
	opts := &server.Options{
		ServerName:             cfg.Name,
		StoreDir:               filepath.Clean(cfg.Dir),
		JetStream:              true,
		SyncAlways:             true,
		SyncInterval:           time.Minute, // of what is not a write, such as index files
		MaxPayload:             maxPayload,
		MaxPending:             maxPending,
		Authorization:          cfg.Token,
		NoSigs:                 true,
		DisableJetStreamBanner: true,
		ReconnectErrorReports:  quietAttempts,
	}
	if opts.ServerName == "" {
		opts.ServerName = "portcullis"
	}
	if cfg.Listen == "" {
		opts.DontListen = true
	} else if err := cfg.address("listen", cfg.Listen, &opts.Host, &opts.Port); err != nil {
		return nil, err
	}
	if cfg.Cluster == nil {
		return opts, nil
	}
	if cfg.Name == "" || cfg.Cluster.Name == "" || cfg.Listen == "" {
		// The server never finds its cluster when it does not listen for clients.
		return nil, errors.New("a member of a cluster needs a name, the cluster's name, and an address to listen on")
	}
	opts.Cluster.Name = cfg.Cluster.Name
	if err := cfg.address("cluster listen", cfg.Cluster.Listen, &opts.Cluster.Host, &opts.Cluster.Port); err != nil {
		return nil, err
	}
	var user *url.Userinfo
	if cfg.Token != "" {
		opts.Cluster.Username, opts.Cluster.Password = "member", cfg.Token
		user = url.UserPassword("member", cfg.Token)
	}
	for _, route := range cfg.Cluster.Routes {
		if _, _, err := net.SplitHostPort(route); err != nil {
			return nil, fmt.Errorf("cluster route: %w", err)
		}
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", User: user, Host: route})
	}
	return opts, nil
}

// address takes an address apart, and refuses one that is open to strangers.
func (cfg Config) address(what, address string, host *string, port *int) error {
	h, p, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return fmt.Errorf("%s: port %q is not a number up to 65535", what, p)
	}
	if cfg.Token == "" && !cfg.Open && !loopback(h) {
		return fmt.Errorf("%s: %s can be reached from other machines, and no token is set (hint: set a token, or listen on 127.0.0.1)",
			what, address)
	}
	*host, *port = h, int(n)
	if *port == 0 {
		*port = server.RANDOM_PORT
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Ready waits until JetStream can be used: at once on a single server, when a
// majority of its members has met in a cluster.
func (s *Server) Ready(ctx context.Context) error {
	for {
		if !s.server.Running() {
			return errors.New("wait for nats server: it has stopped")
		}
		if !s.member || s.server.JetStreamIsCurrent() && s.hasMetaLeader() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for nats cluster: %w", ctx.Err())
		case <-time.After(startupPeriod):
		}
	}
}

func (s *Server) hasMetaLeader() bool {
	info, err := s.server.Jsz(&server.JSzOptions{})
	return err == nil && info.Meta != nil && info.Meta.Leader != ""
}

// URL returns where clients connect, without the token; empty without Listen.
func (s *Server) URL() string {
	if addr := s.server.Addr(); addr != nil {
		return "nats://" + addr.String()
	}
	return ""
}

// InProcessConn connects without a socket; it makes Server a provider for
// stream.Config.
func (s *Server) InProcessConn() (net.Conn, error) {
	return s.server.InProcessConn()
}

// Leads reports whether this server leads the stream's replicas.
func (s *Server) Leads(stream string) bool {
	return s.server.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// StepDown makes this server give up the lead of a stream's replicas.
func (s *Server) StepDown(stream string) error {
	return s.server.JetStreamStepdownStream(server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// Stop stops the server and waits until it has ended. A member of a cluster hands
// over what it leads while it stops, which costs the writers about a tenth of a
// second; the server's lame-duck mode would take more than ten times as long.
func (s *Server) Stop() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
	_ = s.lock.Close() // frees the directory; nothing was written to it
}
