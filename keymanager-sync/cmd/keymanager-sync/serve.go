package main

import (
	"context"
	"fmt"

	keymanager "github.com/portcullis-gateway/portcullis/keymanager-sync"
	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

// settings of serve and new-epoch: the replica's and the process's.
type settings struct {
	keymanager.Config
	telemetry.Log
}

func defaultSettings() settings {
	return settings{keymanager.DefaultConfig(), telemetry.DefaultLog()}
}

// serve is the verb that runs the control plane until the process gets a signal to end.
type serve struct{ settings }

func (s *serve) Run(ctx context.Context, call *cli.Call) error {
	cfg, err := s.prepare(ctx, call)
	if err != nil {
		return err
	}
	cfg.Registry, cfg.LookupEnv = telemetry.NewRegistry("keymanager-sync"), call.LookupEnv
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
	s.Logger, s.Out, s.Version = logger, call.Stdout, telemetry.Version()
	return s.Config, nil
}
