// Package keymanager is the control plane: it checks commands, appends changes
// to the log, keeps its own durable view of it, answers reads and snapshots from
// that view, keeps issuers' key sets fresh, and knows which node has applied what.
//
// Any number of replicas may run; the log is the only state they share. This file
// is the only wiring.
package keymanager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/issuers"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/rest"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/view"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// Config is all that a replica can be told. Fields that DefaultConfig leaves
// empty may stay empty.
type Config struct {
	// Listen is the address of the REST API.
	Listen string
	// NATS are the servers' URLs, comma-separated. One is enough: the others of
	// the cluster are found from there.
	NATS string
	// NATSCredentials is a file with a NATS user's JWT and seed.
	NATSCredentials string
	// NATSToken is what the NATS servers ask for; not with NATSCredentials.
	NATSToken string
	// DataDir holds the view, the replica's id and a generated admin token.
	DataDir string
	// Replica is this replica's id, unique among all. Empty: made at first start.
	Replica string
	// Peers are the base URLs of the other replicas, asked for a snapshot when
	// this one's disk is behind what the log still holds.
	Peers []string
	// LogReplicas is the number of copies of the log when it is founded; 0: three
	// on a NATS cluster, else one.
	LogReplicas int
	// AdminToken opens the whole API. Empty: AdminTokenFile; if that is empty too,
	// a token is made at first start, kept in DataDir, and printed once to Out.
	AdminToken     string
	AdminTokenFile string
	// NodeToken, or the content of NodeTokenFile, opens the snapshot and nothing
	// else. Both empty: nodes and peers use the admin token.
	NodeToken     string
	NodeTokenFile string
	// TLSCert and TLSKey are PEM files for the REST API; both or none.
	TLSCert, TLSKey string
	// MaxDownloads is the number of snapshot downloads served at once.
	MaxDownloads int
	// DrainDelay is how long /readyz says no before the listener closes.
	DrainDelay time.Duration
	// ShutdownGrace is how long requests in flight may take at shutdown.
	ShutdownGrace time.Duration

	Logger *slog.Logger
	// Registry holds the metrics; nil: a new one.
	Registry *prometheus.Registry
	// Out is where a generated admin token is printed, once.
	Out io.Writer
	// Listening is told the address once the API listens; may be nil.
	Listening func(addr string)
	// Version of the program, for snapshots.
	Version string
}

// DefaultConfig works on one machine with NATS at its usual port.
func DefaultConfig() Config {
	return Config{
		Listen:        "127.0.0.1:8081",
		NATS:          "nats://127.0.0.1:4222",
		DataDir:       "data/keymanager-sync",
		MaxDownloads:  8,
		ShutdownGrace: 10 * time.Second,
		Logger:        slog.New(slog.DiscardHandler),
		Out:           io.Discard,
		Version:       "dev",
	}
}

