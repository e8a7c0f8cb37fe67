// Command gateway is one node of the data plane.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/portcullis-gateway/portcullis/gateway"
	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

// settings are the node's and the process's.
type settings struct {
	gateway.Config
	telemetry.Log
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "explain" {
		return explain(ctx, args[1:], stdin, stdout, stderr)
	}
	cfg := settings{gateway.DefaultConfig(), telemetry.DefaultLog()}
	loaded, err := config.Load(config.Program{
		Name: "gateway", Summary: "One node of the data plane: decides and forwards requests.",
		Arguments: "[FILE…]  more files for --resources\n  gateway explain --url URL…  ask a running node about a request",
	}, &cfg, config.Source{Args: args, LookupEnv: os.LookupEnv, ReadFile: os.ReadFile})
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 2
	}
	switch loaded.Mode {
	case config.Help:
		_, _ = fmt.Fprint(stdout, loaded.Usage)
		return 0
	case config.Version:
		_, _ = fmt.Fprintln(stdout, telemetry.Version())
		return 0
	case config.Check:
		return report(loaded.Print(stdout), stderr)
	case config.Run:
	}
	cfg.Resources = append(cfg.Resources, loaded.Args...)
	logger, err := cfg.NewLogger(stderr)
	if err != nil {
		return report(err, stderr)
	}
	cfg.Logger, cfg.Registry, cfg.Version = logger, telemetry.NewRegistry("gateway"), telemetry.Version()
	cfg.LookupEnv = os.LookupEnv
	cfg.Sized = leaveRoom()
	cfg.Listening = func(proxy, admin string) {
		scheme := "http"
		if cfg.TLSCert != "" {
			scheme = "https"
		}
		_, _ = fmt.Fprintf(stdout, "gateway %s://%s, admin http://%s\n", scheme, proxy, admin)
	}
	return report(gateway.Run(ctx, cfg.Config), stderr)
}

func report(err error, stderr io.Writer) int {
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
