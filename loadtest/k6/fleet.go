package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
)

// fleet is a standalone, further gateways that follow it, and an operator who stops
// and starts these gateways when he is asked to by HTTP.
type fleet struct {
	*cluster.Cluster
	operator *http.Server
}

// start builds the programs and starts as many nodes; when it returns they are ready.
func start(ctx context.Context, root string, nodes int) (f *fleet, err error) {
	f = &fleet{}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.end())
		}
	}()
	dir, err := os.MkdirTemp("", "portcullis-k6-")
	if err != nil {
		return f, err
	}
	o := cluster.Options{Standalone: true, Gateways: nodes, Programs: filepath.Join(root, ".task", "programs"), Dir: dir}
	if err := cluster.Build(ctx, o.Programs, cluster.Programs()...); err != nil {
		return f, errors.Join(err, os.RemoveAll(dir))
	}
	if f.Cluster, err = cluster.New(ctx, o); err != nil {
		return f, errors.Join(err, os.RemoveAll(dir))
	}
	if f.operator, err = serve(ctx, f.operate()); err != nil {
		return f, err
	}
	for i, node := range f.Gateways {
		node.Ready = cluster.Live(node.Admin)
		if i > 0 {
			node.Args = append(node.Args, "--log-level", "warn")
		}
	}
	return f, f.Start(ctx)
}

// end stops everything, last things first, and removes data and logs.
func (f *fleet) end() error {
	if f.operator != nil {
		_ = f.operator.Close() // nobody asks any more
	}
	if f.Cluster == nil {
		return nil
	}
	err := f.Stop(context.Background())
	f.Close()
	return errors.Join(err, os.RemoveAll(f.Dir))
}

// variables give a suite the addresses of everything.
func (f *fleet) variables() []string {
	var gateways, admins []string
	for _, node := range f.Gateways {
		gateways, admins = append(gateways, "http://"+node.Address), append(admins, "http://"+node.Admin)
	}
	return []string{
		"GATEWAYS=" + strings.Join(gateways, ","), "METRICS=" + strings.Join(admins, ","),
		"CONTROL=" + f.ControlURLs[0], "ADMIN_TOKEN=" + f.AdminToken, "OPERATOR=" + f.operator.Addr,
	}
}

// operate answers POST /stop and /start, which name a gateway by its URL.
func (f *fleet) operate() http.Handler {
	mux := http.NewServeMux()
	for verb, do := range map[string]func(*cluster.Process, context.Context) error{"stop": (*cluster.Process).Stop, "start": (*cluster.Process).Start} {
		mux.HandleFunc("POST /"+verb, func(w http.ResponseWriter, r *http.Request) {
			address := r.URL.Query().Get("gateway")
			for _, node := range f.Gateways[1:] {
				if "http://"+node.Address != address {
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

// lastWords shows what is in the logs.
func (f *fleet) lastWords(w io.Writer) {
	for _, node := range f.Gateways {
		if text := node.Tail(); text != "" {
			fmt.Fprintf(w, "from what %s logged:\n%s\n", node.Name, text)
		}
	}
}
