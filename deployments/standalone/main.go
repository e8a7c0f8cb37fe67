// Command standalone is all of Portcullis in one process, with NATS embedded:
// for a first look, and for installations that fit one machine. It puts together
// the same parts as a fleet, with the same settings; nothing in them knows of it.
package main

import (
	"context"
	"os"

	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

// settings are all settings of a standalone.
type settings struct {
	GatewayListen      string   `setting:"gateway-listen" check:"listen" help:"address for API consumers"`
	GatewayAdminListen string   `setting:"gateway-admin-listen" check:"listen" help:"address of the gateway's health and metrics"`
	ControlListen      string   `setting:"control-listen" check:"listen" help:"address of the control plane's REST API"`
	NATSListen         string   `setting:"nats-listen" check:"listen" help:"address of NATS"`
	DataDir            string   `setting:"data-dir" check:"dir" help:"where everything is kept"`
	Resources          []string `setting:"resources" check:"file" help:"files to apply at the start"`
	AdminToken         string   `setting:"admin-token" check:"token" help:"opens the control plane; default: made at first start, kept in the data directory" secret:"true"`
	NodeToken          string   `setting:"node-token" check:"token" help:"opens the snapshot for further nodes" secret:"true"`
	NATSToken          string   `setting:"nats-token" check:"token" help:"asked of clients of NATS; needed when nats-listen is not a loopback address" secret:"true"`
	Demo               bool     `setting:"demo" help:"run a demo issuer, a demo upstream and an Api between them"`
	DemoIssuerListen   string   `setting:"demo-issuer-listen" check:"listen" help:"address of the demo issuer"`
	DemoUpstreamListen string   `setting:"demo-upstream-listen" check:"listen" help:"address of the demo upstream"`
	telemetry.Log
}

func defaults() settings {
	logging := telemetry.DefaultLog()
	logging.Level = "warn" // what is printed is for people; --log-level=info prints more
	return settings{
		GatewayListen: "127.0.0.1:8080", GatewayAdminListen: "127.0.0.1:9090", ControlListen: "127.0.0.1:8081",
		NATSListen: "127.0.0.1:4222", DataDir: "data", Demo: true,
		DemoIssuerListen: "127.0.0.1:8090", DemoUpstreamListen: "127.0.0.1:8091", Log: logging,
	}
}

// Validate checks what single values do not show.
func (s *settings) Validate() error {
	listeners := []string{
		"gateway-listen", s.GatewayListen, "gateway-admin-listen", s.GatewayAdminListen, "control-listen", s.ControlListen, "nats-listen", s.NATSListen,
	}
	if s.Demo {
		listeners = append(listeners, "demo-issuer-listen", s.DemoIssuerListen, "demo-upstream-listen", s.DemoUpstreamListen)
	}
	return config.Conflicts(listeners...).Err()
}

func main() {
	os.Exit(app().Main(cli.Process{
		Args: os.Args[1:], LookupEnv: os.LookupEnv, Environ: os.Environ, ReadFile: os.ReadFile,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}

func app() cli.App {
	return cli.App{
		Name: "standalone", Summary: "All of Portcullis in one process.", Default: "serve",
		Verbs: []cli.Verb{{
			Name: "serve", Summary: "run everything", Serves: true, Attended: true, Stray: "--resources takes files",
			New: func() cli.Runner {
				s := defaults()
				return &s
			},
		}},
	}
}

// Run runs everything until ctx ends.
func (s *settings) Run(ctx context.Context, call *cli.Call) error {
	logger, err := s.NewLogger(call.Stderr)
	if err != nil {
		return err
	}
	call.Warn(ctx, logger)
	return start(ctx, *s, logger, call.Stdout)
}
