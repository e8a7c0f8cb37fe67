package cluster_test

import (
	"context"
	"errors"
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
)

// The roles that this test's binary plays when it is started by itself.
const (
	roleVariable = "CLUSTER_TEST_ROLE"
	serves       = "serves"    // HTTP at CLUSTER_TEST_ADDRESS, with a child; ends when it is asked to
	stubborn     = "stubborn"  // the same, and does not end
	failing      = "failing"   // says why, and ends with status 3
	breaking     = "breaking"  // panics, and logs much after that
	returning    = "returning" // ends at once with status 0
	child        = "child"     // waits
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	play(role)
}

// start starts a role's process.
func newRole(t *testing.T, role string) *cluster.Process {
	t.Helper()
	address := freeAddress(t)
	dir := t.TempDir()
	p := &cluster.Process{
		Name: role, Program: os.Args[0], Dir: dir, Log: filepath.Join(dir, "log", role+".log"), Out: filepath.Join(dir, role+".out"), Address: address,
		Env:   cluster.Environment(os.Environ(), roleVariable+"="+role, "CLUSTER_TEST_ADDRESS="+address),
		Ready: cluster.Answers("http://" + address),
	}
	clustertest.Own(t, p)
	return p
}

// TestProcess: one life of a process after the other, with what is said of each.
func TestProcess(t *testing.T) {
	p := newRole(t, serves)
	if p.Running() || p.PID() != 0 || p.Stop(t.Context()) != nil {
		t.Error("a process that was never started is taken for one that was")
	}
	for life := range 2 {
		clustertest.Start(t, p)
		if err := p.Launch(); err == nil || !strings.Contains(err.Error(), "runs already") {
			t.Errorf("started twice: %v", err)
		}
		kid := childOf(t, p)
		if life == 0 {
			if err := p.Stop(t.Context()); err != nil {
				t.Errorf("an orderly end: %v", err)
			}
		} else {
			p.Kill()
		}
		if p.Running() {
			t.Error("it runs although it was stopped")
		}
		if conn, err := net.DialTimeout("tcp", p.Address, time.Second); err == nil {
			_ = conn.Close()
			t.Errorf("life %d: %s is still served", life, p.Address)
		}
		awaitGone(t, kid)
	}
	if got := p.Tail(); strings.Count(got, "started") != 2 {
		t.Errorf("the log of two lives is %q", got)
	}
	out, err := os.ReadFile(p.Out)
	if err != nil || strings.Count(string(out), "child") != 1 {
		t.Errorf("the output of the last life is %q, %v", out, err)
	}
	clustertest.Start(t, p)
	before := p.PID()
	if err := p.Restart(t.Context()); err != nil || p.PID() == before {
		t.Errorf("a restart: %v, process %d after %d", err, p.PID(), before)
	}
}

// TestPause: a process that stands still does not answer, can be stopped, and goes
// on where it was.
func TestPause(t *testing.T) {
	p := newRole(t, serves)
	clustertest.Start(t, p)
	if err := p.Pause(); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		return p.Ready(ctx)
	}
	clustertest.Eventually(t, time.Minute, "it stands still", func() error {
		if ask() == nil {
			return errors.New("it answers")
		}
		return nil
	})
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	clustertest.Eventually(t, time.Minute, "it goes on", ask)
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("stopped while it stands still: %v", err)
	}
	if err := p.Resume(); err == nil {
		t.Error("a process that has ended went on")
	}
}

// TestStubborn: a process that does not end when it is asked to is killed, and that
// is reported.
func TestStubborn(t *testing.T) {
	p := newRole(t, stubborn)
	p.StopWithin = 100 * time.Millisecond
	clustertest.Start(t, p)
	err := p.Stop(t.Context())
	if err == nil || !strings.Contains(err.Error(), "stubborn was killed: it had not ended within 100ms") || !strings.Contains(err.Error(), "asked to end") {
		t.Errorf("got %v", err)
	}
	if p.Running() {
		t.Error("it still runs")
	}
	p.StopWithin = time.Hour
	clustertest.Start(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx); err == nil || p.Running() {
		t.Errorf("a stop that is not waited for: %v", err)
	}
}

