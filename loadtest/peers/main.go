//go:build linux

// Command peers measures the gateway next to other proxies, on one machine, and
// writes docs/performance.md.
//
//	go tool task bench:peers                  everything; about 25 minutes
//	go tool task bench:peers:quick            the main workload in small; about a minute
//	go run ./loadtest/peers report            docs/performance.md from the last full run
//
// It needs Linux, two processors, and Debian's haproxy, nginx and wrk. Every contender is a separate process on processor 0;
// wrk, the upstream, the control plane and NATS are on processor 1. What is slow to
// make — a control plane with a million subscriptions, signed tokens — is made
// once and kept in .task/peers.
//
// While something is being improved:
//
//	go run ./loadtest/peers --only gateway,bare --workload repeated --rounds 3 --seconds 4
//	go run ./loadtest/peers --workload repeated --gateway-binary old=/tmp/a --gateway-binary new=/tmp/b
//
// Two builds given by --gateway-binary take turns in the same rounds, which is the
// way to tell a difference of two percent from the machine's mood. Where not all
// workloads run, results go to .task/peers/last.json; those of a full run to
// .task/peers/results.json.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
)

// errMissed says that a target was missed, with --strict.
var errMissed = errors.New("a target was missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "role":
			return playRole(ctx, args[1:])
		case "report":
			return writeReport(ctx, args[1:], stdout)
		}
	}
	o, err := parseOptions(args, stdout)
	if err != nil {
		return err
	}
	return compare(ctx, o, stdout)
}
