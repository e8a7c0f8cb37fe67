//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/bench"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/contend"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/figures"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/load"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/process"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/world"
)

// Processors.
const (
	onProxy = 0 // contenders
	onLoad  = 1 // everything else
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
	ports   int    // given out so far
	begun   time.Time
	results *figures.Results
}

func (s *stage) say(format string, args ...any) {
	took := time.Since(s.begun)
	fmt.Fprintf(s.stdout, "%3d:%02d "+format+"\n", append([]any{int(took.Minutes()), int(took.Seconds()) % 60}, args...)...)
}

// address gives out the next port.
func (s *stage) address() string {
	s.ports++
	return fmt.Sprintf("127.0.0.1:%d", s.port+s.ports-1)
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
	defer func() { _ = os.RemoveAll(s.dir) }()
	if err := s.install(ctx); err != nil {
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
	switch {
	case ctx.Err() == nil:
		failed = errors.Join(failed, s.propagate(ctx))
	case !s.keep:
		failed = errors.Join(failed, ctx.Err())
	}
	failed = errors.Join(failed, s.scale())
	return errors.Join(failed, s.finish(ctx, failed == nil))
}

// sourceTree returns the directory of go.mod.
func sourceTree(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", errors.New("this is not a source tree (hint: start it in a checkout of Portcullis)")
	}
	return filepath.Dir(file), nil
}

// find finds the source tree and makes the directories.
func (s *stage) find(ctx context.Context) error {
	root, err := sourceTree(ctx)
	if err != nil {
		return err
	}
	s.root = root
	s.cache = filepath.Join(s.root, ".task", "peers")
	s.bin = filepath.Join(s.cache, "bin")
	if err := os.MkdirAll(s.bin, 0o755); err != nil { //nolint:gosec // nginx's worker is another user
		return err
	}
	s.dir, err = os.MkdirTemp("", "portcullis-peers-")
	return err
}

// build compiles the programs.
func (s *stage) build(ctx context.Context) error {
	s.say("building the programs")
	programs := []string{"./keymanager-sync/cmd/keymanager-sync", "./deployments/nats", "./loadtest/peers"}
	if len(s.gateways) == 0 {
		programs = append(programs, "./gateway/cmd/gateway")
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-o", s.bin + string(filepath.Separator)}, programs...)...)
	cmd.Dir = s.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// open starts what stands behind the contenders.
func (s *stage) open(ctx context.Context) (b *bench.Bench, stop func(), err error) {
	upstream, nats, monitor, control := s.address(), s.address(), s.address(), s.address()
	for _, address := range []string{upstream, nats, monitor, control} {
		if err := free(ctx, address); err != nil {
			return nil, nil, err
		}
	}
	w, err := world.Open(ctx, world.Config{
		Root: s.root, Cache: s.cache, Bin: s.bin, Run: s.dir, Sizes: world.Million(), Fresh: s.fresh,
		Upstream: upstream, NATS: nats, Monitor: monitor, Control: control, Processor: onLoad, Say: s.say,
	})
	if err != nil {
		return nil, nil, err
	}
	pair, err := contend.NewPair(s.dir)
	if err != nil {
		return nil, nil, err
	}
	self := filepath.Join(s.bin, "peers")
	back, err := process.Start(ctx, process.Spec{
		Name: "upstream", Program: self, Args: []string{"role", "upstream", upstream}, CPU: onLoad, Log: filepath.Join(s.dir, "upstream.log"),
		Ready: func(ctx context.Context) error { return world.Answers(200, "http://"+upstream)(ctx) },
	})
	if err != nil {
		return nil, nil, err
	}
	if err := w.Start(ctx); err != nil {
		back.Stop()
		return nil, nil, err
	}
	b = &bench.Bench{
		Stand: &contend.Stand{Dir: s.dir, Self: self, Upstream: upstream, Processor: onProxy, World: w, Control: control, NATS: nats, Pair: pair},
		World: w, Wrk: &load.Wrk{Dir: s.dir, Start: bench.On(onLoad)}, Roles: load.Roles{Self: self, Start: bench.On(onLoad)}, Processor: onLoad,
		Only: s.only, Rounds: s.rounds, Seconds: s.seconds, Warm: s.warm, Say: s.say, Strace: s.strace, Perf: s.perf,
		Random: rand.New(rand.NewPCG(s.seed, 0)), //nolint:gosec // it decides about an order
		Commit: s.results.Commit,
	}
	if err = s.field(b); err != nil {
		back.Stop()
		w.Stop()
		return nil, nil, err
	}
	return b, func() { back.Stop(); w.Stop() }, nil
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
		c.Address = s.address()
		if c.Kind == contend.Gateway {
			c.Admin = s.address()
		}
		b.Field[c.Name] = c
	}
	return nil
}

// runAll runs the workloads that were asked for. One that fails does not end the
// others, which may be good all the same.
func (s *stage) runAll(ctx context.Context, b *bench.Bench) error {
	if s.keep {
		b.Keep = s.stay
	}
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

// stay tells where everything is and waits to be interrupted.
func (s *stage) stay(ctx context.Context, running []*contend.Contender, q func(*contend.Contender) load.Requests) {
	wrk := &load.Wrk{Dir: s.dir}
	for _, c := range running {
		s.say("%s: process %d on %s %s", c.Name, c.PID(), c.Target(), c.Admin)
		if args, err := wrk.Command(q(c), 10*time.Second); err == nil {
			s.say("  taskset -c %d %s", onLoad, quote(args))
		}
	}
	s.say("everything stays until Ctrl-C")
	<-ctx.Done()
}

// quote makes a line for a shell.
func quote(args []string) string {
	quoted := slices.Clone(args)
	for i, a := range quoted {
		if strings.ContainsAny(a, " ;&|*?'\"$") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// free is an error if somebody listens on an address.
func free(ctx context.Context, address string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%w (hint: an earlier run may be left; or --port)", err)
	}
	return l.Close()
}
