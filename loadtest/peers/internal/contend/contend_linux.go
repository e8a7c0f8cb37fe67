// Package contend starts the proxies that are compared, each as a separate process.
package contend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/account"
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
	// Listen is its address, Metrics the gateway's admin listener.
	Listen, Metrics string

	*cluster.Process
	tls bool
}

// Checks is true of contenders that look at tokens.
func (c *Contender) Checks() bool { return c.Kind == Gateway || c.Verifies != "" }

// Target is the base of its URLs.
func (c *Contender) Target() string {
	if c.tls {
		return "https://" + c.Listen
	}
	return "http://" + c.Listen
}

// Stand is where contenders are started.
type Stand struct {
	Dir       string // of this run
	Self      string // the program with the roles of package serve
	Upstream  string // address
	Processor int    // of contenders
	World     *world.World
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
	p, err := s.process(c, dir)
	if err != nil {
		return err
	}
	p.Name, p.Log = c.Name, dir+".log"
	c.Process = account.Pin(p, s.Processor)
	if err := c.Process.Start(ctx); err != nil {
		c.Kill()
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := account.AwaitQuiet(ctx, c.Process); err != nil {
		c.Kill()
		return err
	}
	return nil
}

// process is how a contender is started.
func (s *Stand) process(c *Contender, dir string) (*cluster.Process, error) {
	set := settings{Dir: dir, Listen: c.Listen, Upstream: s.Upstream}
	if c.tls {
		set.Cert, set.Key, set.Pair = s.Pair.Cert, s.Pair.Key, s.Pair.Both
	}
	if c.Verifies != "" {
		set.Algorithm, set.Issuer, set.PublicKey = string(c.Verifies), c.Verifies.Issuer(), s.World.PublicKey(c.Verifies)
	}
	p := &cluster.Process{Ready: cluster.Accepts(c.Listen)}
	var file string
	var err error
	switch c.Kind {
	case Nginx:
		file, err = write("nginx.conf", set)
		p.Program, p.Args = "nginx", []string{"-p", dir, "-c", file}
	case HAProxy:
		file, err = write("haproxy.cfg", set)
		p.Program, p.Args = "haproxy", []string{"-db", "-f", file}
	case Gateway:
		p.Program, p.Args, p.Env = c.Binary, s.gateway(c, dir, set), s.World.Environment()
		p.Ready, p.ReadyWithin = c.current, 3*time.Minute
	default:
		p.Program, p.Args = s.Self, []string{"role", "bare", c.Listen, s.Upstream}
		if c.tls {
			p.Args = append(p.Args, set.Cert, set.Key)
		}
	}
	return p, err
}

func (s *Stand) gateway(c *Contender, dir string, set settings) []string {
	args := []string{"--listen", c.Listen, "--admin-listen", c.Metrics, "--node-id", c.Name, "--data-dir", filepath.Join(dir, "data")}
	if c.Resources != "" {
		args = append(args, "--resources", c.Resources)
	} else {
		args = append(args, "--control", s.World.ControlURLs[0], "--nats", s.World.NATSURLs[0])
	}
	if set.Cert != "" {
		args = append(args, "--tls-cert", set.Cert, "--tls-key", set.Key)
	}
	return args
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
	status, body, err := get(ctx, "http://"+c.Metrics+"/readyz")
	if err != nil {
		return r, err
	}
	if status != http.StatusOK {
		return r, fmt.Errorf("readyz: %d %s", status, body)
	}
	return r, json.Unmarshal(body, &r)
}

// Samples returns all metrics that a gateway shows, by name and labels as printed.
func (c *Contender) Samples(ctx context.Context) (map[string]float64, error) {
	status, body, err := get(ctx, "http://"+c.Metrics+"/metrics")
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

func openTo(dir string) error {
	return os.Chmod(dir, 0o755) //nolint:gosec // it holds no secrets but files that are closed themselves
}
