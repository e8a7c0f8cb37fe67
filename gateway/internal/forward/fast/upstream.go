// Package fast is the forwarder for upstreams that speak HTTP/1.1. It holds its
// connections itself, because before each use it looks whether one is open and
// quiet: an answer that nobody asked for must not become the answer to somebody
// else's request. A request is sent a second time only if nothing of it was sent.
package fast

import (
	"bufio"
	"sync"
	"weak"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward"
	"github.com/portcullis-gateway/portcullis/shared/compile"
)

// Pool holds the connections to all upstreams. It knows targets by their keys, so
// an Upstream that is compiled again keeps its connections. A target that no
// Upstream uses any more is forgotten when its last connections have been idle for
// 30 s. Pool is safe for concurrent use.
type Pool struct {
	mu      sync.Mutex
	targets map[forward.Key]weak.Pointer[target]

	readers   sync.Pool // *bufio.Reader
	scratches sync.Pool // *scratch
	blocks    sync.Pool // *[copySize]byte
}

// NewPool returns an empty Pool.
func NewPool() *Pool {
	return &Pool{targets: make(map[forward.Key]weak.Pointer[target])}
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

// Upstream is where an Api's requests go. It is immutable but for its position in
// the order of targets, and safe for concurrent use.
type Upstream struct {
	forward.Settings
	pool                *Pool
	production, sandbox forward.Group[*server]
}

// server is a target with what an Upstream says about it.
type server struct {
	*target
	says *compile.Target
}

// Prepare is an exchange.Prepare.
func (p *Pool) Prepare(settings *compile.Upstream) exchange.Upstream { return p.Upstream(settings) }

// Upstream prepares compiled settings.
func (p *Pool) Upstream(settings *compile.Upstream) *Upstream {
	u := &Upstream{Settings: forward.Settings{Upstream: settings}, pool: p}
	p.fill(&u.production, u.Settings, settings.Targets)
	p.fill(&u.sandbox, u.Settings, settings.Sandbox)
	return u
}

func (p *Pool) fill(g *forward.Group[*server], settings forward.Settings, targets []compile.Target) {
	servers, weights := make([]*server, len(targets)), make([]uint32, len(targets))
	for i := range targets {
		servers[i] = &server{target: p.target(settings, settings.Key(&targets[i])), says: &targets[i]}
		weights[i] = targets[i].Weight
	}
	g.Fill(servers, weights)
}

// target returns the one target with this key.
func (p *Pool) target(settings forward.Settings, key forward.Key) *target {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w, ok := p.targets[key]; ok {
		if t := w.Value(); t != nil {
			return t
		}
	}
	t := &target{address: key.Address, connectTimeout: key.ConnectTimeout, tls: settings.TLSConfig(&key)}
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
	return bufio.NewReaderSize(c, forward.MaxHeader)
}

func (p *Pool) release(br *bufio.Reader) {
	br.Reset(nil)
	p.readers.Put(br)
}

func (p *Pool) scratch() *scratch {
	if m, ok := p.scratches.Get().(*scratch); ok {
		return m
	}
	return new(scratch)
}

func (p *Pool) block() *[copySize]byte {
	if b, ok := p.blocks.Get().(*[copySize]byte); ok {
		return b
	}
	return new([copySize]byte)
}
