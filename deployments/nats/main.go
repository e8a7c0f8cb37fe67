// Command nats runs a NATS server of the version that Portcullis is tested with,
// for machines that have Go and no nats-server:
//
//	go run ./deployments/nats --config deployments/nats/n1.conf
//
// It takes the flags of nats-server, since it is nothing else. The files n1.conf,
// n2.conf and n3.conf make a cluster of three on one machine; single.conf is one
// node alone. A stock nats-server can be given the same files.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(1)
	}
}

// run serves until the process is told to stop (SIGINT, SIGTERM), which the
// server sees to by itself.
func run(args []string) error {
	flags := flag.NewFlagSet("nats", flag.ContinueOnError)
	opts, err := server.ConfigureOptions(flags, args, server.PrintServerAndExit, flags.Usage, server.PrintTLSHelpAndDie)
	if err != nil {
		return err
	}
	if opts == nil { // --help was asked for and given
		return nil
	}
	if err := check(opts); err != nil {
		return err
	}
	if opts.CheckConfig {
		fmt.Println("nats: the configuration is valid")
		return nil
	}
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
