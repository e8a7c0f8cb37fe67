// Package keymanager is the control plane: it checks commands, appends changes
// to the log, keeps its own durable store of it, answers reads and snapshots from
// that store, keeps issuers' key sets fresh, and knows which node has applied what.
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

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/issuers"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/rest"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/stream"
)

// Config is all settings of a replica. The tags name its settings: each is a
// flag, an environment variable and a key of the settings file, and its help is the
// manual. Fields that DefaultConfig leaves empty may stay empty.
type Config struct {
	Listen          string `setting:"listen" check:"listen" help:"address of the REST API"`
	NATS            string `setting:"nats" check:"url nats tls ws wss" help:"NATS servers, comma-separated; one is enough to find the others of a cluster"`
	NATSCredentials string `setting:"nats-credentials" check:"file" help:"file with a NATS user's JWT and seed"`
	// NATSToken may not be set with NATSCredentials.
	NATSToken   string   `setting:"nats-token" check:"token" help:"what the NATS servers ask for" secret:"true"`
	DataDir     string   `setting:"data-dir" check:"dir" help:"directory of the store, the replica's id and a generated admin token"`
	Replica     string   `setting:"replica-id" check:"id" help:"this replica's id, unique among all; empty: made at first start"`
	Peers       []string `setting:"peers" check:"url http https" help:"base URLs of the other replicas, for a snapshot when the log no longer reaches back to this one's disk"`
	LogReplicas int      `setting:"log-replicas" min:"0" max:"5" help:"copies of the log when it is created; 0: three on a NATS cluster, else one"`
	// AdminToken or AdminTokenFile, not both. A token that was made is printed to Out.
	AdminToken     string `setting:"admin-token" check:"token" help:"opens the whole API; empty: made at first start, kept in the data directory, printed once" secret:"true"`
	AdminTokenFile string `setting:"admin-token-file" check:"file" help:"file with the admin token"`
	// NodeToken or NodeTokenFile, not both. Peers use it too.
	NodeToken     string        `setting:"node-token" check:"token" help:"opens the snapshot and nothing else; empty: nodes use the admin token" secret:"true"`
	NodeTokenFile string        `setting:"node-token-file" check:"file" help:"file with the node token"`
	TLSCert       string        `setting:"tls-cert" check:"file" help:"PEM file with the certificate of the REST API; empty: plain HTTP"`
	TLSKey        string        `setting:"tls-key" check:"file" help:"PEM file with the key of tls-cert"`
	MaxDownloads  int           `setting:"max-downloads" min:"1" help:"snapshot downloads served at once"`
	DrainDelay    time.Duration `setting:"drain-delay" min:"0s" help:"time for which /readyz says no before the listener closes"`
	// ForgetNodesAfter is 0 or at least a minute.
	ForgetNodesAfter time.Duration `setting:"forget-nodes-after" min:"0s" help:"a node that is silent for so long does not belong to the fleet any longer; for fleets that are scaled automatically. 0: it belongs until it leaves in good order, or is removed with \"keymanager-sync fleet remove\""`
	ShutdownGrace    time.Duration `setting:"shutdown-grace" min:"0s" help:"time that requests in flight may take at shutdown"`

	Logger *slog.Logger
	// Registry holds the metrics; nil: a new one.
	Registry *prometheus.Registry
	// Out is where a generated admin token is printed, once.
	Out io.Writer
	// Listening is called with the address once the API listens; may be nil.
	Listening func(addr string)
	// LookupEnv and ReadFile reach what issuers name for their key servers.
	LookupEnv func(string) (string, bool)
	ReadFile  func(string) ([]byte, error)
	// Version of the program, for snapshots.
	Version string
	// First: no log can exist yet, because the NATS server has just begun with an empty
	// directory. An empty replica then creates the log without listening for others first.
	First bool
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
		ReadFile:      keyset.ReadRegular,
		Version:       "dev",
	}
}

