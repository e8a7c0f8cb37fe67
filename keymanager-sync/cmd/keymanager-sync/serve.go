package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	keymanager "github.com/portcullis-gateway/portcullis/keymanager-sync"
	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

// settings of serve and new-epoch. Their help texts are the manual.
type settings struct {
	Listen          string        `setting:"listen" help:"address of the REST API"`
	NATS            string        `setting:"nats" help:"NATS servers, comma-separated; one is enough to find the others of a cluster"`
	NATSCredentials string        `setting:"nats-credentials" help:"file with a NATS user's JWT and seed"`
	NATSToken       string        `setting:"nats-token" help:"what the NATS servers ask for" secret:"true"`
	DataDir         string        `setting:"data-dir" help:"directory of the view, the replica's id and a generated admin token"`
	ReplicaID       string        `setting:"replica-id" help:"this replica's id, unique among all; empty: made at first start"`
	Peers           []string      `setting:"peers" help:"base URLs of the other replicas, for a snapshot when the log no longer reaches back to this one's disk"`
	LogReplicas     int           `setting:"log-replicas" help:"copies of the log when it is created; 0: three on a NATS cluster, else one"`
	AdminToken      string        `setting:"admin-token" help:"opens the whole API; empty: made at first start, kept in the data directory, printed once" secret:"true"`
	AdminTokenFile  string        `setting:"admin-token-file" help:"file with the admin token"`
	NodeToken       string        `setting:"node-token" help:"opens the snapshot and nothing else; empty: nodes use the admin token" secret:"true"`
	NodeTokenFile   string        `setting:"node-token-file" help:"file with the node token"`
	TLSCert         string        `setting:"tls-cert" help:"PEM file with the certificate of the REST API; empty: plain HTTP"`
	TLSKey          string        `setting:"tls-key" help:"PEM file with the key of tls-cert"`
	MaxDownloads    int           `setting:"max-downloads" help:"snapshot downloads served at once"`
	DrainDelay      time.Duration `setting:"drain-delay" help:"time for which /readyz says no before the listener closes"`
	ShutdownGrace   time.Duration `setting:"shutdown-grace" help:"time that requests in flight may take at shutdown"`
	telemetry.Log
}

func defaultSettings() *settings {
	d := keymanager.DefaultConfig()
	return &settings{
		Listen: d.Listen, NATS: d.NATS, DataDir: d.DataDir, MaxDownloads: d.MaxDownloads,
		DrainDelay: d.DrainDelay, ShutdownGrace: d.ShutdownGrace, Log: telemetry.DefaultLog(),
	}
}

// Validate reports what the replica would refuse.
func (s *settings) Validate() error {
	cfg := s.config(slog.New(slog.DiscardHandler), io.Discard)
	_, err := s.NewLogger(io.Discard)
	return errors.Join(err, cfg.Validate())
}

func (s *settings) config(logger *slog.Logger, out io.Writer) keymanager.Config {
	cfg := keymanager.DefaultConfig()
	cfg.Listen, cfg.NATS, cfg.NATSCredentials, cfg.NATSToken, cfg.DataDir = s.Listen, s.NATS, s.NATSCredentials, s.NATSToken, s.DataDir
	cfg.Replica, cfg.Peers, cfg.LogReplicas = s.ReplicaID, s.Peers, s.LogReplicas
	cfg.AdminToken, cfg.AdminTokenFile = s.AdminToken, s.AdminTokenFile
	cfg.NodeToken, cfg.NodeTokenFile = s.NodeToken, s.NodeTokenFile
	cfg.TLSCert, cfg.TLSKey = s.TLSCert, s.TLSKey
	cfg.MaxDownloads, cfg.DrainDelay, cfg.ShutdownGrace = s.MaxDownloads, s.DrainDelay, s.ShutdownGrace
	cfg.Logger, cfg.Out, cfg.Version = logger, out, telemetry.Version()
	return cfg
}

// load reads the settings of s into target, which embeds s or is s; done: the
// command line asked for something else, which has been answered.
func load(p process, name, summary string, s *settings, target any) (cfg keymanager.Config, done bool, err error) {
	loaded, err := config.Load(config.Program{Name: "keymanager-sync " + name, Summary: summary}, target,
		config.Source{Args: p.args, LookupEnv: p.lookupEnv, ReadFile: os.ReadFile})
	if err != nil {
		return cfg, false, &usageError{err.Error()}
	}
	switch loaded.Mode {
	case config.Help:
		_, err = io.WriteString(p.stdout, loaded.Usage)
		return cfg, true, err
	case config.Version:
		_, err = fmt.Fprintln(p.stdout, telemetry.Version())
		return cfg, true, err
	case config.Check:
		return cfg, true, loaded.Print(p.stdout)
	case config.Run:
	}
	if len(loaded.Args) > 0 {
		return cfg, false, &usageError{fmt.Sprintf("unexpected argument %q", loaded.Args[0])}
	}
	logger, err := s.NewLogger(p.stderr)
	if err != nil {
		return cfg, false, &usageError{err.Error()}
	}
	return s.config(logger, p.stdout), false, nil
}

// serve runs the control plane until the process is told to end.
func serve(ctx context.Context, p process) error {
	s := defaultSettings()
	cfg, done, err := load(p, "serve", "Run the control plane: the REST API, the log's writer, and the keeper of issuers' keys.", s, s)
	if done || err != nil {
		return err
	}
	cfg.Registry = telemetry.NewRegistry("keymanager-sync")
	scheme := "http"
	if cfg.TLSCert != "" {
		scheme = "https"
	}
	cfg.Listening = func(addr string) {
		_, _ = fmt.Fprintf(p.stdout, "control plane at %s://%s\n", scheme, addr)
	}
	return keymanager.Run(ctx, cfg)
}

// epochSettings are those of new-epoch.
type epochSettings struct {
	settings

	GiveUp bool `setting:"give-up-entries" help:"begin the epoch although the log or another replica has entries that this replica does not have; they are lost"`
}

// newEpoch begins the next epoch of the log.
func newEpoch(ctx context.Context, p process) error {
	s := &epochSettings{settings: *defaultSettings()}
	cfg, done, err := load(p, "new-epoch",
		"Begin the next epoch of the log from this replica's view, after the log was lost or rolled back.\n"+
			"Stop this replica first, and choose the most advanced one. Where the log is well, it is refused;\n"+
			"where the log is not, nobody can write to it any more.", &s.settings, s)
	if done || err != nil {
		return err
	}
	began, err := keymanager.NewEpoch(ctx, cfg, s.GiveUp)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(p.stdout, "epoch %d begins after sequence %d, in the stream %s\n", began.Epoch, began.Sequence, began.Stream)
	return nil
}