// Validate reports all faults at once.
func (cfg Config) Validate() error {
	var faults []error
	fault := func(wrong bool, text string) {
		if wrong {
			faults = append(faults, errors.New(text))
		}
	}
	fault(cfg.Listen == "", "listen: an address is needed (hint: 127.0.0.1:8081)")
	fault(cfg.NATS == "", "nats: a server is needed (hint: nats://127.0.0.1:4222)")
	fault(cfg.DataDir == "", "data_dir: a directory is needed")
	fault(cfg.AdminToken != "" && cfg.AdminTokenFile != "", "admin_token, admin_token_file: only one of them may be set")
	fault(cfg.NodeToken != "" && cfg.NodeTokenFile != "", "node_token, node_token_file: only one of them may be set")
	fault((cfg.TLSCert == "") != (cfg.TLSKey == ""), "tls_cert, tls_key: both or none must be set")
	fault(cfg.LogReplicas < 0 || cfg.LogReplicas > 5, "log_replicas: must be 0 to 5")
	fault(cfg.Logger == nil || cfg.Out == nil, "logger, out: needed (hint: begin with DefaultConfig)")
	for _, peer := range cfg.Peers {
		if err := checkPeer(peer); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// Run is the replica. It returns when ctx ends, or the API cannot be served, and
// everything it started has ended. Trouble with NATS or the log does not end it:
// reads go on, and writes are refused with the reason.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if cfg.Registry == nil {
		cfg.Registry = newRegistry()
	}
	// The order of the defers is the order of the shutdown, from the bottom up.
	listener, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // the API closes it too
	own, err := identify(cfg)
	if err != nil {
		return err
	}
	v, err := view.Open(own.viewConfig(cfg))
	if err != nil {
		return err
	}
	defer closeView(cfg.Logger, v)
	bus, err := connect(ctx, cfg, own.replica)
	if err != nil {
		return err
	}
	defer bus.Close()
	showBus(cfg.Registry, bus)

	table := fleet.New(fleet.Config{Bus: bus, View: v, Replica: own.replica, Logger: cfg.Logger, Registry: cfg.Registry})
	writer := ledger.New(ledger.Config{View: v, Logger: cfg.Logger, Registry: cfg.Registry, Appended: table.Announce})
	keeper := issuers.New(issuers.Config{
		Bus: bus, View: v, Ledger: writer, Leads: table.Leader, Logger: cfg.Logger, Registry: cfg.Registry,
	})
	server, err := rest.New(own.restConfig(cfg, v, writer, table))
	if err != nil {
		return err
	}

	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	defer launch(ctx, failed, "view", func(ctx context.Context) error { return v.Run(ctx, bus) })()
	defer launch(ctx, failed, "fleet", table.Run)()
	defer launch(ctx, failed, "ledger", writer.Run)()
	defer launch(ctx, failed, "issuers", keeper.Run)()
	if cfg.Listening != nil {
		cfg.Listening(listener.Addr().String())
	}
	if err := server.Serve(ctx, listener); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// launch starts a part that lives until stop, which waits for its end. Its
// context does not end with ctx: who serves requests must end first.
func launch(ctx context.Context, failed context.CancelCauseFunc, part string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil {
			failed(fmt.Errorf("%s: %w", part, err))
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// Epoch is what NewEpoch began.
type Epoch struct {
	Epoch uint64
	// Sequence up to which this replica's view is what the epoch begins with.
	Sequence uint64
	// Stream is the new log's.
	Stream string
}

// NewEpoch begins the next epoch of the log from this replica's view, see
// view.BeginEpoch. The replica must not be running, and should be the most
// advanced of all. giveUp begins it although entries are known that this replica
// does not have. Listen, tokens and TLS of cfg are not used.
func NewEpoch(ctx context.Context, cfg Config, giveUp bool) (Epoch, error) {
	if err := cfg.Validate(); err != nil {
		return Epoch{}, fmt.Errorf("settings: %w", err)
	}
	own, err := identify(cfg)
	if err != nil {
		return Epoch{}, err
	}
	v, err := view.Open(own.viewConfig(cfg))
	if err != nil {
		return Epoch{}, err
	}
	defer closeView(cfg.Logger, v)
	bus, err := stream.Connect(ctx, busConfig(cfg, own.replica))
	if err != nil {
		return Epoch{}, err
	}
	defer bus.Close()
	log, err := view.BeginEpoch(ctx, v, bus, view.NewEpoch{GiveUp: giveUp})
	if err != nil {
		return Epoch{}, err
	}
	p := v.State().Position()
	return Epoch{Epoch: p.Epoch, Sequence: p.Sequence, Stream: log.Identity().Stream}, nil
}

func closeView(logger *slog.Logger, v *view.View) {
	if err := v.Close(); err != nil {
		logger.LogAttrs(context.Background(), slog.LevelError, "view could not be closed", slog.Any("error", err))
	}
}

func connect(ctx context.Context, cfg Config, replica string) (*stream.Bus, error) {
	c := busConfig(cfg, replica)
	c.RetryFirstConnect = true // reads do not need NATS
	return stream.Connect(ctx, c)
}

func busConfig(cfg Config, replica string) stream.Config {
	return stream.Config{
		URLs: []string{cfg.NATS}, Name: "keymanager-sync-" + replica,
		CredentialsFile: cfg.NATSCredentials, Token: cfg.NATSToken, Logger: cfg.Logger,
	}
}

func listen(ctx context.Context, cfg Config) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if cfg.TLSCert == "" {
		return listener, nil
	}
	secured, err := secure(listener, cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return secured, nil
}