// Validate checks what single values do not show. Its error is a fault.List with
// all faults; their fields are names of settings.
func (cfg *Config) Validate() error {
	var faults fault.List
	check := func(ok bool, setting, message, hint string) {
		if !ok {
			faults = append(faults, fault.Fault{Field: setting, Message: message, Hint: hint})
		}
	}
	check(cfg.Listen != "", "listen", "an address is needed", "127.0.0.1:8081")
	check(cfg.NATS != "", "nats", "a server is needed", "nats://127.0.0.1:4222")
	check(cfg.DataDir != "", "data-dir", "a directory is needed", "")
	check(cfg.AdminToken == "" || cfg.AdminTokenFile == "", "admin-token-file", "is set, and admin-token is too", "set only one of them")
	check(cfg.NodeToken == "" || cfg.NodeTokenFile == "", "node-token-file", "is set, and node-token is too", "set only one of them")
	check((cfg.TLSCert == "") == (cfg.TLSKey == ""), "tls-cert", "is needed with tls-key, and the other way round", "")
	check(cfg.LogReplicas >= 0 && cfg.LogReplicas <= 5, "log-replicas", "must be 0 to 5", "")
	check(cfg.ForgetNodesAfter == 0 || cfg.ForgetNodesAfter >= shortestForget, "forget-nodes-after", "must be 0 or at least 1m", "")
	check(cfg.Logger != nil, "Logger", "is needed", "begin with DefaultConfig")
	check(cfg.Out != nil, "Out", "is needed", "begin with DefaultConfig")
	for _, peer := range cfg.Peers {
		check(isBaseURL(peer), "peers", fmt.Sprintf("%q is no base URL", peer), "http://10.0.0.2:8081")
	}
	return faults.Err()
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
	st, err := store.Open(own.storeConfig(cfg))
	if err != nil {
		return err
	}
	defer closeStore(cfg.Logger, st)
	bus, err := connect(ctx, cfg, own.replica)
	if err != nil {
		return err
	}
	defer bus.Close()
	showBus(cfg.Registry, bus)

	table, writer := newWriter(cfg, own.replica, st, bus)
	keeper := issuers.New(issuers.Config{
		Bus: bus, Store: st, Ledger: writer, Leads: table.Leader, Logger: cfg.Logger, Registry: cfg.Registry,
		Secrets: keyset.Secrets{Env: cfg.LookupEnv, File: cfg.ReadFile},
	})
	server, err := rest.New(own.restConfig(cfg, st, writer, table))
	if err != nil {
		return err
	}

	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	defer launch(ctx, failed, "store", func(ctx context.Context) error { return st.Run(ctx, bus) })()
	defer launch(ctx, failed, "fleet", table.Run)()
	defer launch(ctx, failed, "ledger", writer.Run)()
	defer launch(ctx, failed, "issuers", keeper.Run)()
	defer launch(ctx, failed, "members", func(ctx context.Context) error { return table.KeepMembers(ctx, recording(writer)) })()
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

// newWriter makes what writes, and what knows for whom.
func newWriter(cfg Config, replica string, st *store.Store, bus *stream.Bus) (*fleet.Fleet, *ledger.Ledger) {
	table := fleet.New(fleet.Config{
		Bus: bus, Store: st, Replica: replica, Logger: cfg.Logger, Registry: cfg.Registry, ForgetAfter: cfg.ForgetNodesAfter,
	})
	return table, ledger.New(ledger.Config{
		Store: st, Logger: cfg.Logger, Registry: cfg.Registry, Appended: table.Announce, Understood: table.Understands,
	})
}

// A node that is silent for less may be away for a moment only.
const shortestForget = time.Minute

// recording writes who belongs to the fleet as the control plane's own doing.
func recording(writer *ledger.Ledger) fleet.Submit {
	return func(ctx context.Context, cmd command.Command) error {
		_, err := writer.Submit(ctx, cmd, ledger.Meta{Actor: "keymanager-sync"})
		return err
	}
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
	// Sequence up to which this replica's store is what the epoch begins with.
	Sequence uint64
	// Stream is the new log's.
	Stream string
}

// NewEpoch begins the next epoch of the log from this replica's store, see
// store.BeginEpoch. The replica must not be running, and should be the most
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
	st, err := store.Open(own.storeConfig(cfg))
	if err != nil {
		return Epoch{}, err
	}
	defer closeStore(cfg.Logger, st)
	bus, err := stream.Connect(ctx, busConfig(cfg, own.replica))
	if err != nil {
		return Epoch{}, err
	}
	defer bus.Close()
	log, err := store.BeginEpoch(ctx, st, bus, store.NewEpoch{GiveUp: giveUp})
	if err != nil {
		return Epoch{}, err
	}
	p := st.State().Position()
	return Epoch{Epoch: p.Epoch, Sequence: p.Sequence, Stream: log.Identity().Stream}, nil
}

func closeStore(logger *slog.Logger, st *store.Store) {
	if err := st.Close(); err != nil {
		logger.LogAttrs(context.Background(), slog.LevelError, "store could not be closed", slog.Any("error", err))
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
