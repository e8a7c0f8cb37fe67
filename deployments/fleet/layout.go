package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	natsNodes     = 3
	controlPlanes = 2
	gateways      = 3
)

// layout is where everything of one fleet is.
type layout struct {
	root    string // of the source tree
	dir     string // data
	offset  int    // added to every port
	environ []string
}

func (l layout) address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+l.offset))
}

// The first of each kind has the default address; n counts from 1.
func (l layout) nats(n int) string         { return l.address(4221 + n) }
func (l layout) route(n int) string        { return l.address(6221 + n) }
func (l layout) natsMonitor(n int) string  { return l.address(8221 + n) }
func (l layout) control(n int) string      { return l.address(8081 + 100*(n-1)) }
func (l layout) gateway(n int) string      { return l.address(8080 + 100*(n-1)) }
func (l layout) gatewayAdmin(n int) string { return l.address(9090 + 100*(n-1)) }

// urls joins n addresses: nats://127.0.0.1:4222,nats://127.0.0.1:4223.
func urls(scheme string, n int, address func(int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = scheme + "://" + address(i+1)
	}
	return strings.Join(all, ",")
}

// tiers returns the processes in the order in which they start; the members of a
// tier start together, and the next one when all of them are ready.
func (l layout) tiers() [][]*process {
	bin := func(name string) string { return filepath.Join(l.dir, "bin", name) }
	natsURLs := urls("nats", natsNodes, l.nats)
	var tiers [3][]*process
	for n := 1; n <= natsNodes; n++ {
		// The file names a store below the working directory, which is l.dir.
		tiers[0] = append(tiers[0], l.process("nats-"+strconv.Itoa(n), "http://"+l.natsMonitor(n)+"/healthz", bin("nats"),
			"--config", filepath.Join(l.root, "deployments", "nats", fmt.Sprintf("n%d.conf", n)),
			"--port", strconv.Itoa(4221+n+l.offset),
			"--http_port", strconv.Itoa(8221+n+l.offset),
			"--cluster", "nats://"+l.route(n),
			"--routes", urls("nats", natsNodes, l.route)))
	}
	for n := 1; n <= controlPlanes; n++ {
		name := "control-" + strconv.Itoa(n)
		tiers[1] = append(tiers[1], l.process(name, "http://"+l.control(n)+"/readyz", bin("keymanager-sync"), "serve",
			"--listen", l.control(n), "--nats", natsURLs, "--data-dir", filepath.Join(l.dir, name)))
	}
	for n := 1; n <= gateways; n++ {
		name := "gateway-" + strconv.Itoa(n)
		tiers[2] = append(tiers[2], l.process(name, "http://"+l.gatewayAdmin(n)+"/readyz", bin("gateway"),
			"--listen", l.gateway(n), "--admin-listen", l.gatewayAdmin(n), "--node-id", name,
			"--control", urls("http", controlPlanes, l.control), "--nats", natsURLs,
			"--data-dir", filepath.Join(l.dir, name)))
	}
	return tiers[:]
}

func (l layout) process(name, ready, program string, args ...string) *process {
	return &process{
		name:    name,
		ready:   ready,
		program: program,
		args:    args,
		dir:     l.dir,
		environ: l.environ,
		log:     filepath.Join(l.dir, "log", name+".log"),
	}
}

// run starts the tiers, waits, and stops what was started, last first.
func (l layout) run(ctx context.Context, stdout io.Writer) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for _, tier := range l.tiers() {
		for _, p := range tier {
			if err := p.start(ctx, fail); err != nil {
				return err
			}
			defer p.stop(context.WithoutCancel(ctx))
		}
		for _, p := range tier {
			if err := p.awaitReady(ctx); err != nil {
				return err
			}
		}
	}
	l.print(stdout)
	<-ctx.Done()
	fmt.Fprintln(stdout, "stopping")
	return cause(ctx)
}

// print tells the addresses, and ends with the line `ready`.
func (l layout) print(w io.Writer) {
	fmt.Fprintf(w, "NATS       %s\n", strings.ReplaceAll(urls("nats", natsNodes, l.nats), ",", "  "))
	for n := 1; n <= controlPlanes; n++ {
		fmt.Fprintf(w, "control %d  http://%s\n", n, l.control(n))
	}
	for n := 1; n <= gateways; n++ {
		fmt.Fprintf(w, "gateway %d  http://%s  admin http://%s\n", n, l.gateway(n), l.gatewayAdmin(n))
	}
	fmt.Fprintf(w, "data and logs in %s\n", l.dir)
	fmt.Fprintf(w, "export PORTCULLIS_ADMIN_TOKEN=$(cat %s)\n", filepath.Join(l.dir, "admin-token"))
	fmt.Fprintln(w, "ready")
}
