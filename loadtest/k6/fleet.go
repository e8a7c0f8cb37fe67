package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// fleet is a standalone, further gateways that follow it, and an operator who stops
// and starts these gateways when he is asked to by HTTP.
type fleet struct {
	dir        string
	adminToken string
	control    string     // base URL
	nodes      []*process // the standalone is the first
	operator   *http.Server
}

// start builds the programs and starts as many nodes; when it returns they are ready.
func start(ctx context.Context, root string, nodes int) (f *fleet, err error) {
	f = &fleet{adminToken: rand.Text()}
	defer func() {
		if err != nil {
			f.stop(context.WithoutCancel(ctx))
			err = errors.Join(err, f.remove())
		}
	}()
	if f.dir, err = os.MkdirTemp("", "portcullis-k6-"); err != nil {
		return f, err
	}
	bin := filepath.Join(root, ".task", "k6", "bin")
	if err := build(ctx, root, bin); err != nil {
		return f, err
	}
	if f.operator, err = serve(ctx, f.operate()); err != nil {
		return f, err
	}
	if err := f.plan(ctx, bin, nodes); err != nil {
		return f, err
	}
	for _, node := range f.nodes {
		if err := node.start(ctx); err != nil {
			return f, err
		}
	}
	return f, nil
}

// plan gives every process its addresses.
func (f *fleet) plan(ctx context.Context, bin string, nodes int) error {
	free, err := freeAddresses(ctx, 2*nodes+2)
	if err != nil {
		return err
	}
	control, nats := free[2*nodes], free[2*nodes+1]
	f.control = "http://" + control
	for n := range nodes {
		listen, admin := free[2*n], free[2*n+1]
		node := &process{
			name: fmt.Sprintf("gateway-%d", n+1), program: filepath.Join(bin, "gateway"), dir: f.dir, token: f.adminToken,
			gateway: "http://" + listen, admin: "http://" + admin,
			args: []string{
				"--listen", listen, "--admin-listen", admin, "--control", f.control, "--nats", "nats://" + nats,
				"--data-dir", fmt.Sprintf("data-%d", n+1), "--node-id", fmt.Sprintf("gateway-%d", n+1),
				"--log-level", "warn",
			},
		}
		if n == 0 {
			node.name, node.program = "standalone", filepath.Join(bin, "standalone")
			node.args = []string{
				"--gateway-listen", listen, "--gateway-admin-listen", admin, "--control-listen", control,
				"--nats-listen", nats, "--data-dir", "data-1", "--demo=false",
			}
		}
		f.nodes = append(f.nodes, node)
	}
	return nil
}

// variables tell a suite where everything is.
func (f *fleet) variables() []string {
	var gateways, admins []string
	for _, node := range f.nodes {
		gateways, admins = append(gateways, node.gateway), append(admins, node.admin)
	}
	return []string{
		"GATEWAYS=" + strings.Join(gateways, ","), "METRICS=" + strings.Join(admins, ","),
		"CONTROL=" + f.control, "ADMIN_TOKEN=" + f.adminToken, "OPERATOR=" + f.operator.Addr,
	}
}

// operate answers POST /stop and /start, which name a gateway by its URL.
func (f *fleet) operate() http.Handler {
	mux := http.NewServeMux()
	for verb, do := range map[string]func(*process, context.Context) error{"stop": (*process).stop, "start": (*process).start} {
		mux.HandleFunc("POST /"+verb, func(w http.ResponseWriter, r *http.Request) {
			address := r.URL.Query().Get("gateway")
			for _, node := range f.nodes[1:] {
				if node.gateway != address {
					continue
				}
				if err := do(node, r.Context()); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
				}
				return
			}
			http.Error(w, "no gateway at "+address+" that can be stopped", http.StatusNotFound)
		})
	}
	return mux
}

// serve answers on a free port until Close. Addr is the server's URL.
func serve(ctx context.Context, handler http.Handler) (*http.Server, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Addr: "http://" + listener.Addr().String(), Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // until Close
	return server, nil
}

func upstream(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }

// stop stops everything, last things first.
func (f *fleet) stop(ctx context.Context) {
	for _, node := range slices.Backward(f.nodes) {
		_ = node.stop(ctx) // how it ended is in its log
	}
	if f.operator != nil {
		_ = f.operator.Close() // nobody asks any more
	}
}

// remove removes data and logs.
func (f *fleet) remove() error { return os.RemoveAll(f.dir) }

// lastWords shows what is in the logs.
func (f *fleet) lastWords(w io.Writer) {
	for _, node := range f.nodes {
		if text := node.said(); text != "" {
			fmt.Fprintf(w, "from what %s logged:\n%s\n", node.name, text)
		}
	}
}

// build compiles the programs into bin. What is there and current is left alone.
func build(ctx context.Context, root, bin string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin+string(filepath.Separator), "./deployments/standalone", "./gateway/cmd/gateway")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// freeAddresses returns loopback addresses on which nobody listens. Their ports are
// below those that systems give to outgoing connections, of which a load test makes
// many: a gateway that is stopped finds its port free when it starts again.
func freeAddresses(ctx context.Context, n int) ([]string, error) {
	const lowest, ports, attempts = 10_000, 20_000, 1000
	var all []string
	for range attempts {
		if len(all) == n {
			return all, nil
		}
		port, err := rand.Int(rand.Reader, big.NewInt(ports))
		if err != nil {
			return nil, err
		}
		address := fmt.Sprintf("127.0.0.1:%d", lowest+port.Int64())
		var config net.ListenConfig
		if listener, err := config.Listen(ctx, "tcp", address); err == nil {
			defer listener.Close() // all at the end, so that no port is taken twice
			all = append(all, address)
		}
	}
	return nil, errors.New("no free ports")
}
