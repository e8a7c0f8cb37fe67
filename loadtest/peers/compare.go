//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/account"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/bench"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/contend"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/load"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/world"
	"github.com/portcullis-gateway/portcullis/shared/freeport"
)

const (
	onProxy   = 0 // the processor of contenders
	onLoad    = 1 // that of everything else
	mostPorts = 40
)

const propagation = "propagation"

// stage is where a comparison takes place.
type stage struct {
	*options
	stdout  io.Writer
	root    string // source tree
	cache   string // .task/peers
	bin     string
	dir     string // of this run
	ports   *freeport.Reservation
	begun   time.Time
	results *figures.Results
}

func (s *stage) say(format string, args ...any) {
	took := time.Since(s.begun)
	fmt.Fprintf(s.stdout, "%3d:%02d "+format+"\n", append([]any{int(took.Minutes()), int(took.Seconds()) % 60}, args...)...)
}

// address gives out the next port.
func (s *stage) address() string {
	next := s.ports.Addresses[0]
	s.ports.Addresses = s.ports.Addresses[1:]
	return next
}

// compare runs the workloads.
func compare(ctx context.Context, o *options, stdout io.Writer) error {
	if runtime.NumCPU() < 2 {
		return errors.New("this machine has one processor: a proxy and its load would disturb each other, so nothing can be measured here")
	}
	s := &stage{options: o, stdout: stdout, begun: time.Now()}
	if err := s.find(ctx); err != nil {
		return err
	}
	defer s.close()
	if err := installed(); err != nil {
		return err
	}
	if !s.noBuild {
		if err := s.build(ctx); err != nil {
			return err
		}
	}
	s.results = s.describe(ctx)
	var failed error
	if !slices.Equal(s.workloads, []string{propagation}) {
		b, stop, err := s.open(ctx)
		if err != nil {
			return err
		}
		failed = s.runAll(ctx, b)
		stop()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	failed = errors.Join(failed, s.propagate(ctx))
	failed = errors.Join(failed, s.scale())
	return errors.Join(failed, s.finish(ctx, failed == nil))
}

// find finds the source tree and makes the directories.
func (s *stage) find(ctx context.Context) error {
	root, err := cluster.SourceTree(ctx)
	if err != nil {
		return err
	}
	s.root = root
	s.cache = filepath.Join(s.root, ".task", "peers")
	s.bin = filepath.Join(s.cache, "bin")
	if err := os.MkdirAll(s.bin, 0o755); err != nil { //nolint:gosec // nginx's worker is another user
		return err
	}
	if s.ports, err = freeport.Reserve(ctx, mostPorts); err != nil {
		return err
	}
	s.dir, err = os.MkdirTemp("", "portcullis-peers-")
	return err
}

func (s *stage) close() {
	s.ports.Release()
	_ = os.RemoveAll(s.dir)
}

// build compiles the programs.
func (s *stage) build(ctx context.Context) error {
	s.say("building the programs")
	programs := []string{"./keymanager-sync/cmd/keymanager-sync", "./deployments/nats", "./loadtest/peers"}
	if len(s.gateways) == 0 {
		programs = append(programs, "./gateway/cmd/gateway")
	}
	return cluster.Build(ctx, s.bin, programs...)
}

// open starts what stands behind the contenders.
func (s *stage) open(ctx context.Context) (b *bench.Bench, stop func(), err error) {
	upstream := fmt.Sprintf("127.0.0.1:%d", s.port)
	w, err := world.Open(ctx, world.Config{
		Root: s.root, Cache: s.cache, Bin: s.bin, Run: s.dir, Sizes: world.Million(), Fresh: s.fresh,
		Upstream: upstream, Processor: onLoad, Say: s.say,
	})
	if err != nil {
		return nil, nil, err
	}
	pair, err := contend.NewPair(s.dir)
	if err != nil {
		return nil, nil, err
	}
	self := filepath.Join(s.bin, "peers")
	back := account.Pin(&cluster.Process{
		Name: "upstream", Program: self, Args: []string{"role", "upstream", upstream}, Log: filepath.Join(s.dir, "upstream.log"),
		Ready: cluster.Answers("http://" + upstream),
	}, onLoad)
	stop = func() {
		back.Kill()
		w.Close()
	}
	if err := errors.Join(back.Start(ctx), w.Start(ctx)); err != nil {
		stop()
		return nil, nil, fmt.Errorf("%w (hint: another --port, if an earlier run is left)", err)
	}
	b = &bench.Bench{
		Stand: &contend.Stand{Dir: s.dir, Self: self, Upstream: upstream, Processor: onProxy, World: w, Pair: pair},
		World: w, Wrk: &load.Wrk{Dir: s.dir, Processor: onLoad}, Roles: load.Roles{Self: self, Processor: onLoad},
		Only: s.only, Rounds: s.rounds, Seconds: s.seconds, Warm: s.warm, Say: s.say,
		Random: rand.New(rand.NewPCG(s.seed, 0)), //nolint:gosec // it decides about an order
		Commit: s.results.Commit,
	}
	if err = s.field(b); err != nil {
		stop()
		return nil, nil, err
	}
	return b, stop, nil
}

// field names the contenders.
func (s *stage) field(b *bench.Bench) error {
	all := []*contend.Contender{
		{Name: bench.Bare, Kind: contend.Bare},
		{Name: bench.Nginx, Kind: contend.Nginx},
		{Name: bench.HAProxy, Kind: contend.HAProxy},
		{Name: bench.HAProxyRS256, Kind: contend.HAProxy, Verifies: world.RS256},
		{Name: bench.HAProxyES256, Kind: contend.HAProxy, Verifies: world.ES256},
	}
	if len(s.gateways) == 0 {
		s.gateways = []string{filepath.Join(s.bin, "gateway")}
	}
	for _, g := range s.gateways {
		name, path, named := strings.Cut(g, "=")
		if !named {
			name, path = bench.Gateway, g
		}
		if _, err := exec.LookPath(path); err != nil {
			return fmt.Errorf("--gateway-binary: %w", err)
		}
		if slices.Contains(b.Gateways, name) {
			return fmt.Errorf("--gateway-binary: two are called %s (hint: NAME=PATH)", name)
		}
		b.Gateways = append(b.Gateways, name)
		all = append(all, &contend.Contender{Name: name, Kind: contend.Gateway, Binary: path})
	}
	for _, name := range []string{bench.Gateway1, bench.Gateway10k, bench.GatewaySmall} {
		all = append(all, &contend.Contender{Name: name, Kind: contend.Gateway, Binary: all[len(all)-1].Binary})
	}
	b.Field = map[string]*contend.Contender{}
	for _, c := range all {
		c.Listen = s.address()
		if c.Kind == contend.Gateway {
			c.Metrics = s.address()
		}
		b.Field[c.Name] = c
	}
	return nil
}

// runAll runs the workloads that were asked for. One that fails does not end the
// others, which may be good all the same.
func (s *stage) runAll(ctx context.Context, b *bench.Bench) error {
	var failed []error
	for _, w := range bench.Workloads() {
		if len(s.workloads) > 0 && !slices.Contains(s.workloads, w.Name) || ctx.Err() != nil {
			continue
		}
		r, err := b.Run(ctx, w)
		if err != nil {
			s.say("FAILED: %v", err)
			failed = append(failed, err)
		} else if r != nil {
			s.results.Workloads = append(s.results.Workloads, r)
		}
	}
	return errors.Join(failed...)
}
