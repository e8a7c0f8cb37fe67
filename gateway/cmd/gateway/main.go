// Command gateway is one node of the data plane.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway"
	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

func main() {
	os.Exit(app().Main(cli.Process{
		Args: os.Args[1:], LookupEnv: os.LookupEnv, Environ: os.Environ, ReadFile: os.ReadFile,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}

func app() cli.App {
	return cli.App{
		Name: "gateway", Summary: "One node of the data plane: decides and forwards requests.", Default: "serve",
		Verbs: []cli.Verb{
			{
				Name: "serve", Arguments: "[FILE…]", Most: -1, Serves: true, Summary: "run the node",
				More:  "FILEs are more files for --resources.",
				Words: func([]string) []string { return []string{cli.Files} },
				New: func() cli.Runner {
					n := &node{Config: gateway.DefaultConfig(), Log: telemetry.DefaultLog()}
					n.DrainDelay = drainDelay
					return n
				},
			},
			{
				Name: "explain", Summary: "ask a running node how it would decide about a request, and why",
				More: "Nothing is sent upstream and nothing is counted. It exits with 0 if the request is allowed, 1 if it\n" +
					"is refused, 2 if that could not be found out.",
				New: func() cli.Runner { return newExplain() },
			},
		},
	}
}

// drainDelay is longer than an ordinary load balancer needs to notice that a node is
// not ready: HAProxy asks every 2 s and believes the third answer; Kubernetes takes a
// few seconds to tell all its nodes, and grants 30 s for the end, which this and
// drain-timeout fit into.
const drainDelay = 10 * time.Second

// node runs a node. Its settings are the node's and the process's.
type node struct {
	gateway.Config
	telemetry.Log
}

// Take makes resource files of the positional arguments.
func (n *node) Take(args []string) { n.Resources = append(n.Resources, args...) }

// Run runs the node until ctx ends.
func (n *node) Run(ctx context.Context, call *cli.Call) error {
	logger, err := n.NewLogger(call.Stderr)
	if err != nil {
		return err
	}
	call.Warn(ctx, logger)
	n.Logger, n.Registry, n.Version = logger, telemetry.NewRegistry("gateway"), telemetry.Version()
	n.LookupEnv = call.LookupEnv
	if gc := tuneGC(); gc != nil {
		n.OnStateSize = gc.stateLoaded
		var watching sync.WaitGroup
		defer watching.Wait()
		watch, stop := context.WithCancel(ctx)
		defer stop()
		watching.Go(func() { gc.watch(watch) })
	}
	n.Listening = func(proxy, admin string) {
		scheme := "http"
		if n.TLSCert != "" {
			scheme = "https"
		}
		_, _ = fmt.Fprintf(call.Stdout, "gateway %s://%s, admin http://%s\n", scheme, proxy, admin)
	}
	return gateway.Run(ctx, n.Config)
}
