// Command nats runs a NATS server of the version that Portcullis is tested with,
// for machines that have Go and no nats-server:
//
//	go run ./deployments/nats --config deployments/nats/n1.conf
//
// It takes the flags of nats-server, since it is nothing else; `version` and `help`
// are verbs, too, as in every program here. The files n1.conf, n2.conf and n3.conf
// make a cluster of three on one machine; single.conf is one node alone. A stock
// nats-server can be given the same files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run serves until a signal stops it (SIGINT, SIGTERM), which the
// server sees to by itself. It returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "help", "-h", "--help", "-help":
			args = []string{"--help"}
		case "version", "-v", "--version", "-version":
			return version(args[1:], stdout, stderr)
		}
	}
	opts, err := options(args, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "nats:", err)
		return cli.Usage
	}
	if opts == nil { // --help was asked for and given
		return cli.Done
	}
	if opts.CheckConfig {
		fmt.Fprintln(stdout, "nats: the configuration is valid")
		return cli.Done
	}
	if err := serve(opts); err != nil {
		fmt.Fprintln(stderr, "nats:", err)
		return cli.Failed
	}
	return cli.Done
}

// version prints the version of our build, and of the server in it.
func version(args []string, stdout, stderr io.Writer) int {
	status := cli.App{Name: "nats"}.Run(context.Background(), cli.Process{Args: append([]string{"version"}, args...), Stdout: stdout, Stderr: stderr})
	if status == cli.Done && len(args) == 0 {
		fmt.Fprintf(stdout, "  server    nats-server %s\n", server.VERSION)
	}
	return status
}

// options reads the command line and the file that it names; nil: help was printed.
func options(args []string, stdout io.Writer) (*server.Options, error) {
	flags := flag.NewFlagSet("nats", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	help := func() { fmt.Fprintln(stdout, usage) }
	opts, err := server.ConfigureOptions(flags, args, func() {}, help, server.PrintTLSHelpAndDie)
	if err != nil {
		return nil, suggest(flags, err)
	}
	if opts == nil {
		return nil, nil //nolint:nilnil // nothing is wrong, and nothing to be run
	}
	if len(flags.Args()) > 0 {
		return nil, fmt.Errorf("unexpected argument %q (hint: --config FILE)", flags.Arg(0))
	}
	return opts, check(opts)
}

const usage = `A NATS server of the version that Portcullis is tested with.

Usage:
  nats --config FILE [flags of nats-server]
  nats --config FILE -t     check the configuration and exit
  nats version              print the version
  nats help                 print this text

Files: deployments/nats/single.conf for one node, n1.conf, n2.conf and n3.conf for a
cluster of three. The flags are those of nats-server, such as --port, --http_port,
--cluster, --routes, --store_dir: https://docs.nats.io/running-a-nats-service/introduction/flags`

// suggest names the flag that an unknown one was meant to be.
func suggest(flags *flag.FlagSet, err error) error {
	_, word, unknown := strings.Cut(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err
	}
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, "--"+f.Name) })
	return fmt.Errorf("--%s: unknown flag (hint: %s)", strings.TrimLeft(word, "-"), fault.Suggest("--"+word, names))
}

func serve(opts *server.Options) error {
	srv, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	srv.ConfigureLogger()
	if err := server.Run(srv); err != nil {
		return err
	}
	srv.WaitForShutdown()
	return nil
}

// check refuses to run without what the log's promises rest on.
func check(opts *server.Options) error {
	const maxPayload = 8 << 20
	switch {
	case !opts.JetStream:
		return errors.New("jetstream is off (hint: --config deployments/nats/single.conf)")
	case !opts.SyncAlways:
		return errors.New("jetstream.sync_interval is not `always`: acknowledged writes would be lost when power fails")
	case opts.MaxPayload < maxPayload:
		return fmt.Errorf("max_payload is %d bytes, and entries of the log may have %d", opts.MaxPayload, maxPayload)
	}
	return nil
}
