package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-gateway/portcullis/shared/freeport"
)

// Options say of what a Cluster consists.
type Options struct {
	// NATS is the number of NATS nodes: three, one, or none, for gateways that have
	// Resources. Controls and Gateways are any number.
	NATS, Controls, Gateways int
	// Standalone puts NATS, the control plane and the first gateway into one process,
	// Gateways[0]; further gateways follow it. NATS and Controls must be 0.
	Standalone bool
	// Demo lets the standalone have its demo.
	Demo bool
	// Resources are files that gateways without a control plane serve from.
	Resources []string
	// Programs is the directory with the programs, see Build.
	Programs string
	// Dir is the working directory of all processes. It has their data, and their
	// logs in log.
	Dir string
	// AdminToken and NodeToken open the control plane; empty: they are made up.
	AdminToken, NodeToken string
	// Environ is what the processes' environment is made from; nil: os.Environ().
	Environ []string
	// Address places the ports; nil: ports that are free, and reserved until Close.
	Address func(p Port, n int) string
}

// Port is what listens; the n-th of each is counted from 1.
type Port string

// The ports of a Cluster.
const (
	NATS         Port = "nats"
	NATSRoute    Port = "nats-route"
	NATSMonitor  Port = "nats-monitor"
	Control      Port = "control"
	Gateway      Port = "gateway"
	GatewayAdmin Port = "gateway-admin"
	DemoIssuer   Port = "demo-issuer"
	DemoUpstream Port = "demo-upstream"
)

// Cluster is processes that belong together. They may be started and stopped one by
// one, and be changed before that: Args, Env, Ready.
type Cluster struct {
	// Dir and the tokens are those of the Options.
	Dir, AdminToken, NodeToken string
	// NATS and Controls are empty where a standalone stands for them.
	NATS, Controls, Gateways []*Process
	// ControlURLs are the base URLs of the REST API, and NATSURLs those of NATS.
	ControlURLs, NATSURLs []string

	o     Options
	root  string // source tree
	ports *freeport.Reservation
}

// New prepares the processes and starts none. The Cluster must be closed.
func New(ctx context.Context, o Options) (*Cluster, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &Cluster{Dir: o.Dir, o: o, AdminToken: o.AdminToken, NodeToken: o.NodeToken}
	for _, token := range []*string{&c.AdminToken, &c.NodeToken} {
		if *token == "" {
			*token = rand.Text()
		}
	}
	if c.o.Environ == nil {
		c.o.Environ = os.Environ()
	}
	var err error
	if c.root, err = SourceTree(ctx); err != nil {
		return nil, err
	}
	if o.Address == nil {
		if c.ports, err = freeport.Reserve(ctx, 3*o.NATS+o.Controls+2*o.Gateways+4); err != nil {
			return nil, err
		}
		c.o.Address = hand(c.ports.Addresses)
	}
	c.plan()
	return c, nil
}

func (o *Options) check() error {
	switch {
	case o.NATS != 0 && o.NATS != 1 && o.NATS != 3:
		return fmt.Errorf("%d NATS nodes cannot be started: there are configurations for one and for three", o.NATS)
	case o.Standalone && (o.NATS > 0 || o.Controls > 0 || o.Gateways < 1):
		return errors.New("a standalone is the NATS node, the control plane and the first of the gateways")
	case o.Controls > 0 && o.NATS == 0:
		return errors.New("a control plane needs a NATS node")
	case o.Gateways > 0 && o.Controls == 0 && !o.Standalone && len(o.Resources) == 0:
		return errors.New("a gateway needs a control plane or files of resources")
	}
	return nil
}

// hand gives out addresses, the same one for the same port every time.
func hand(addresses []string) func(Port, int) string {
	given := map[string]string{}
	return func(p Port, n int) string {
		key := string(p) + strconv.Itoa(n)
		if given[key] == "" {
			given[key], addresses = addresses[0], addresses[1:]
		}
		return given[key]
	}
}

// Address is where the n-th of its kind listens.
func (c *Cluster) Address(p Port, n int) string { return c.o.Address(p, n) }

// addresses are those of the first n of a kind.
func (c *Cluster) addresses(p Port, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = c.Address(p, i+1)
	}
	return all
}

func (c *Cluster) plan() {
	nats, controls := c.o.NATS, c.o.Controls
	if c.o.Standalone {
		nats, controls = 1, 1
	}
	c.NATSURLs = urls("nats", c.addresses(NATS, nats))
	c.ControlURLs = urls("http", c.addresses(Control, controls))
	for n := range c.o.NATS {
		c.NATS = append(c.NATS, c.nats(n+1))
	}
	for n := range c.o.Controls {
		c.Controls = append(c.Controls, c.control(n+1))
	}
	for n := range c.o.Gateways {
		if n == 0 && c.o.Standalone {
			c.Gateways = append(c.Gateways, c.standalone())
		} else {
			c.Gateways = append(c.Gateways, c.gateway(n+1))
		}
	}
}

func urls(scheme string, addresses []string) []string {
	all := make([]string, len(addresses))
	for i, a := range addresses {
		all[i] = scheme + "://" + a
	}
	return all
}

// process is what all have in common.
func (c *Cluster) process(name, program string, args ...string) *Process {
	return &Process{
		Name: name, Program: filepath.Join(c.o.Programs, program), Args: args, Dir: c.Dir, Env: c.Environment(),
		Log: filepath.Join(c.Dir, "log", name+".log"),
	}
}

