// Package contend starts the proxies that are compared, each as a process of its own.
package contend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/process"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/world"
)

// Kind is what program a contender is.
type Kind int

// The kinds of contenders.
const (
	Bare Kind = iota
	Nginx
	HAProxy
	Gateway
)

// Contender is one of the proxies.
type Contender struct {
	Name string
	Kind Kind
	// Verifies is the algorithm of tokens that HAProxy verifies; empty: none.
	Verifies world.Algorithm
	// Binary is the gateway's program.
	Binary string
	// Resources is a file for a gateway without control plane; empty: it has the world's.
	Resources string
	// Address it listens on, Admin for the gateway's metrics.
	Address, Admin string

	*process.Process
	tls bool
}

// Checks is true of contenders that look at tokens.
func (c *Contender) Checks() bool { return c.Kind == Gateway || c.Verifies != "" }

// Target is the base of its URLs.
func (c *Contender) Target() string {
	if c.tls {
		return "https://" + c.Address
	}
	return "http://" + c.Address
}

// Stand is where contenders are started.
type Stand struct {
	Dir       string // of this run
	Self      string // the program with the roles of package serve
	Upstream  string // address
	Processor int    // of contenders
	World     *world.World
	Control   string // addresses of the world
	NATS      string
	Pair      Pair
}

// Start starts a contender; with tls it speaks TLS to its clients.
func (s *Stand) Start(ctx context.Context, c *Contender, tls bool) error {
	c.tls = tls
	dir := filepath.Join(s.Dir, c.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// nginx's worker is another user.
	if err := openTo(dir); err != nil {
		return err
	}
	spec, err := s.spec(c, dir)
	if err != nil {
		return err
	}
	spec.Name, spec.CPU, spec.Log = c.Name, s.Processor, dir+".log"
	if spec.Ready == nil {
		spec.Ready = accepts(c.Address)
	}
	if c.Process, err = process.Start(ctx, spec); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := c.AwaitQuiet(ctx); err != nil {
		c.Stop()
		return err
	}
	return nil
}

func (s *Stand) spec(c *Contender, dir string) (process.Spec, error) {
	set := settings{Dir: dir, Listen: c.Address, Upstream: s.Upstream}
	if c.tls {
		set.Cert, set.Key, set.Pair = s.Pair.Cert, s.Pair.Key, s.Pair.Both
	}
	if c.Verifies != "" {
		set.Algorithm, set.Issuer, set.PublicKey = string(c.Verifies), c.Verifies.Issuer(), s.World.PublicKey(c.Verifies)
	}
	switch c.Kind {
	case Nginx:
		file, err := write("nginx.conf", set)
		return process.Spec{Program: "nginx", Args: []string{"-p", dir, "-c", file}}, err
	case HAProxy:
		file, err := write("haproxy.cfg", set)
		return process.Spec{Program: "haproxy", Args: []string{"-db", "-f", file}}, err
	case Gateway:
		return s.gateway(c, dir, set), nil
	default:
		args := []string{"role", "bare", c.Address, s.Upstream}
		if c.tls {
			args = append(args, set.Cert, set.Key)
		}
		return process.Spec{Program: s.Self, Args: args}, nil
	}
}

func (s *Stand) gateway(c *Contender, dir string, set settings) process.Spec {
	args := []string{"--listen", c.Address, "--admin-listen", c.Admin, "--node-id", c.Name, "--data-dir", filepath.Join(dir, "data")}
	if c.Resources != "" {
		args = append(args, "--resources", c.Resources)
	} else {
		args = append(args, "--control", "http://"+s.Control, "--nats", "nats://"+s.NATS)
	}
	if set.Cert != "" {
		args = append(args, "--tls-cert", set.Cert, "--tls-key", set.Key)
	}
	return process.Spec{Program: c.Binary, Args: args, Env: world.Environment(), Ready: c.current, Timeout: 3 * time.Minute}
}

// current is nil when a gateway has all that the log holds.
func (c *Contender) current(ctx context.Context) error {
	r, err := c.Readiness(ctx)
	if err == nil && (r.State != "LIVE" && c.Resources == "" || r.Lag > 0) {
		err = fmt.Errorf("it is %s, %d entries behind", r.State, r.Lag)
	}
	return err
}

// Readiness is what a gateway tells of its state.
type Readiness struct {
	State    string
	Sequence uint64
	Lag      uint64
}

// Readiness asks a gateway.
func (c *Contender) Readiness(ctx context.Context) (r Readiness, err error) {
	status, body, err := get(ctx, "http://"+c.Admin+"/readyz")
	if err != nil {
		return r, err
	}
	if status != http.StatusOK {
		return r, fmt.Errorf("readyz: %d %s", status, body)
	}
	return r, json.Unmarshal(body, &r)
}

// Metrics are all samples that a gateway shows, by name and labels as printed.
func (c *Contender) Metrics(ctx context.Context) (map[string]float64, error) {
	status, body, err := get(ctx, "http://"+c.Admin+"/metrics")
	if err != nil || status != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("metrics: %d", status))
	}
	return parseMetrics(body), nil
}

func parseMetrics(body []byte) map[string]float64 {
	samples := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		if value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64); err == nil {
			samples[line[:at]] = value
		}
	}
	return samples
}

func get(ctx context.Context, url string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// accepts makes a check that somebody accepts connections.
func accepts(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

func openTo(dir string) error {
	return os.Chmod(dir, 0o755) //nolint:gosec // it holds no secrets but files that are closed themselves
}
