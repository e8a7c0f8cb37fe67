package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Defaults and bounds of an Upstream's settings.
const (
	defaultConnectTimeout  = 2 * time.Second
	defaultResponseTimeout = 30 * time.Second
	defaultMaxRequestBody  = 10 << 20
	// maxSchedule bounds the length of the order in which weighted targets are taken.
	maxSchedule = 1000
	// responseHeaderSize bounds a response's header section.
	responseHeaderSize = 16 << 10
)

// Pool holds the connections to all upstreams. It knows targets by their
// settings, so an Upstream that is compiled anew keeps its connections. A
// target that no Upstream uses any more is forgotten when its last connections
// have been idle for 30 s. Pool is safe for concurrent use.
type Pool struct {
	mu      sync.Mutex
	targets map[targetKey]weak.Pointer[target]

	readers   sync.Pool // *bufio.Reader
	scratches sync.Pool // *scratch
	blocks    sync.Pool // *[copySize]byte
}

// targetKey is everything that makes a connection what it is.
type targetKey struct {
	address        string
	secure         bool
	caPEM          string
	serverName     string
	insecure       bool
	connectTimeout time.Duration
}

// NewPool returns an empty Pool.
func NewPool() *Pool {
	return &Pool{targets: make(map[targetKey]weak.Pointer[target])}
}

// Close closes all idle connections.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.targets {
		if t := w.Value(); t != nil {
			t.closeAll()
		}
	}
}

// Upstream is where an Api's requests go, compiled. It is immutable but for
// its position in the order of targets, and safe for concurrent use.
type Upstream struct {
	pool            *Pool
	production      group
	sandbox         group // without servers: there is no sandbox
	strip           bool
	preserveHost    bool
	responseTimeout time.Duration
	maxBody         int64
	patience        patience
}

// group are servers of which any will do.
type group struct {
	servers  []server
	schedule []uint16 // indexes of servers, in the order in which they are taken
	next     atomic.Uint64
}

// HasSandbox tells whether there are sandbox targets.
func (u *Upstream) HasSandbox() bool { return len(u.sandbox.servers) > 0 }

// server is a target with what an Upstream says about it.
type server struct {
	*target
	host   string // for the Host field
	prefix string // of the path; without a trailing slash
}

// Prepare is an exchange.Prepare.
func (p *Pool) Prepare(settings *pb.Upstream) (exchange.Upstream, error) { //nolint:ireturn // it is what the pipeline knows of it
	u, err := p.Upstream(settings)
	if err != nil {
		return nil, err // not a nil *Upstream in an interface
	}
	return u, nil
}

// Upstream compiles settings. Absent settings have the defaults of the schema;
// an error names the field.
func (p *Pool) Upstream(settings *pb.Upstream) (*Upstream, error) {
	u := &Upstream{
		pool:            p,
		strip:           settings.StripContextPath == nil || settings.GetStripContextPath(),
		preserveHost:    settings.GetPreserveHost(),
		responseTimeout: duration(settings.GetResponseTimeout(), defaultResponseTimeout),
		maxBody:         defaultMaxRequestBody,
		patience:        defaultPatience(),
	}
	if settings.GetMaxRequestBody() != nil {
		u.maxBody = int64(min(settings.GetMaxRequestBody().GetBytes(), 1<<62))
	}
	err := errors.Join(
		u.production.fill(p, settings, "targets", settings.GetTargets()),
		u.sandbox.fill(p, settings, "sandbox_targets", settings.GetSandboxTargets()),
	)
	if err != nil {
		return nil, err
	}
	return u, nil
}

