package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/freeport"
)

// TestFleet starts the fleet twice on the same data: what was written to one
// control plane is in force on three gateways, known to the other control plane, and still
// there after everything was stopped; and nothing is left running.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("starts eight processes")
	}
	dir, l := t.TempDir(), freeLayout(t)
	stop := startFleet(t, dir, l)
	token, err := os.ReadFile(filepath.Join(dir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, url, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}

	one, two := "http://"+l.address(cluster.Control, 1)+"/v1", "http://"+l.address(cluster.Control, 2)+"/v1"
	if code, answer := ask(http.MethodPut, one+"/applications/mobile?wait=fleet&timeout=20s", `{"id":"mobile","name":"Mobile app"}`); code/100 != 2 {
		t.Errorf("PUT at control 1: %d %s", code, answer)
	}
	known := func() error {
		if code, answer := ask(http.MethodGet, two+"/applications/mobile", ""); code != http.StatusOK {
			return fmt.Errorf("%d %s", code, answer)
		}
		return nil
	}
	clustertest.Eventually(t, 10*time.Second, "control 2 knows what was written to control 1", known)
	_, answer := ask(http.MethodGet, two+"/fleet", "")
	for n := 1; n <= gateways; n++ {
		if name := fmt.Sprintf("gateway-%d", n); !strings.Contains(answer, name) {
			t.Errorf("control 2 sees no %s: %s", name, answer)
		}
	}
	stop()

	stop = startFleet(t, dir, l)
	clustertest.Eventually(t, 10*time.Second, "control 2 knows it after a restart", known)
	stop()
}

// startFleet returns when the fleet is ready. The returned function stops it, and
// checks that it is gone.
func startFleet(t *testing.T, dir string, l layout) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := (&settings{DataDir: dir, PortOffset: int(l)}).run(ctx, os.Environ(), in)
		_ = in.Close()
		ended <- err
	}()
	printed := make(chan string)
	go func() {
		defer close(printed)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			printed <- lines.Text()
		}
	}()
	stop = func() {
		t.Helper()
		cancel()
		for range printed { // to its end, so that the fleet is not held up
		}
		if err := <-ended; err != nil {
			t.Errorf("the fleet: %v", err)
		}
		for _, address := range l.addresses() {
			if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
				_ = conn.Close()
				t.Errorf("%s is still served", address)
			}
		}
	}
	for line := range printed {
		if line == "ready" {
			return stop
		}
	}
	stop()
	t.FailNow()
	return nil
}

func (l layout) addresses() []string {
	var all []string
	for n := 1; n <= 3; n++ {
		for _, p := range []cluster.Port{cluster.NATS, cluster.NATSRoute, cluster.NATSMonitor, cluster.Control, cluster.Gateway, cluster.GatewayAdmin} {
			all = append(all, l.address(p, n))
		}
	}
	return all
}

// freeLayout returns a layout with all ports free. It must be a whole one, so a
// reserved port says where to look.
func freeLayout(t *testing.T) layout {
	t.Helper()
	for {
		r, err := freeport.Reserve(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Release)
		_, port, _ := net.SplitHostPort(r.Addresses[0])
		n, _ := strconv.Atoi(port)
		if l := layout(n - 8000); !slices.ContainsFunc(l.addresses(), taken) {
			return l
		}
	}
}

func taken(address string) bool {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return true
	}
	return listener.Close() != nil
}

func TestTokensAreKept(t *testing.T) {
	dir := t.TempDir()
	first, err := readTokens([]string{"HOME=/h"}, dir)
	if err != nil || first[0] == "" || first[0] == first[1] {
		t.Fatalf("got %q, %v", first, err)
	}
	again, err := readTokens([]string{"HOME=/h"}, dir)
	if err != nil || again != first {
		t.Errorf("tokens differ at the second start: %q, %q, %v", first, again, err)
	}
	given, err := readTokens([]string{"PORTCULLIS_ADMIN_TOKEN=mine"}, dir)
	if err != nil || given[0] != "mine" || given[1] != first[1] {
		t.Errorf("a given token is not used: %q, %v", given, err)
	}
	info, err := os.Stat(filepath.Join(dir, "admin-token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the admin token can be read by others: %v, %v", info.Mode(), err)
	}
}

// TestDefaultAddresses: the first of each kind is where users expect it.
func TestDefaultAddresses(t *testing.T) {
	for p, want := range map[cluster.Port][2]string{
		cluster.NATS: {"127.0.0.1:4222", "127.0.0.1:4223"}, cluster.Control: {"127.0.0.1:8081", "127.0.0.1:8181"},
		cluster.Gateway: {"127.0.0.1:8080", "127.0.0.1:8180"}, cluster.GatewayAdmin: {"127.0.0.1:9090", "127.0.0.1:9190"},
	} {
		if got := [2]string{layout(0).address(p, 1), layout(0).address(p, 2)}; got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
}

// TestEverySettingIsChecked spoils each setting by itself: --check finds it.
func TestEverySettingIsChecked(t *testing.T) {
	for name, value := range map[string]string{"data-dir": "main.go", "port-offset": "60000"} {
		var out strings.Builder
		status := app().Run(t.Context(), cli.Process{
			Args: []string{"--check", "--" + name, value}, ReadFile: os.ReadFile, LookupEnv: os.LookupEnv, Stdout: &out, Stderr: &out,
		})
		if status != cli.Usage || !strings.Contains(out.String(), "flag --"+name+": ") {
			t.Errorf("--%s=%s: status %d, %s", name, value, status, out.String())
		}
	}
}
