package faults_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
)

// openNode is a gateway with one keyless Api, which waits for drainDelay before it
// ends; empty: for as long as a gateway does by default.
func openNode(t *testing.T, upstream, drainDelay string) *cluster.Process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resources.yaml")
	text := fmt.Sprintf("{kind: Api, id: open, context_path: /open, upstream: {targets: [{url: %q}]}}\n---\n{kind: Plan, id: open, api: open, security: KEYLESS, status: PUBLISHED}\n", upstream)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, cluster.Options{Gateways: 1, Resources: []string{file}})
	g := c.Gateways[0]
	i := slices.Index(g.Args, "--drain-delay") // a Cluster's processes have none
	g.Args = slices.Delete(g.Args, i, i+2)
	if drainDelay != "" {
		g.Args = append(g.Args, "--drain-delay", drainDelay)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

func signal(t *testing.T, g *cluster.Process, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(g.PID(), s); err != nil {
		t.Fatal(err)
	}
}

// A balancer that looks after a node as HAProxy does by default (every 2 s, and three
// answers that are not 200 take it out) loses no request to one that is stopped, with
// the default drain-delay.
func TestStoppedNodeBehindABalancer(t *testing.T) {
	t.Parallel()
	g := openNode(t, echo(t), "")
	url, ready := "http://"+g.Address+"/open", "http://"+g.Admin+"/readyz"
	// A connection for each request, so that a closed listener would be noticed.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	stopped := time.Time{}
	check := time.NewTicker(2 * time.Second)
	defer check.Stop()
	for fails, n := 0, 0; fails < 3; n++ {
		select {
		case <-check.C:
			if a, err := get(ready); err != nil || a.status != http.StatusOK {
				fails++
			}
			if stopped.IsZero() {
				stopped = time.Now() // just after a check, which is the worst moment
				signal(t, g, syscall.SIGTERM)
			}
		case <-time.After(20 * time.Millisecond):
		}
		if req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil); err != nil {
			t.Fatal(err)
		} else if a, err := send(client, req); err != nil || !a.ok() {
			t.Fatalf("request %d, %s after the signal: %s, %v", n, time.Since(stopped), a, err)
		}
	}
	if took := time.Since(stopped); took < 4*time.Second {
		t.Errorf("taken out after %s: that proves nothing", took)
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// SIGHUP ends nothing; SIGTERM lets the requests in flight end; a second one does not wait.
func TestSignals(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/slow") {
			entered <- struct{}{}
			<-release
		}
	}))
	defer upstream.Close()
	letGo := sync.OnceFunc(func() { close(release) })
	defer letGo()
	g := openNode(t, upstream.URL, "200ms")
	url := "http://" + g.Address + "/open"
	answered := make(chan error, 1)
	slow := func() {
		a, err := get(url + "/slow")
		if err == nil && !a.ok() {
			err = fmt.Errorf("answer %s", a)
		}
		answered <- err
	}
	go slow()
	<-entered
	signal(t, g, syscall.SIGHUP)
	time.Sleep(500 * time.Millisecond) // the time in which it would have ended
	a, err := get(url)
	must(t, a, err)
	signal(t, g, syscall.SIGTERM)
	eventually(t, 5*time.Second, "the listener closes", func() error {
		if _, err := get(url); err == nil {
			return errors.New("it still answers")
		}
		return nil
	})
	letGo()
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	ended := func(g *cluster.Process) func() error {
		return func() error {
			if g.Running() {
				return errors.New("it runs")
			}
			return nil
		}
	}
	eventually(t, 10*time.Second, "it has ended", ended(g))

	impatient := openNode(t, upstream.URL, "1m")
	signal(t, impatient, syscall.SIGTERM)
	time.Sleep(300 * time.Millisecond)
	signal(t, impatient, syscall.SIGTERM)
	eventually(t, 10*time.Second, "it has ended", ended(impatient))
}
