// Package scale_test measures a node with a million subscriptions: how long it
// takes to be ready, from the network and from its disk, and how much memory it
// holds. Processes are real, and the resources come in through `import`.
//
//	go test ./loadtest/scale -run '^$' -bench . -benchtime 5x -timeout 20m
package scale_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

const (
	root          = "../.."
	applications  = 100_000
	subscriptions = 10 // of each application
	plans         = 100
	apis          = 10
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
	*cluster.Cluster
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
	w := &world{clustertest.New(b, cluster.Options{Standalone: true, Gateways: 1})}
	clustertest.StartCluster(b, w.Cluster)
	load := exec.CommandContext(b.Context(), filepath.Join(clustertest.Programs(b), "keymanager-sync"), "import", "--control", w.ControlURLs[0], "-f", million(b), "--id", "million")
	load.Env = w.Environment()
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
	*cluster.Process
	ready time.Duration
}

// start starts a gateway and returns when it is ready.
func (w *world) start(b *testing.B, dir string) *node {
	b.Helper()
	at, logs := streamtest.FreeAddress(b), b.TempDir()
	n := &node{Process: &cluster.Process{
		Name: "gateway", Program: filepath.Join(clustertest.Programs(b), "gateway"), Env: w.Environment(), Log: filepath.Join(logs, "log"),
		Args: []string{
			"--listen", streamtest.FreeAddress(b), "--admin-listen", at, "--control", w.ControlURLs[0], "--nats", w.NATSURLs[0],
			"--data-dir", dir, "--node-id", "scale",
		},
		Ready: cluster.Answers("http://" + at + "/readyz"),
	}}
	clustertest.Own(b, n.Process)
	began := time.Now()
	clustertest.Start(b, n.Process)
	n.ready = time.Since(began)
	return n
}

// peak is the most memory that a process has had resident.
var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// resident is the peak since the start, after the state was saved as well.
func (n *node) resident(b *testing.B) int {
	b.Helper()
	time.Sleep(3 * time.Second)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
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
	if err := n.Stop(b.Context()); err != nil {
		b.Fatal(err)
	}
}
