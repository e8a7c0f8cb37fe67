// Command standalone is all of Portcullis in one process, with NATS embedded:
// for a first look, and for installations that fit one machine. It puts together
// the same parts as a fleet, with the same settings; nothing in them knows of it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

// settings are all that a standalone can be told.
type settings struct {
	GatewayListen      string   `setting:"gateway-listen" help:"address for API consumers"`
	GatewayAdminListen string   `setting:"gateway-admin-listen" help:"address of the gateway's health and metrics"`
	ControlListen      string   `setting:"control-listen" help:"address of the control plane's REST API"`
	NATSListen         string   `setting:"nats-listen" help:"address of NATS"`
	DataDir            string   `setting:"data-dir" help:"where everything is kept"`
	Resources          []string `setting:"resources" help:"files to apply at the start"`
	AdminToken         string   `setting:"admin-token" help:"opens the control plane; default: made at first start, kept in the data directory" secret:"true"`
	NodeToken          string   `setting:"node-token" help:"opens the snapshot for further nodes" secret:"true"`
	NATSToken          string   `setting:"nats-token" help:"asked of clients of NATS; needed when nats-listen is not a loopback address" secret:"true"`
	Demo               bool     `setting:"demo" help:"run a demo issuer, a demo upstream and an Api between them"`
	DemoIssuerListen   string   `setting:"demo-issuer-listen" help:"address of the demo issuer"`
	DemoUpstreamListen string   `setting:"demo-upstream-listen" help:"address of the demo upstream"`
	telemetry.Log
}

func defaults() settings {
	log := telemetry.DefaultLog()
	log.Level = "warn" // what is printed is for people; --log-level=info tells more
	return settings{
		GatewayListen: "127.0.0.1:8080", GatewayAdminListen: "127.0.0.1:9090", ControlListen: "127.0.0.1:8081",
		NATSListen: "127.0.0.1:4222", DataDir: "data", Demo: true,
		DemoIssuerListen: "127.0.0.1:8090", DemoUpstreamListen: "127.0.0.1:8091", Log: log,
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg := defaults()
	loaded, err := config.Load(config.Program{
		Name: "standalone", Summary: "All of Portcullis in one process.",
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
		err = loaded.Print(stdout)
	case config.Run:
		if len(loaded.Args) > 0 {
			_, _ = fmt.Fprintf(stderr, "standalone: %q is no setting (hint: --resources takes files)\n", loaded.Args[0])
			return 2
		}
		err = start(ctx, cfg, stdout, stderr)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
