// Package identity_test holds the product against identity providers that nobody
// here wrote, and against key servers that do whatever they can to harm it. It
// builds the programs, runs them as processes of their own on loopback, and looks
// at them from outside.
//
// PORTCULLIS_IDENTITY=full makes the flood as long as the promise says.
package identity_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
)

// startWithin is for everything that is waited for, on a machine that does much else.
const startWithin = time.Minute

// buildProvider builds the identity provider of these tests, once. It is a module of
// its own, so Go builds it there.
var buildProvider = sync.OnceValues(func() (string, error) {
	root, err := cluster.SourceTree(context.Background())
	if err != nil {
		return "", err
	}
	program := filepath.Join(root, ".task", "programs", "provider")
	out, err := exec.Command("go", "build", "-C", "provider", "-o", program, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build provider: %w\n%s", err, out)
	}
	return program, nil
})

// launch starts a program that prints its address, and returns that. The program is
// gone when the test ends.
func launch(t *testing.T, name, path string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	p := &cluster.Process{Name: name, Program: path, Args: args, Dir: dir, Log: filepath.Join(dir, "log"), Out: filepath.Join(dir, "out")}
	clustertest.Own(t, p)
	var line string
	p.Ready = func(context.Context) error {
		data, err := os.ReadFile(p.Out)
		if err != nil {
			return err
		}
		var whole bool
		if line, _, whole = strings.Cut(string(data), "\n"); !whole {
			return errors.New("it has not printed its address")
		}
		return nil
	}
	clustertest.Start(t, p)
	return line
}

// node is a gateway, alone or with all that a fleet has around it.
type node struct{ *cluster.Process }

// serve starts a gateway that serves from this text.
func serve(t *testing.T, resources string) *node {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resources.yaml")
	if err := os.WriteFile(file, []byte(resources), 0o600); err != nil {
		t.Fatal(err)
	}
	c := clustertest.New(t, cluster.Options{Gateways: 1, Resources: []string{file}})
	clustertest.StartCluster(t, c)
	return &node{c.Gateways[0]}
}

// serveFleet starts a gateway, a control plane and NATS, and applies the text.
func serveFleet(t *testing.T, resources string) *node {
	t.Helper()
	c := clustertest.New(t, cluster.Options{Standalone: true, Gateways: 1})
	clustertest.StartCluster(t, c)
	n := &node{c.Gateways[0]}
	req, err := http.NewRequest(http.MethodPost, c.ControlURLs[0]+"/v1/apply?wait=fleet&timeout=30s", strings.NewReader(resources))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.AdminToken)
	req.Header.Set("Content-Type", "application/yaml")
	if got := send(t, req); got.status/100 != 2 {
		t.Fatalf("apply: %s", got)
	}
	return n
}

// answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprint(a.status, " ", a.body) }

// call sends a request with a token and returns the status.
func (n *node) call(t *testing.T, path, token string) int {
	t.Helper()
	return n.ask(t, path, token).status
}

func (n *node) ask(t *testing.T, path, token string) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+n.Address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return send(t, req)
}

func send(t *testing.T, req *http.Request) answer {
	t.Helper()
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// becomes waits until a request gets this status, a minute at most.
func (n *node) becomes(t *testing.T, path, token string, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s gets %d", path, want), func() error {
		if got := n.ask(t, path, token); got.status != want {
			return errors.New(got.String())
		}
		return nil
	})
}

// metric sums the series of a metric whose labels have this text in them; 0 if there is none.
func (n *node) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+n.Admin+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(send(t, req).body) {
		series, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if metric, labels, _ := strings.Cut(series, "{"); metric != name || !strings.Contains(labels, label) {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += value
	}
	return sum
}

// echo is the upstream: it says 200 to everything and counts.
func echo(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "echo") }))
	t.Cleanup(s.Close)
	return s.URL
}

func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	clustertest.Eventually(t, startWithin, what, holds)
}
