// Package streamtest gives tests real JetStream: one server, or a cluster of
// several in this process, that can be stopped and started again with what it
// had on disk; and a server in a separate process that can be killed.
package streamtest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/freeport"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/inprocess"
)

const patience = 30 * time.Second // for what a loaded machine may take

// Server is a server that a test can stop and start. Its address and directory
// stay the same. It ends with the test.
type Server struct {
	config inprocess.Config
	server *inprocess.Server // nil while stopped
}

// New starts a single server.
func New(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{config: inprocess.Config{
		Dir:    tb.TempDir(),
		Listen: FreeAddress(tb),
		Logger: slog.New(slog.DiscardHandler),
	}}
	s.Start(tb)
	tb.Cleanup(s.stop)
	return s
}

// URL returns where clients connect, also while the server is stopped.
func (s *Server) URL() string { return "nats://" + s.config.Listen }

// Dir returns the data directory.
func (s *Server) Dir() string { return s.config.Dir }

// SetDir makes the next Start use another data directory.
func (s *Server) SetDir(dir string) { s.config.Dir = dir }

// Server returns the running server; nil while it is stopped.
func (s *Server) Server() *inprocess.Server { return s.server }

// Start starts the server after Stop. A cluster's member needs others to be of use.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	if s.server != nil {
		tb.Fatal("start server: it is running")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := inprocess.Start(ctx, s.config)
	if err != nil {
		tb.Fatal(err)
	}
	s.server = server
}

// Stop stops the server at once, with its connections. See Process for a server
// that can be killed.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	if s.server == nil {
		tb.Fatal("stop server: it is not running")
	}
	s.stop()
}

func (s *Server) stop() {
	if s.server != nil {
		s.server.Stop()
		s.server = nil
	}
}

// Restart is Stop and Start.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.Stop(tb)
	s.Start(tb)
}

// Connect connects under a name, and closes the connection with the test.
func (s *Server) Connect(tb testing.TB, name string) *stream.Bus {
	tb.Helper()
	return Connect(tb, s.URL(), name)
}

// Connect connects to a comma-separated list of URLs, and closes the connection
// with the test.
func Connect(tb testing.TB, urls, name string) *stream.Bus {
	tb.Helper()
	bus, err := stream.Connect(context.Background(), stream.Config{
		URLs:   []string{urls},
		Name:   name,
		Logger: logger(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(bus.Close)
	return bus
}

// logger shows what goes on in verbose runs. It does not write through the test,
// whose end it may outlive by a moment.
func logger() *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Fleet is a cluster of servers in this process.
type Fleet struct {
	Servers []*Server
}

// Cluster starts a cluster of n servers and waits until it can be used.
func Cluster(tb testing.TB, n int) *Fleet {
	tb.Helper()
	routes := make([]string, n)
	for i := range routes {
		routes[i] = FreeAddress(tb)
	}
	fleet := &Fleet{}
	for i, route := range routes {
		s := &Server{config: inprocess.Config{
			Dir:    tb.TempDir(),
			Name:   fmt.Sprintf("n%d", i+1),
			Listen: FreeAddress(tb),
			Cluster: &inprocess.Cluster{
				Name:   "test",
				Listen: route,
				Routes: routes,
			},
			Logger: slog.New(slog.DiscardHandler),
		}}
		s.Start(tb)
		tb.Cleanup(s.stop)
		fleet.Servers = append(fleet.Servers, s)
	}
	fleet.Ready(tb)
	return fleet
}

// Ready waits until every running server can be used.
func (f *Fleet) Ready(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, s := range f.Servers {
		if s.server == nil {
			continue
		}
		if err := s.server.Ready(ctx); err != nil {
			tb.Fatal(err)
		}
	}
}

// URLs returns where clients connect, as a comma-separated list.
func (f *Fleet) URLs() string {
	urls := make([]string, len(f.Servers))
	for i, s := range f.Servers {
		urls[i] = s.URL()
	}
	return strings.Join(urls, ",")
}

// Connect connects to all servers under a name.
func (f *Fleet) Connect(tb testing.TB, name string) *stream.Bus {
	tb.Helper()
	return Connect(tb, f.URLs(), name)
}

// Member returns the server of a name; they are n1, n2 and so on.
func (f *Fleet) Member(tb testing.TB, name string) *Server {
	tb.Helper()
	for _, s := range f.Servers {
		if s.config.Name == name {
			return s
		}
	}
	tb.Fatalf("there is no server %s", name)
	return nil
}

// Leader waits for the server that leads a stream's replicas.
func (f *Fleet) Leader(tb testing.TB, name string) *Server {
	tb.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		for _, s := range f.Servers {
			if s.server != nil && s.server.Leads(name) {
				return s
			}
		}
	}
	tb.Fatalf("stream %s has no leader", name)
	return nil
}

// FreeAddress returns a loopback address on which nobody listens, and that nobody
// else is given before the test ends.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	r, err := freeport.Reserve(tb.Context(), 1)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.Release)
	return r.Addresses[0]
}
