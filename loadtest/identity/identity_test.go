// Package identity_test holds the product against identity providers that nobody
// here wrote, and against key servers that do whatever they can to harm it. It
// builds the programs, runs them as processes of their own on loopback, and looks
// at them from outside.
//
// PORTCULLIS_IDENTITY=full makes the flood as long as the promise says.
package identity_test

import (
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
	"syscall"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

const (
	startWithin = time.Minute // and everything else that is waited for, on a machine that does much else
	stopWithin  = 20 * time.Second
	adminToken  = "the-admin-token-of-these-tests"
)

var programs string

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "portcullis-identity-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(code)
}

// build compiles what the tests start, once, and never with the race detector:
// times are measured.
var build = sync.OnceValue(func() error {
	for _, args := range [][]string{
		{"-C", "../..", "build", "-o", programs + "/", "./gateway/cmd/gateway", "./deployments/standalone"},
		{"-C", "provider", "build", "-o", programs + "/", "."},
	} {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
})

// process is a program at work.
type process struct {
	name  string
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
}

// launch starts a program; it is gone when the test ends.
func launch(t *testing.T, name, path string, args ...string) *process {
	t.Helper()
	p := &process{name: name, dir: t.TempDir(), ended: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = p.dir
	p.cmd.Env = append(os.Environ(), "PORTCULLIS_ADMIN_TOKEN="+adminToken)
	for stream, to := range map[string]*io.Writer{"out": &p.cmd.Stdout, "err": &p.cmd.Stderr} {
		f, err := os.Create(filepath.Join(p.dir, stream))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		*to = f
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			text := p.read("err")
			t.Logf("the end of what %s logged:\n%s", name, text[max(0, len(text)-6000):])
		}
	})
	return p
}

// program starts one of the programs that build makes.
func program(t *testing.T, name string, args ...string) *process {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return launch(t, name, filepath.Join(programs, name), args...)
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) read(stream string) string {
	data, err := os.ReadFile(filepath.Join(p.dir, stream))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// firstLine waits for the first line that the process prints.
func (p *process) firstLine(t *testing.T) string {
	t.Helper()
	var line string
	eventually(t, p.name+" prints its address", func() error {
		if !p.running() {
			t.Fatalf("%s ended: %s", p.name, p.read("err"))
		}
		first, _, whole := strings.Cut(p.read("out"), "\n")
		if line = first; !whole {
			return errors.New("not yet")
		}
		return nil
	})
	return line
}

// node is a gateway, alone or with all that a fleet has around it.
type node struct {
	*process
	front, admin string // addresses
}

// serve starts a gateway that serves from this text.
func serve(t *testing.T, resources string) *node {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resources.yaml")
	if err := os.WriteFile(file, []byte(resources), 0o600); err != nil {
		t.Fatal(err)
	}
	at := freeAddresses(t, 2)
	n := &node{front: at[0], admin: at[1]}
	n.process = program(t, "gateway", "--listen", n.front, "--admin-listen", n.admin, "--resources", file)
	n.awaitReady(t)
	return n
}

// serveFleet starts a gateway, a control plane and NATS, and applies the text.
func serveFleet(t *testing.T, resources string) *node {
	t.Helper()
	at := freeAddresses(t, 4)
	n := &node{front: at[0], admin: at[1]}
	n.process = program(t, "standalone", "--demo=false", "--data-dir", "data",
		"--gateway-listen", n.front, "--gateway-admin-listen", n.admin, "--control-listen", at[2], "--nats-listen", at[3])
	n.awaitReady(t)
	req, err := http.NewRequest(http.MethodPost, "http://"+at[2]+"/v1/apply?wait=fleet&timeout=30s", strings.NewReader(resources))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Content-Type", "application/yaml")
	if got := send(t, req); got.status/100 != 2 {
		t.Fatalf("apply: %s", got)
	}
	return n
}

func (n *node) awaitReady(t *testing.T) {
	t.Helper()
	eventually(t, n.name+" is ready", func() error {
		if !n.running() {
			if strings.Contains(n.read("err"), "not served by this version") {
				t.Skip("this version does not serve such plans yet")
			}
			t.Fatalf("%s ended: %s", n.name, n.read("err"))
		}
		res, err := http.Get("http://" + n.admin + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
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
	req, err := http.NewRequest(http.MethodGet, "http://"+n.front+path, http.NoBody)
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
	req, err := http.NewRequest(http.MethodGet, "http://"+n.admin+"/metrics", http.NoBody)
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

func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	all := make([]string, n)
	for i := range all {
		all[i] = streamtest.FreeAddress(t)
	}
	return all
}

func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	for end := time.Now().Add(startWithin); ; time.Sleep(50 * time.Millisecond) {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not in %s: %s: %v", startWithin, what, err)
		}
	}
}
