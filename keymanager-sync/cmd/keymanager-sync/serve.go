package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	keymanager "github.com/portcullis-gateway/portcullis/keymanager-sync"
	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

// settings of serve and new-epoch. Their help texts are the manual.
type settings struct {
	Listen          string        `setting:"listen" check:"listen" help:"address of the REST API"`
	NATS            string        `setting:"nats" check:"url nats tls ws wss" help:"NATS servers, comma-separated; one is enough to find the others of a cluster"`
	NATSCredentials string        `setting:"nats-credentials" check:"file" help:"file with a NATS user's JWT and seed"`
	NATSToken       string        `setting:"nats-token" check:"token" help:"what the NATS servers ask for" secret:"true"`
	DataDir         string        `setting:"data-dir" check:"dir" help:"directory of the view, the replica's id and a generated admin token"`
	ReplicaID       string        `setting:"replica-id" check:"id" help:"this replica's id, unique among all; empty: made at first start"`
	Peers           []string      `setting:"peers" check:"url http https" help:"base URLs of the other replicas, for a snapshot when the log no longer reaches back to this one's disk"`
	LogReplicas     int           `setting:"log-replicas" min:"0" max:"5" help:"copies of the log when it is created; 0: three on a NATS cluster, else one"`
	AdminToken      string        `setting:"admin-token" check:"token" help:"opens the whole API; empty: made at first start, kept in the data directory, printed once" secret:"true"`
	AdminTokenFile  string        `setting:"admin-token-file" check:"file" help:"file with the admin token"`
	NodeToken       string        `setting:"node-token" check:"token" help:"opens the snapshot and nothing else; empty: nodes use the admin token" secret:"true"`
	NodeTokenFile   string        `setting:"node-token-file" check:"file" help:"file with the node token"`
	TLSCert         string        `setting:"tls-cert" check:"file" help:"PEM file with the certificate of the REST API; empty: plain HTTP"`
	TLSKey          string        `setting:"tls-key" check:"file" help:"PEM file with the key of tls-cert"`
	MaxDownloads    int           `setting:"max-downloads" min:"1" help:"snapshot downloads served at once"`
	DrainDelay      time.Duration `setting:"drain-delay" min:"0s" help:"time for which /readyz says no before the listener closes"`
	ShutdownGrace   time.Duration `setting:"shutdown-grace" min:"0s" help:"time that requests in flight may take at shutdown"`
	telemetry.Log
}

func defaultSettings() settings {
	d := keymanager.DefaultConfig()
	return settings{
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

// serve is the verb that runs the control plane until the process is told to end.
type serve struct{ settings }

func (s *serve) Run(ctx context.Context, call *cli.Call) error {
	cfg, err := s.prepare(ctx, call)
	if err != nil {
		return err
	}
	cfg.Registry = telemetry.NewRegistry("keymanager-sync")
	scheme := "http"
	if cfg.TLSCert != "" {
		scheme = "https"
	}
	cfg.Listening = func(addr string) {
		_, _ = fmt.Fprintf(call.Stdout, "control plane at %s://%s\n", scheme, addr)
	}
	return keymanager.Run(ctx, cfg)
}

// newEpoch is the verb that begins the next epoch of the log.
type newEpoch struct {
	settings

	GiveUp bool `setting:"give-up-entries" use:"flag" help:"begin the epoch although the log or another replica has entries that this replica does not have; they are lost"`
}

func (e *newEpoch) Run(ctx context.Context, call *cli.Call) error {
	cfg, err := e.prepare(ctx, call)
	if err != nil {
		return err
	}
	began, err := keymanager.NewEpoch(ctx, cfg, e.GiveUp)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(call.Stdout, "epoch %d begins after sequence %d, in the stream %s\n", began.Epoch, began.Sequence, began.Stream)
	return err
}

// prepare makes the settings a replica's configuration.
func (s *settings) prepare(ctx context.Context, call *cli.Call) (keymanager.Config, error) {
	logger, err := s.NewLogger(call.Stderr)
	if err != nil {
		return keymanager.Config{}, err
	}
	call.Warn(ctx, logger)
	return s.config(logger, call.Stdout), nil
}
