// Package scale_test measures a node with a million subscriptions: how long it
// takes to be ready, from the network and from its disk, and how much memory it
// holds. Processes are real, and the resources come in through `import`.
//
//	go test ./loadtest/scale -run '^$' -bench . -benchtime 5x -timeout 20m
package scale_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

const (
	root          = "../.."
	applications  = 100_000
	subscriptions = 10 // of each application
	plans         = 100
	apis          = 10
	adminToken    = "scale-admin-token"
)

// Bounds that a node must keep on a machine with two idle cores.
const (
	maxFromNetwork = 4 * time.Second
	maxFromDisk    = 2 * time.Second
	maxResident    = 250_000_000 // bytes
)

// results is where the medians are kept, for the report of all performance figures.
const results = root + "/.task/scale.json"

// medians of all starts.
type medians struct {
	Network         float64 `json:"network_s"`
	Disk            float64 `json:"disk_s"`
	ResidentNetwork float64 `json:"resident_network_mib"`
	ResidentDisk    float64 `json:"resident_disk_mib"`
}

// world is a control plane that holds the million.
type world struct {
	gateway       string // the program
	control, nats string
}

func BenchmarkColdStart(b *testing.B) {
	w := newWorld(b)
	dir := b.TempDir()
	var m medians
	b.Run("network", func(b *testing.B) {
		m.Network, m.ResidentNetwork = w.measure(b, maxFromNetwork, func() string { return filepath.Join(b.TempDir(), strconv.Itoa(int(time.Now().UnixNano()))) })
	})
	w.start(b, dir).stop(b) // leaves a snapshot
	b.Run("disk", func(b *testing.B) {
		m.Disk, m.ResidentDisk = w.measure(b, maxFromDisk, func() string { return dir })
	})
	m.save(b)
}

func (m medians) save(b *testing.B) {
	b.Helper()
	if m.Network == 0 || m.Disk == 0 {
		return // only a part was run
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		b.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(results), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(results, append(text, '\n'), 0o644); err != nil {
		b.Fatal(err)
	}
}

// measure starts nodes and reports medians, of seconds and MiB. The time of the
// loop itself says nothing.
func (w *world) measure(b *testing.B, bound time.Duration, dir func() string) (seconds, mib float64) {
	b.Helper()
	var ready, resident []float64
	for b.Loop() {
		n := w.start(b, dir())
		ready = append(ready, n.ready.Seconds())
		resident = append(resident, float64(n.resident(b)))
		n.stop(b)
	}
	slices.Sort(ready)
	slices.Sort(resident)
	seconds, mib = ready[len(ready)/2], resident[len(resident)/2]/(1<<20)
	b.ReportMetric(seconds, "s-ready")
	b.ReportMetric(mib, "MiB-resident")
	if seconds > bound.Seconds() {
		b.Errorf("ready after %.2f s, the bound is %s", seconds, bound)
	}
	if mib*(1<<20) > maxResident {
		b.Errorf("%.0f MiB resident, the bound is %d", mib, maxResident>>20)
	}
	return seconds, mib
}

func newWorld(b *testing.B) *world {
	b.Helper()
	bin := b.TempDir()
	for _, p := range []string{"./deployments/standalone", "./gateway/cmd/gateway", "./keymanager-sync/cmd/keymanager-sync"} {
		cmd := exec.CommandContext(b.Context(), "go", "build", "-o", bin+"/", p)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", p, err, out)
		}
	}
	free := freeAddresses(b, 4)
	w := &world{gateway: filepath.Join(bin, "gateway"), control: "http://" + free[0], nats: "nats://" + free[1]}
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), filepath.Join(bin, "standalone"), "--demo=false", "--data-dir", b.TempDir(),
		"--control-listen", free[0], "--nats-listen", free[1], "--gateway-listen", free[2], "--gateway-admin-listen", free[3])
	run(b, cmd, "ready")
	load := exec.CommandContext(b.Context(), filepath.Join(bin, "keymanager-sync"), "import", "--control", w.control, "-f", million(b), "--id", "million")
	load.Env = append(os.Environ(), "PORTCULLIS_ADMIN_TOKEN="+adminToken)
	began := time.Now()
	if out, err := load.CombinedOutput(); err != nil {
		b.Fatalf("import: %v\n%s", err, out)
	}
	b.Logf("imported in %s", time.Since(began).Round(time.Second))
	return w
}