// TestEndsByItself: a process that ends before it is ready, or later, ends the
// waiting with its last words.
func TestEndsByItself(t *testing.T) {
	for role, want := range map[string][]string{
		failing:   {"failing ended by itself (exit status 3)", "failing.log:\nbecause of this"},
		breaking:  {"breaking ended by itself (exit status 2)", "breaking.log:\npanic: it is broken"},
		returning: {"returning ended by itself (exit status 0)"},
	} {
		t.Run(role, func(t *testing.T) {
			p := newRole(t, role)
			err := p.Start(t.Context())
			for _, w := range want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("no %q in %v", w, err)
				}
			}
		})
	}
	p := newRole(t, serves)
	clustertest.Start(t, p)
	watched := make(chan error, 1)
	go func() { watched <- p.Watch(t.Context()) }()
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get("http://" + p.Address + "/exit"); err == nil {
		_ = resp.Body.Close()
	}
	if err := <-watched; err == nil || !strings.Contains(err.Error(), "serves ended by itself (exit status 4)") {
		t.Errorf("watched: %v", err)
	}
}

// TestNotReady: a process that does not get ready in time is reported with its output, and
// who waits may give up.
func TestNotReady(t *testing.T) {
	p := newRole(t, serves)
	p.ReadyWithin = 300 * time.Millisecond
	p.Ready = func(context.Context) error { return errors.New("it is too early") }
	err := p.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "serves is not ready within 300ms: it is too early; the end of ") {
		t.Errorf("got %v", err)
	}
	p.ReadyWithin = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.AwaitReady(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	p = &cluster.Process{Name: "nothing", Program: "no-such-program", Log: filepath.Join(t.TempDir(), "log")}
	if err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "start nothing: ") {
		t.Errorf("no program: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	got := cluster.Environment([]string{"HOME=/h", "PORTCULLIS_LISTEN=:1"}, "PORTCULLIS_ADMIN_TOKEN=x")
	if want := []string{"HOME=/h", "PORTCULLIS_ADMIN_TOKEN=x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: settings come as flags, and the rest is passed on", got, want)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]cluster.Options{
		"2 NATS nodes":                             {NATS: 2},
		"a control plane needs":                    {Controls: 1},
		"a gateway needs":                          {Gateways: 1},
		"a standalone is the NATS node":            {Standalone: true},
		"a standalone is the NATS node, the contr": {Standalone: true, Gateways: 1, Controls: 1},
	} {
		if _, err := cluster.New(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", o, err, want)
		}
	}
}

// TestCluster: NATS, control planes and gateways as they are shipped; a node is
// killed, another one is restarted, and all of them end.
func TestCluster(t *testing.T) {
	c := clustertest.New(t, cluster.Options{NATS: 3, Controls: 2, Gateways: 2})
	for _, g := range c.Gateways {
		g.Ready = cluster.Live(g.Admin)
	}
	clustertest.StartCluster(t, c)
	c.NATS[0].Kill()
	if err := c.Gateways[1].Restart(t.Context()); err != nil {
		t.Error(err)
	}
	clustertest.Start(t, c.NATS[0])
	ask(t, c, "GET", "/v1/fleet", http.StatusOK)
	watched := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { watched <- c.Watch(ctx) }()
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-watched; err != nil {
		t.Errorf("watched while it is stopped: %v", err)
	}
	for _, p := range c.All() {
		if p.Running() {
			t.Errorf("%s runs after the cluster was stopped", p.Name)
		}
	}
}

// TestStandalone: one process for everything, and a gateway that follows it.
func TestStandalone(t *testing.T) {
	c := clustertest.New(t, cluster.Options{Standalone: true, Gateways: 2, AdminToken: "chosen"})
	clustertest.StartCluster(t, c)
	if c.AdminToken != "chosen" || len(c.NATS)+len(c.Controls) > 0 {
		t.Errorf("%+v", c)
	}
	ask(t, c, "GET", "/v1/fleet", http.StatusOK)
}

// TestResources: a gateway without a control plane.
func TestResources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resources.yaml")
	if err := os.WriteFile(file, []byte("kind: Application\nid: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := clustertest.New(t, cluster.Options{Gateways: 1, Resources: []string{file}})
	clustertest.StartCluster(t, c)
	if err := os.WriteFile(file, []byte("kind: Application\nid: a\nno_field: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := c.Gateways[0].Restart(t.Context())
	if err == nil || !strings.Contains(err.Error(), "gateway-1 ended by itself (exit status ") || !strings.Contains(err.Error(), "no_field") {
		t.Errorf("with a bad file: %v", err)
	}
}

// ask asks the first control plane.
func ask(t *testing.T, c *cluster.Cluster, method, path string, want int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.ControlURLs[0]+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.AdminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("%s %s: %s, want %d", method, path, resp.Status, want)
	}
}

// childOf is the process that a serving role has started.
func childOf(t *testing.T, p *cluster.Process) int {
	t.Helper()
	out, err := os.ReadFile(p.Out)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(out), "child ")))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
