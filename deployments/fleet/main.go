// Command fleet runs a whole fleet as plain processes on one machine: three NATS
// nodes, two control planes, three gateways.
//
//	go run ./deployments/fleet [--data-dir data/fleet] [--port-offset 0]
//
// It builds the programs, starts them in that order, prints the addresses and then
// the line `ready`, and on Ctrl-C (or SIGTERM) stops them in the opposite order.
// Logs, state and the admin token are in the data directory; a second start goes on
// from there. It must be started inside the source tree.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/shared/cli"
)

func main() {
	os.Exit(app().Main(cli.Process{
		Args: os.Args[1:], LookupEnv: os.LookupEnv, Environ: os.Environ, ReadFile: os.ReadFile,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}

func app() cli.App {
	return cli.App{
		Name: "fleet", Summary: "Three NATS nodes, two control planes and three gateways as processes of this machine.", Default: "serve",
		Verbs: []cli.Verb{{
			Name: "serve", Summary: "build and run the fleet", Serves: true, Attended: true,
			New: func() cli.Runner { return &settings{DataDir: filepath.Join("data", "fleet")} },
		}},
	}
}

// settings are all settings of a fleet.
type settings struct {
	DataDir    string `setting:"data-dir" check:"dir" help:"logs, state and tokens"`
	PortOffset int    `setting:"port-offset" min:"0" max:"55000" help:"added to every port, for a second fleet on one machine"`
}

// Run runs the fleet until ctx ends.
func (s *settings) Run(ctx context.Context, call *cli.Call) error {
	return s.run(ctx, call.Environ(), call.Stdout)
}

// run starts the fleet, and stops it when ctx ends or one of its processes does,
// which is an error.
func (s *settings) run(ctx context.Context, environ []string, stdout io.Writer) error {
	dir, err := filepath.Abs(s.DataDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tokens, err := readTokens(environ, dir)
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	if err := cluster.Build(ctx, bin, cluster.Programs()[:3]...); err != nil {
		return err
	}
	c, err := cluster.New(ctx, cluster.Options{
		NATS: natsNodes, Controls: controlPlanes, Gateways: gateways, Programs: bin, Dir: dir, Environ: environ,
		AdminToken: tokens[0], NodeToken: tokens[1], Address: layout(s.PortOffset).address,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	return serve(ctx, c, stdout)
}

// serve starts the fleet, waits, and stops what was started, last things first.
func serve(ctx context.Context, c *cluster.Cluster, stdout io.Writer) error {
	err := c.Start(ctx)
	if err == nil {
		describe(stdout, c)
		err = c.Watch(ctx)
		fmt.Fprintln(stdout, "stopping")
	}
	if ctx.Err() != nil {
		err = nil // a signal ended it
	}
	return errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
}

// readTokens returns the admin token and the node token: those of the environment,
// or those of an earlier start, or new ones.
func readTokens(environ []string, dir string) (tokens [2]string, err error) {
	for i, t := range []struct{ variable, file string }{
		{"PORTCULLIS_ADMIN_TOKEN", "admin-token"}, {"PORTCULLIS_NODE_TOKEN", "node-token"},
	} {
		given := ""
		for _, entry := range environ {
			if value, ok := strings.CutPrefix(entry, t.variable+"="); ok {
				given = value
			}
		}
		if tokens[i], err = keepToken(filepath.Join(dir, t.file), given); err != nil {
			return tokens, err
		}
	}
	return tokens, nil
}

// keepToken writes a given token to its file; without one it takes the file's, or
// makes one.
func keepToken(file, given string) (string, error) {
	if given == "" {
		kept, err := os.ReadFile(file)
		if token := strings.TrimSpace(string(kept)); err == nil && token != "" {
			return token, nil
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		given = rand.Text()
	}
	return given, os.WriteFile(file, []byte(given+"\n"), 0o600)
}