// million writes the resources as NDJSON.
func million(b *testing.B) string {
	b.Helper()
	file := filepath.Join(b.TempDir(), "million.ndjson")
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	out := bufio.NewWriterSize(f, 1<<20)
	enc := json.NewEncoder(out)
	type object = map[string]any
	write := func(o object) {
		if err := enc.Encode(o); err != nil {
			b.Fatal(err)
		}
	}
	write(object{"kind": "Issuer", "id": "acme", "issuer": "https://idp.acme.test", "keys": object{"hmac_secrets": []object{{"value": strings.Repeat("s", 32)}}}})
	for i := range apis {
		write(object{"kind": "Api", "id": fmt.Sprint("api-", i), "context_path": fmt.Sprint("/api-", i), "upstream": object{"targets": []object{{"url": "http://127.0.0.1:9"}}}})
	}
	for i := range plans {
		write(object{
			"kind": "Plan", "id": fmt.Sprintf("plan-%03d", i), "api": fmt.Sprint("api-", i%apis), "security": "JWT",
			"status": "PUBLISHED", "jwt": object{"issuers": []string{"acme"}},
		})
	}
	for i := range applications {
		app := fmt.Sprintf("app-%06d", i)
		write(object{
			"kind": "Application", "id": app, "name": "Application of load", "owner": "team-load",
			"clients": []object{{"issuer": "acme", "client_id": "client-" + app}},
		})
		for j := range subscriptions {
			write(object{
				"kind": "Subscription", "id": fmt.Sprintf("sub-%06d-%d", i, j), "application": app,
				"plan": fmt.Sprintf("plan-%03d", (i+7*j)%plans), "status": "ACCEPTED",
			})
		}
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return file
}

// node is a started gateway.
type node struct {
	cmd   *exec.Cmd
	ready time.Duration
}

// start starts a gateway and returns when it is ready.
func (w *world) start(b *testing.B, dir string) *node {
	b.Helper()
	free := freeAddresses(b, 2)
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), w.gateway, "--listen", free[0], "--admin-listen", free[1],
		"--control", w.control, "--nats", w.nats, "--data-dir", dir, "--node-id", "scale")
	cmd.Env = append(os.Environ(), "PORTCULLIS_ADMIN_TOKEN="+adminToken)
	began := time.Now()
	run(b, cmd, "")
	for end := began.Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		res, err := http.Get("http://" + free[1] + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return &node{cmd: cmd, ready: time.Since(began)}
			}
		}
		if time.Now().After(end) {
			b.Fatal("not ready after a minute")
		}
	}
}

// peak is the most memory that a process has had resident.
var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// resident is the peak since the start, after the state was saved as well.
func (n *node) resident(b *testing.B) int {
	b.Helper()
	time.Sleep(3 * time.Second)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		b.Skipf("resident memory is known on Linux only: %v", err)
	}
	m := peak.FindSubmatch(status)
	if m == nil {
		b.Fatal("no VmHWM in /proc/PID/status")
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		b.Fatal(err)
	}
	return kb << 10
}

func (n *node) stop(b *testing.B) {
	b.Helper()
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	_ = n.cmd.Wait()
}

// run starts a process, waits for a line it prints, and ends it with the benchmark.
func run(b *testing.B, cmd *exec.Cmd, line string) {
	b.Helper()
	if cmd.Env == nil {
		cmd.Env = append(os.Environ(), "PORTCULLIS_ADMIN_TOKEN="+adminToken)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for line != "" {
		if !lines.Scan() {
			b.Fatalf("%s ended:\n%s", cmd.Path, log.String())
		}
		if lines.Text() == line {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
}

func freeAddresses(b *testing.B, n int) []string {
	b.Helper()
	all := make([]string, n)
	for i := range all {
		all[i] = streamtest.FreeAddress(b)
	}
	return all
}
