package proxy

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/shared/compile"
)

// Bounds of an Upstream.
const (
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
func (p *Pool) Prepare(settings *compile.Upstream) exchange.Upstream { return p.Upstream(settings) } //nolint:ireturn // it is what the pipeline knows of it

// Upstream prepares compiled settings.
func (p *Pool) Upstream(settings *compile.Upstream) *Upstream {
	u := &Upstream{
		pool:            p,
		strip:           settings.StripContextPath,
		preserveHost:    settings.PreserveHost,
		responseTimeout: settings.ResponseTimeout,
		maxBody:         settings.MaxRequestBody,
		patience:        defaultPatience(),
	}
	u.production.fill(p, settings, settings.Targets)
	u.sandbox.fill(p, settings, settings.Sandbox)
	return u
}

// fill takes over a list of targets.
func (g *group) fill(p *Pool, settings *compile.Upstream, targets []compile.Target) {
	weights := make([]uint32, len(targets))
	for i, t := range targets {
		key := targetKey{address: t.Address, secure: t.Secure, connectTimeout: settings.ConnectTimeout}
		if t.Secure {
			key.caPEM, key.insecure = settings.TLS.CAPEM, settings.TLS.InsecureSkipVerify
			key.serverName = cmp.Or(settings.TLS.ServerName, t.Name)
		}
		g.servers = append(g.servers, server{target: p.target(key, settings.TLS.Roots), host: t.Host, prefix: t.Prefix})
		weights[i] = t.Weight
	}
	g.schedule = schedule(weights)
}

// target returns the one target with this key.
func (p *Pool) target(key targetKey, roots *x509.CertPool) *target {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w, ok := p.targets[key]; ok {
		if t := w.Value(); t != nil {
			return t
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
		t.tls.RootCAs = roots
	}
	p.targets[key] = weak.Make(t)
	for k, w := range p.targets {
		if w.Value() == nil {
			delete(p.targets, k)
		}
	}
	return t
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