// Environment is that of every process: the tokens, and no settings of Portcullis.
// Client verbs of the control plane can be run with it.
func (c *Cluster) Environment() []string {
	return Environment(c.o.Environ, "PORTCULLIS_ADMIN_TOKEN="+c.AdminToken, "PORTCULLIS_NODE_TOKEN="+c.NodeToken)
}

// nats is a node of the configuration that is shipped, on other ports. The file
// names a store below the working directory.
func (c *Cluster) nats(n int) *Process {
	conf, args := "single.conf", []string{"--port", port(c.Address(NATS, n)), "--http_port", port(c.Address(NATSMonitor, n))}
	if c.o.NATS > 1 {
		conf = fmt.Sprintf("n%d.conf", n)
		args = append(args, "--cluster", "nats://"+c.Address(NATSRoute, n),
			"--routes", strings.Join(urls("nats", c.addresses(NATSRoute, c.o.NATS)), ","))
	}
	args = append([]string{"--config", filepath.Join(c.root, "deployments", "nats", conf)}, args...)
	p := c.process("nats-"+strconv.Itoa(n), "nats", args...)
	p.Address, p.Admin = c.Address(NATS, n), c.Address(NATSMonitor, n)
	p.Ready = Answers("http://" + p.Admin + "/healthz")
	return p
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address) // it is one of ours
	return p
}

func (c *Cluster) control(n int) *Process {
	name, address := "control-"+strconv.Itoa(n), c.Address(Control, n)
	p := c.process(name, "keymanager-sync", "serve", "--listen", address, "--nats", strings.Join(c.NATSURLs, ","),
		"--data-dir", filepath.Join(c.Dir, name))
	p.Address, p.Ready = address, Answers("http://"+address+"/readyz")
	return p
}

func (c *Cluster) gateway(n int) *Process {
	name, address, admin := "gateway-"+strconv.Itoa(n), c.Address(Gateway, n), c.Address(GatewayAdmin, n)
	args := []string{
		"--listen", address, "--admin-listen", admin, "--node-id", name,
		"--drain-delay", "0s",
	} // no load balancer stands before it
	if len(c.o.Resources) > 0 {
		args = append(args, "--resources", strings.Join(c.o.Resources, ","))
	} else {
		args = append(args, "--control", strings.Join(c.ControlURLs, ","), "--nats", strings.Join(c.NATSURLs, ","),
			"--data-dir", filepath.Join(c.Dir, name))
	}
	p := c.process(name, "gateway", args...)
	p.Address, p.Admin, p.Ready = address, admin, Answers("http://"+admin+"/readyz")
	return p
}

// standalone is ready when it says so, which is when everything in it is.
func (c *Cluster) standalone() *Process {
	args := []string{
		"--data-dir", filepath.Join(c.Dir, "data"), "--gateway-listen", c.Address(Gateway, 1), "--gateway-admin-listen", c.Address(GatewayAdmin, 1),
		"--control-listen", c.Address(Control, 1), "--nats-listen", c.Address(NATS, 1),
	}
	if c.o.Demo {
		args = append(args, "--demo-issuer-listen", c.Address(DemoIssuer, 1), "--demo-upstream-listen", c.Address(DemoUpstream, 1))
	} else {
		args = append(args, "--demo=false")
	}
	p := c.process("standalone", "standalone", args...)
	p.Out = filepath.Join(c.Dir, "log", "standalone.out")
	p.Address, p.Admin, p.Ready = c.Address(Gateway, 1), c.Address(GatewayAdmin, 1), Printed(p.Out, "ready")
	return p
}

// All are all processes, in the order in which they start.
func (c *Cluster) All() []*Process { return slices.Concat(c.tiers()...) }

// tiers are the processes that start together, in order.
func (c *Cluster) tiers() [][]*Process {
	if c.o.Standalone {
		return [][]*Process{c.Gateways[:1], c.Gateways[1:]}
	}
	return [][]*Process{c.NATS, c.Controls, c.Gateways}
}

// Start starts NATS, then the control planes, then the gateways, each when all that
// were started before are ready. It returns at the first that fails.
func (c *Cluster) Start(ctx context.Context) error {
	for _, tier := range c.tiers() {
		if err := StartAll(ctx, tier...); err != nil {
			return err
		}
	}
	return nil
}

// StartAll starts processes together and waits until all of them are ready. It
// returns at the first that fails.
func StartAll(ctx context.Context, processes ...*Process) error {
	for _, p := range processes {
		if err := p.Launch(); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range processes {
		g.Go(func() error { return p.AwaitReady(ctx) })
	}
	return g.Wait()
}

// Watch waits until ctx ends, which is no error, or a process has ended by itself.
func (c *Cluster) Watch(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range c.All() {
		g.Go(func() error { return p.Watch(ctx) })
	}
	return g.Wait()
}

// Stop stops the processes in the opposite order, those of a kind together. The
// error names those that had to be killed.
func (c *Cluster) Stop(ctx context.Context) error {
	var all []error
	for _, tier := range slices.Backward(c.tiers()) {
		errs := make([]error, len(tier))
		var stopping sync.WaitGroup
		for i, p := range tier {
			stopping.Go(func() { errs[i] = p.Stop(ctx) })
		}
		stopping.Wait()
		all = append(all, errs...)
	}
	return errors.Join(all...)
}

// Close kills what still runs, and gives the ports back. Data and logs stay.
func (c *Cluster) Close() {
	for _, p := range slices.Backward(c.All()) {
		p.Kill()
	}
	if c.ports != nil {
		c.ports.Release()
	}
}
