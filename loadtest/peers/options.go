//go:build linux

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/bench"
)

// options are the command line.
type options struct {
	only, workloads, gateways []string
	rounds, seconds           int
	warm                      time.Duration
	quick, fresh              bool
	strict, noBuild           bool
	out                       string
	seed                      uint64
	port                      int
	command                   string
}

func parseOptions(args []string, stdout io.Writer) (*options, error) {
	o := &options{command: strings.Join(append([]string{"go run ./loadtest/peers"}, args...), " ")}
	f := pflag.NewFlagSet("peers", pflag.ContinueOnError)
	f.SetOutput(stdout)
	f.StringSliceVar(&o.workloads, "workload", nil, "run these workloads, and not all: "+strings.Join(names(), ", "))
	f.StringSliceVar(&o.only, "only", nil, "let these contenders take part, and not all")
	f.StringArrayVar(&o.gateways, "gateway-binary", nil, "measure this program, [NAME=]PATH, in place of the source tree's gateway; may be repeated")
	f.IntVar(&o.rounds, "rounds", 0, "rounds of every workload (default: the workload's own)")
	f.IntVar(&o.seconds, "seconds", 0, "seconds of every measurement (default: the workload's own)")
	f.DurationVar(&o.warm, "warm", time.Second, "load before every measurement, in whole seconds")
	f.BoolVar(&o.quick, "quick", false, "the main workload only, 3 rounds of 2 s")
	f.BoolVar(&o.fresh, "fresh", false, "make the kept world and its tokens again")
	f.BoolVar(&o.noBuild, "no-build", false, "use the programs that an earlier run built, and not the source tree's")
	f.BoolVar(&o.strict, "strict", false, "fail if a target is missed")
	f.StringVar(&o.out, "out", "", "file for the results (default: .task/peers/results.json of all workloads, else .task/peers/last.json)")
	f.Uint64Var(&o.seed, "seed", rand.Uint64(), "draws the order within rounds") //nolint:gosec // it decides about an order
	f.IntVar(&o.port, "port", 18400, "the upstream's; it is part of the kept world")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q is not understood (hint: flags, or the verb report)", f.Arg(0))
	}
	if o.quick {
		o.workloads = append(o.workloads, "repeated")
		if o.rounds == 0 {
			o.rounds = 3
		}
		if o.seconds == 0 {
			o.seconds = 2
		}
	}
	for _, w := range o.workloads {
		if !slices.Contains(names(), w) {
			return nil, fmt.Errorf("--workload: there is no %q, only %s", w, strings.Join(names(), ", "))
		}
	}
	return o, nil
}

// whole is true if every workload runs as it is meant to be.
func (o *options) whole() bool {
	return len(o.workloads) == 0 && len(o.only) == 0 && len(o.gateways) == 0 && o.rounds == 0 && o.seconds == 0 && !o.noBuild
}

// names are all workloads.
func names() []string {
	var all []string
	for _, w := range bench.Workloads() {
		all = append(all, w.Name)
	}
	return append(all, propagation)
}
