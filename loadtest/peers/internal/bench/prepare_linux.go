package bench

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/contend"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/load"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/serve"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/world"
)

const postSize = 10 << 10

// prepare says what a contender is sent, and what it must answer to single
// requests before anything is measured.
func (b *Bench) prepare(w Workload, e *entrant) ([]contend.Probe, error) {
	sizes, ok := grown()[e.Name]
	if !ok {
		sizes = b.World.Sizes
	}
	// Sent by API clients everywhere.
	q := load.Requests{Connections: w.Connections, Headers: []string{"Accept", "application/json", "User-Agent", "orders-client/2.1"}}
	q.Headers = append(q.Headers, w.Headers...)
	p := contend.Probe{What: "an allowed request", Path: w.Path, Headers: q.Headers, Status: http.StatusOK, Answer: []byte(serve.Answer)}
	if w.Size != "" {
		p.Answer = serve.Bodies()[w.Size]
	}
	if w.Post {
		q.Method, q.Body = http.MethodPost, filepath.Join(b.Wrk.Dir, "body")
		p.Method, p.Body = q.Method, bytes.Repeat([]byte("0123456789abcdef"), postSize/16)
		if err := os.WriteFile(q.Body, p.Body, 0o600); err != nil {
			return nil, err
		}
	}
	probes := []contend.Probe{p}
	if w.Algorithm != "" {
		var err error
		if probes, err = b.authorize(w, e, sizes, &q, p); err != nil {
			return nil, err
		}
	}
	q.Path = probes[0].Path
	e.requests = q
	return probes, nil
}

// authorize adds tokens to what is sent; who checks them has to refuse some.
func (b *Bench) authorize(w Workload, e *entrant, s world.Sizes, q *load.Requests, p contend.Probe) ([]contend.Probe, error) {
	one, err := b.World.One(s, w.Algorithm)
	if err != nil {
		return nil, err
	}
	p.Path = one.Path
	if w.Size != "" {
		p.Path = filepath.Dir(one.Path) + "/" + w.Size
	}
	plain := p
	with := func(what, token string, status int) contend.Probe {
		c := plain
		c.What, c.Status = what, status
		c.Headers = append(append([]string{}, p.Headers...), "Authorization", "Bearer "+token)
		if status != http.StatusOK {
			c.Answer = nil
		}
		return c
	}
	probes := []contend.Probe{with("an allowed request", one.Compact, http.StatusOK)}
	if e.denied {
		without := plain
		without.What, without.Status, without.Answer = "a request without a token", http.StatusUnauthorized, nil
		probes = append(probes, without, with("a forged token", string(world.Forge([]byte(one.Compact))), http.StatusUnauthorized))
	}
	if path := s.Foreign(one); e.Kind == contend.Gateway && path != "" {
		foreign := with("an Api without a subscription", one.Compact, http.StatusForbidden)
		foreign.Path = path
		probes = append(probes, foreign)
	}
	switch {
	case w.Mixed:
		q.Lines, err = b.World.Mixed(s, w.Algorithm, w.Tokens)
	case w.Tokens > 0:
		q.Lines, err = b.World.Tokens(s, w.Algorithm, w.Tokens)
	default:
		q.Headers = probes[0].Headers
	}
	return probes, err
}