// fill compiles a list of targets, which may be empty only for the sandbox.
func (g *group) fill(p *Pool, settings *pb.Upstream, field string, targets []*pb.Target) error {
	var weights []uint32
	var faults []error
	for i, t := range targets {
		s, err := p.server(t.GetUrl(), settings)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s[%d]: %w", field, i, err))
			continue
		}
		weight := uint32(1)
		if t.Weight != nil {
			weight = t.GetWeight()
		}
		if weight > 0 {
			g.servers, weights = append(g.servers, s), append(weights, weight)
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	g.schedule = schedule(weights)
	if len(g.schedule) == 0 && (len(targets) > 0 || field == "targets") {
		return fmt.Errorf("%s: none has a weight above 0", field)
	}
	return nil
}

// server parses a target's URL and finds or makes the target.
func (p *Pool) server(raw string, settings *pb.Upstream) (server, error) {
	parsed, err := url.Parse(raw)
	if err != nil {
		return server{}, fmt.Errorf("url: %w", err)
	}
	key := targetKey{connectTimeout: duration(settings.GetConnectTimeout(), defaultConnectTimeout)}
	port := parsed.Port()
	switch parsed.Scheme {
	case "http":
		if port == "" {
			port = "80"
		}
	case "https":
		if port == "" {
			port = "443"
		}
		key.secure = true
		key.caPEM = settings.GetTls().GetCaPem()
		key.insecure = settings.GetTls().GetInsecureSkipVerify()
		key.serverName = settings.GetTls().GetServerName()
		if key.serverName == "" {
			key.serverName = parsed.Hostname()
		}
	default:
		return server{}, fmt.Errorf("url: %q is neither http nor https", raw)
	}
	if parsed.Hostname() == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return server{}, fmt.Errorf("url: %q is not scheme, host, optional port and path", raw)
	}
	key.address = net.JoinHostPort(parsed.Hostname(), port)
	t, err := p.target(key)
	if err != nil {
		return server{}, err
	}
	return server{target: t, host: parsed.Host, prefix: strings.TrimRight(parsed.EscapedPath(), "/")}, nil
}

// target returns the one target with this key.
func (p *Pool) target(key targetKey) (*target, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w, ok := p.targets[key]; ok {
		if t := w.Value(); t != nil {
			return t, nil
		}
	}
	t := &target{address: key.address, connectTimeout: key.connectTimeout}
	if key.secure {
		t.tls = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			ServerName:         key.serverName,
			InsecureSkipVerify: key.insecure, //nolint:gosec // asked for by insecure_skip_verify
			NextProtos:         []string{"http/1.1"},
		}
		if key.caPEM != "" {
			t.tls.RootCAs = x509.NewCertPool()
			if !t.tls.RootCAs.AppendCertsFromPEM([]byte(key.caPEM)) {
				return nil, errors.New("tls.ca_pem: no certificate found")
			}
		}
	}
	p.targets[key] = weak.Make(t)
	for k, w := range p.targets {
		if w.Value() == nil {
			delete(p.targets, k)
		}
	}
	return t, nil
}

func (p *Pool) reader(c *conn) *bufio.Reader {
	if br, ok := p.readers.Get().(*bufio.Reader); ok {
		br.Reset(c)
		return br
	}
	return bufio.NewReaderSize(c, responseHeaderSize)
}

func (p *Pool) release(br *bufio.Reader) {
	br.Reset(nil)
	p.readers.Put(br)
}

// order calls try with the servers in the order in which a request should try
// them, until it returns false: first the scheduled one, then the others; those
// that were just unreachable last.
func (g *group) order(now int64, try func(*server) bool) {
	if len(g.servers) == 1 {
		try(&g.servers[0])
		return
	}
	first := int(g.schedule[g.next.Add(1)%uint64(len(g.schedule))])
	for _, wantDown := range [2]bool{false, true} {
		for i := range g.servers {
			s := &g.servers[(first+i)%len(g.servers)]
			if s.down(now) == wantDown && !try(s) {
				return
			}
		}
	}
}

// schedule spreads servers by their weights, smoothly: each step takes the
// server that is furthest behind its share.
func schedule(weights []uint32) []uint16 {
	scaled, length := scale(weights)
	order := make([]uint16, 0, length)
	behind := make([]int, len(weights))
	for range length {
		best := -1
		for i, w := range scaled {
			behind[i] += w
			if w > 0 && (best < 0 || behind[i] > behind[best]) {
				best = i
			}
		}
		behind[best] -= length
		order = append(order, uint16(best))
	}
	return order
}

// scale makes weights as small as their proportions allow, with a sum of about
// maxSchedule at most, and returns the sum.
func scale(weights []uint32) (scaled []int, sum int) {
	var total uint64
	for _, w := range weights {
		total += uint64(w)
	}
	divisor := uint64(gcd(weights))
	scaled = make([]int, len(weights))
	for i, w := range weights {
		n := uint64(w) / divisor
		if total/divisor > maxSchedule && w > 0 {
			n = max(1, uint64(w)*maxSchedule/total)
		}
		scaled[i] = int(n)
		sum += int(n)
	}
	return scaled, sum
}

func gcd(ns []uint32) uint32 {
	var a uint32
	for _, b := range ns {
		for b != 0 {
			a, b = b, a%b
		}
	}
	return max(a, 1)
}

func duration(d *durationpb.Duration, standard time.Duration) time.Duration {
	if v := d.AsDuration(); d != nil && v > 0 {
		return v
	}
	return standard
}
