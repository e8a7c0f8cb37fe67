// Package std is the forwarder on net/http. It is there to be grown: for upstreams
// that speak other protocols than HTTP/1.1, for which there is forward/fast.
//
// Each HTTP/1.1 connection serves one request. net/http may take bytes that arrived
// unasked on an idle connection for the answer to the next request, and gives no
// way to look before.
package std

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/gateway/internal/forward"
	"github.com/portcullis-gateway/portcullis/gateway/internal/socket"
	"github.com/portcullis-gateway/portcullis/shared/compile"
)

// Forwarder makes Upstreams. It is safe for concurrent use.
type Forwarder struct {
	mu         sync.Mutex
	transports []*http.Transport
}

// New returns a Forwarder.
func New() *Forwarder { return &Forwarder{} }

// Close closes idle connections.
func (f *Forwarder) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.transports {
		t.CloseIdleConnections()
	}
}

// Upstream is where an Api's requests go. It is safe for concurrent use.
type Upstream struct {
	forward.Settings
	production, sandbox forward.Group[*server]
}

// server is a target.
type server struct {
	*compile.Target
	transport *http.Transport
	// downUntil is the time until which other targets are preferred; nil: none.
	downUntil atomic.Pointer[time.Time]
}

// downTime is how long a target that could not be reached is avoided.
const downTime = time.Second

// Down reports whether the target was just unreachable.
func (s *server) Down(now time.Time) bool {
	until := s.downUntil.Load()
	return until != nil && now.Before(*until)
}

// Prepare is an exchange.Prepare.
func (f *Forwarder) Prepare(settings *compile.Upstream) exchange.Upstream {
	u := &Upstream{Settings: forward.Settings{Upstream: settings}}
	f.fill(&u.production, u.Settings, settings.Targets)
	f.fill(&u.sandbox, u.Settings, settings.Sandbox)
	return u
}

func (f *Forwarder) fill(g *forward.Group[*server], settings forward.Settings, targets []compile.Target) {
	servers, weights := make([]*server, len(targets)), make([]uint32, len(targets))
	for i := range targets {
		key := settings.Key(&targets[i])
		servers[i] = &server{Target: &targets[i], transport: f.transport(settings, &key)}
		weights[i] = targets[i].Weight
	}
	g.Fill(servers, weights)
}

func (f *Forwarder) transport(settings forward.Settings, key *forward.Key) *http.Transport {
	d := &dialer{key: key, tls: settings.TLSConfig(key), writeTimeout: settings.ResponseTimeout}
	t := &http.Transport{
		DialContext: d.dial, DialTLSContext: d.dial,
		DisableCompression: true, DisableKeepAlives: true,
		MaxResponseHeaderBytes: forward.MaxHeader,
		ResponseHeaderTimeout:  settings.ResponseTimeout,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	f.mu.Lock()
	f.transports = append(f.transports, t)
	f.mu.Unlock()
	return t
}

// dialer opens connections to one target.
type dialer struct {
	key          *forward.Key
	tls          *tls.Config
	writeTimeout time.Duration
}

// dialError says that there was no connection, so that nothing was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

func (d *dialer) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.key.ConnectTimeout)
	defer cancel()
	below, err := new(net.Dialer).DialContext(ctx, network, d.key.Address)
	if err != nil {
		return nil, &dialError{fmt.Errorf("connect to %s: %w", d.key.Address, err)}
	}
	c := socket.New(below)
	c.WriteTimeout = d.writeTimeout
	if d.tls == nil {
		return c, nil
	}
	secure := tls.Client(c, d.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = below.Close()
		return nil, &dialError{fmt.Errorf("connect to %s: %w", d.key.Address, err)}
	}
	return secure, nil
}
