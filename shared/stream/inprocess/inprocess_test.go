package inprocess

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestEveryWriteIsSynced(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Config{Dir: t.TempDir(), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if config := s.server.JetStreamConfig(); !config.SyncAlways {
		t.Error("the store does not sync every write")
	}
	if s.URL() != "" {
		t.Errorf("it listens on %s although nobody asked for it", s.URL())
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.MaxPayload(); got != 8<<20 {
		t.Errorf("max_payload is %d, want 8 MiB", got)
	}
}

func TestOneServerPerDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by", "it")
	first, err := Start(t.Context(), Config{Dir: dir, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Dir: dir, Logger: quiet()}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second server on one directory: got %v", err)
	}
	first.Stop()
	second, err := Start(t.Context(), Config{Dir: dir, Logger: quiet()})
	if err != nil {
		t.Fatalf("after the first has stopped: %v", err)
	}
	second.Stop()
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	blocked := t.TempDir() // the store cannot be where it has to be
	if err := os.WriteFile(filepath.Join(blocked, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config Config
		want   string
	}{
		"no directory":          {Config{Logger: quiet()}, "directory"},
		"no logger":             {Config{Dir: t.TempDir()}, "logger"},
		"a file for directory":  {Config{Dir: file, Logger: quiet()}, file},
		"a blocked store":       {Config{Dir: blocked, Logger: quiet()}, "JetStream"},
		"open to everybody":     {Config{Dir: t.TempDir(), Listen: "0.0.0.0:0", Logger: quiet()}, "token"},
		"open on all addresses": {Config{Dir: t.TempDir(), Listen: ":0", Logger: quiet()}, "token"},
		"open by name":          {Config{Dir: t.TempDir(), Listen: "example.org:0", Logger: quiet()}, "token"},
		"no port":               {Config{Dir: t.TempDir(), Listen: "127.0.0.1", Logger: quiet()}, "listen"},
		"a port by name":        {Config{Dir: t.TempDir(), Listen: "127.0.0.1:http", Logger: quiet()}, "port"},
		"a port too high":       {Config{Dir: t.TempDir(), Listen: "127.0.0.1:65536", Logger: quiet()}, "port"},
		"a taken port":          {Config{Dir: t.TempDir(), Listen: taken.Addr().String(), Logger: quiet()}, "address already in use"},
		"a name with spaces":    {Config{Dir: t.TempDir(), Name: "a b", Logger: quiet()}, "spaces"},
		"a nameless member":     {Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Cluster: &Cluster{Name: "c", Listen: "127.0.0.1:0"}, Logger: quiet()}, "name"},
		"a deaf member":         {Config{Dir: t.TempDir(), Name: "n", Cluster: &Cluster{Name: "c", Listen: "127.0.0.1:0"}, Logger: quiet()}, "listen"},
		"a member's taken port": {Config{Dir: t.TempDir(), Name: "n", Listen: taken.Addr().String(), Cluster: &Cluster{Name: "c", Listen: "127.0.0.1:0", Routes: []string{"127.0.0.1:1"}}, Logger: quiet()}, "address already in use"},
		"a taken cluster port":  {Config{Dir: t.TempDir(), Name: "n", Listen: "127.0.0.1:0", Cluster: &Cluster{Name: "c", Listen: taken.Addr().String(), Routes: []string{"127.0.0.1:1"}}, Logger: quiet()}, "address already in use"},
		"a nameless cluster":    {Config{Dir: t.TempDir(), Name: "n", Listen: "127.0.0.1:0", Cluster: &Cluster{Listen: "127.0.0.1:0"}, Logger: quiet()}, "name"},
		"an open cluster":       {Config{Dir: t.TempDir(), Name: "n", Listen: "127.0.0.1:0", Cluster: &Cluster{Name: "c", Listen: "0.0.0.0:0"}, Logger: quiet()}, "cluster listen"},
		"a route without port":  {Config{Dir: t.TempDir(), Name: "n", Listen: "127.0.0.1:0", Cluster: &Cluster{Name: "c", Listen: "127.0.0.1:0", Routes: []string{"x"}}, Logger: quiet()}, "route"},
	} {
		s, err := Start(t.Context(), test.config)
		if err == nil {
			s.Stop()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error about %q", name, err, test.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := Start(ended, Config{Dir: t.TempDir(), Logger: quiet()})
	if err == nil {
		s.Stop()
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Config{Dir: t.TempDir(), Listen: "0.0.0.0:0", Token: "secret", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if strings.Contains(s.URL(), "secret") {
		t.Errorf("the URL shows the token: %s", s.URL())
	}
	for token, welcome := range map[string]bool{"": false, "guess": false, "secret": true} {
		conn, err := nats.Connect(s.URL(), nats.Token(token))
		if (err == nil) != welcome {
			t.Errorf("token %q: got %v", token, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

func TestOpenToEverybodyByChoice(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Config{Dir: t.TempDir(), Listen: "0.0.0.0:0", Open: true, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
}

// Members that know different tokens do not form a cluster.
func TestClusterToken(t *testing.T) {
	t.Parallel()
	routes := []string{free(t), free(t)}
	for _, test := range []struct {
		tokens [2]string
		meet   bool
	}{
		{[2]string{"one", "one"}, true},
		{[2]string{"one", "other"}, false},
	} {
		var members []*Server
		for i, token := range test.tokens {
			s, err := Start(t.Context(), Config{
				Dir: t.TempDir(), Name: []string{"a", "b"}[i], Listen: "127.0.0.1:0", Token: token, Logger: quiet(),
				Cluster: &Cluster{Name: "c", Listen: routes[i], Routes: routes},
			})
			if err != nil {
				t.Fatal(err)
			}
			members = append(members, s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), map[bool]time.Duration{true: 30 * time.Second, false: 2 * time.Second}[test.meet])
		if err := members[0].Ready(ctx); (err == nil) != test.meet {
			t.Errorf("tokens %v: got %v", test.tokens, err)
		}
		cancel()
		for _, s := range members {
			s.Stop()
		}
		if err := members[0].Ready(t.Context()); err == nil {
			t.Error("a stopped server is ready")
		}
	}
}

func free(t *testing.T) string {
	t.Helper()
	// Below the ports that the system gives out by itself, so that none of the
	// many connections of tests takes it before it is listened on.
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
}
