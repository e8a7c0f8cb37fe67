package faults_test

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// fleet is NATS nodes, control planes and gateways, each a process of its own,
// laid out as deployments/fleet does it.
type fleet struct {
	dir      string
	nats     []*process
	controls []*process
	gateways []*process

	monitors []string   // addresses of the NATS nodes' monitoring
	apis     []*control // of the control planes
	fronts   []string   // addresses for API consumers
	admins   []string   // addresses of the gateways' health and metrics

	issuer   *issuer
	upstream string
}

// newFleet prepares the processes and starts none.
func newFleet(t *testing.T, natsNodes, controls, gateways int) *fleet {
	t.Helper()
	f := &fleet{dir: t.TempDir(), issuer: newIssuer(t), upstream: echo(t)}
	addresses := freeAddresses(t, 3*natsNodes+controls+2*gateways)
	take := func(n int) []string {
		taken := addresses[:n]
		addresses = addresses[n:]
		return taken
	}
	clients, routes, controlsAt := take(natsNodes), take(natsNodes), take(controls)
	f.monitors, f.fronts, f.admins = take(natsNodes), take(gateways), take(gateways)
	for n := range natsNodes {
		f.nats = append(f.nats, newNATS(t, f.dir, n+1, clients[n], f.monitors[n], routes))
	}
	for n, at := range controlsAt {
		name := fmt.Sprintf("control-%d", n+1)
		f.controls = append(f.controls, newProcess(t, f.dir, name, "keymanager-sync", answers200("http://"+at+"/readyz"),
			"serve", "--listen", at, "--nats", urls("nats", clients), "--data-dir", filepath.Join(f.dir, name)))
		f.apis = append(f.apis, newControl(at))
	}
	for n := range gateways {
		name := fmt.Sprintf("gateway-%d", n+1)
		f.gateways = append(f.gateways, newProcess(t, f.dir, name, "gateway", answers200("http://"+f.admins[n]+"/readyz"),
			"--listen", f.fronts[n], "--admin-listen", f.admins[n], "--node-id", name,
			"--control", urls("http", controlsAt), "--nats", urls("nats", clients), "--data-dir", filepath.Join(f.dir, name)))
	}
	return f
}

// newNATS is a node of the configuration that is shipped, on other ports.
func newNATS(t *testing.T, dir string, n int, client, monitor string, routes []string) *process {
	t.Helper()
	conf := fmt.Sprintf("n%d.conf", n)
	args := []string{"--port", port(client), "--http_port", port(monitor)}
	if len(routes) == 1 {
		conf = "single.conf"
	} else {
		args = append(args, "--cluster", "nats://"+routes[n-1], "--routes", urls("nats", routes))
	}
	file, err := filepath.Abs(filepath.Join(root, "deployments", "nats", conf))
	if err != nil {
		t.Fatal(err)
	}
	// The file names a store below the working directory.
	return newProcess(t, dir, fmt.Sprintf("nats-%d", n), "nats", answers200("http://"+monitor+"/healthz"),
		append([]string{"--config", file}, args...)...)
}

func urls(scheme string, addresses []string) string {
	return scheme + "://" + strings.Join(addresses, ","+scheme+"://")
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

// startAll starts processes together and waits until all are ready.
func startAll(t *testing.T, processes []*process) {
	t.Helper()
	for _, p := range processes {
		p.launch(t)
	}
	for _, p := range processes {
		p.awaitReady(t)
	}
}

// up starts the whole fleet with the world in force and one consumer.
func (f *fleet) up(t *testing.T, client string) {
	t.Helper()
	startAll(t, f.nats)
	startAll(t, f.controls)
	startAll(t, f.gateways)
	a, err := f.apis[0].call("POST", "/v1/apply?wait=fleet&timeout=30s", "application/yaml", f.issuer.world(f.upstream)+consumer(client, "first"))
	must(t, a, err)
	for n := range f.gateways {
		eventually(t, startWithin, f.gateways[n].name+" serves", newCaller(f.fronts[n], f.issuer.token(client, nil)).expect(200, ""))
	}
}

// streamLeader is the NATS node that leads the log's replicas, by its index.
func (f *fleet) streamLeader(t *testing.T) int {
	t.Helper()
	leader := -1
	eventually(t, startWithin, "the log has a leader", func() error {
		for _, monitor := range f.monitors {
			name, err := leaderSeenBy(monitor)
			if err != nil {
				return err
			}
			if n, err := strconv.Atoi(strings.TrimPrefix(name, "n")); err == nil {
				leader = n - 1
				return nil
			}
		}
		return fmt.Errorf("no node knows one")
	})
	return leader
}

func leaderSeenBy(monitor string) (string, error) {
	a, err := get("http://" + monitor + "/jsz?streams=true")
	if err != nil {
		return "", err
	}
	var jsz struct {
		Accounts []struct {
			Streams []struct {
				Name    string
				Cluster struct{ Leader string }
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	if err := json.Unmarshal(a.body, &jsz); err != nil {
		return "", err
	}
	for _, account := range jsz.Accounts {
		for _, s := range account.Streams {
			if strings.HasPrefix(s.Name, "PORTCULLIS") {
				return s.Cluster.Leader, nil
			}
		}
	}
	return "", nil
}
