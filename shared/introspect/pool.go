package introspect

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxClients is how many servers a Pool knows at a time.
const maxClients = 1024

// Pool keeps a Client for each Settings, so that connections and what is known
// of a server's health survive when an issuer's other settings change. It is
// safe for concurrent use.
type Pool struct {
	mu      sync.Mutex
	clients *simplelru.LRU[ID, *Client]
	past    uint64 // openings of clients that are gone
}

// NewPool makes an empty Pool.
func NewPool() *Pool {
	p := &Pool{}
	clients, err := simplelru.NewLRU(maxClients, func(_ ID, c *Client) {
		_, times := c.Circuit()
		p.past += times
		c.Close()
	})
	if err != nil {
		panic("BUG: make LRU: " + err.Error())
	}
	p.clients = clients
	return p
}

// Client returns the Client of these settings.
func (p *Pool) Client(s *Settings) *Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.clients.Get(s.id)
	if !ok {
		c = NewClient(s)
		p.clients.Add(s.id, c)
	}
	return c
}

// Circuits returns how many servers are not asked at present because they fail,
// and how often that has begun.
func (p *Pool) Circuits() (open int, openings uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	openings = p.past
	for _, c := range p.clients.Values() {
		isOpen, times := c.Circuit()
		if isOpen {
			open++
		}
		openings += times
	}
	return open, openings
}
