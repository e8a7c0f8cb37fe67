//go:build linux

// Package bench runs the workloads: in each round every contender once, in an order
// that is drawn each time.
package bench

import (
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/world"
)

// Mode is how requests are made.
type Mode int

// The modes of a workload.
const (
	Saturate Mode = iota // as fast as answers come
	Paced                // at the rate at which the bare proxy is half busy
	Churn                // paced, with and without changes that arrive meanwhile
)

// Workload is what is asked of the contenders.
type Workload struct {
	Name, Title string
	Mode        Mode
	Contenders  []string
	// Algorithm of the tokens; empty: none are sent.
	Algorithm world.Algorithm
	// Tokens in rotation; 0: the same one every time.
	Tokens int
	// New: no token comes twice while it could be remembered.
	New bool
	// Mixed: every tenth token is forged.
	Mixed bool
	// Path in place of the token's.
	Path string
	// Size is the last part of the path, which names the size of the answer; empty: 100 bytes.
	Size string
	// Post sends a body of 10 KiB.
	Post bool
	// Headers, names and values in turn.
	Headers         []string
	Connections     int
	TLS             bool
	Rounds, Seconds int
}

// Names of contenders.
const (
	Bare         = "bare"
	Nginx        = "nginx"
	HAProxy      = "haproxy"
	HAProxyRS256 = "haproxy-rs256"
	HAProxyES256 = "haproxy-es256"
	Gateway      = "gateway"
	Gateway1     = "gateway-1-api"
	Gateway10k   = "gateway-10k-apis"
	GatewaySmall = "gateway-1k-subs"
)

const (
	rotation = 10_000
	// More than the gateway remembers (100,000), so that what comes round again
	// has been forgotten.
	fresh = 130_000
)

// Workloads are all, in the order in which they run.
func Workloads() []Workload {
	plain := []string{Bare, Nginx, HAProxy, Gateway}
	rs, es, ed := world.RS256, world.ES256, world.EdDSA
	all := []Workload{
		{Name: "repeated", Title: "one token repeated, RS256", Algorithm: rs, Contenders: []string{Bare, Nginx, HAProxy, HAProxyRS256, Gateway}, Rounds: 9, Seconds: 3},
		{Name: "repeated-es256", Title: "one token repeated, ES256", Algorithm: es, Contenders: []string{Bare, HAProxyES256, Gateway}, Rounds: 7, Seconds: 2},
		{Name: "rotation", Title: "10,000 tokens in rotation, RS256", Algorithm: rs, Tokens: rotation, Contenders: []string{Bare, Nginx, HAProxy, HAProxyRS256, Gateway}, Rounds: 7, Seconds: 2},
		{Name: "new-rs256", Title: "every token new, RS256", Algorithm: rs, Tokens: fresh, New: true, Contenders: []string{Bare, HAProxyRS256, Gateway}, Rounds: 7, Seconds: 2},
		{Name: "new-es256", Title: "every token new, ES256", Algorithm: es, Tokens: fresh, New: true, Contenders: []string{Bare, HAProxyES256, Gateway}, Rounds: 7, Seconds: 2},
		{Name: "new-eddsa", Title: "every token new, EdDSA", Algorithm: ed, Tokens: fresh, New: true, Contenders: []string{Bare, Gateway}, Rounds: 7, Seconds: 2},
		{Name: "invalid", Title: "10,000 tokens in rotation, every tenth forged", Algorithm: rs, Tokens: rotation, Mixed: true, Contenders: []string{Bare, HAProxyRS256, Gateway}, Rounds: 7, Seconds: 1},
		{Name: "body-1k", Title: "answers of 1 KiB", Size: "1k"},
		{Name: "body-10k", Title: "answers of 10 KiB", Size: "10k"},
		{Name: "body-100k", Title: "answers of 100 KiB", Size: "100k"},
		{Name: "post-10k", Title: "POST with a body of 10 KiB", Post: true},
		{Name: "conns-1000", Title: "1,000 connections", Connections: 1000},
		{Name: "keyless", Title: "keyless plan", Path: "/open/orders/1"},
		{Name: "apikey", Title: "API key", Path: "/keyed/orders/1", Headers: []string{world.APIKeyHeader, world.APIKey}},
		{Name: "tls", Title: "TLS 1.3 to the client", TLS: true},
		{Name: "half", Title: "at half of the bare proxy's saturation", Mode: Paced, Algorithm: rs, Contenders: plain, Rounds: 15, Seconds: 1},
		{Name: "growth", Title: "growth: tokens in rotation over larger worlds", Algorithm: rs, Tokens: rotation, Contenders: []string{Gateway1, Gateway10k, GatewaySmall, Gateway}, Rounds: 7, Seconds: 2},
		{Name: "growth-one", Title: "growth: one token in larger worlds", Algorithm: rs, Contenders: []string{Gateway1, Gateway10k, GatewaySmall, Gateway}, Rounds: 7, Seconds: 1},
		{Name: "churn", Title: "20,000 changes/s, at half of saturation", Mode: Churn, Algorithm: rs, Contenders: []string{Gateway}, Rounds: 7, Seconds: 5},
	}
	for i := range all {
		w := &all[i]
		if w.Contenders == nil { // one of the side workloads
			w.Contenders, w.Rounds, w.Seconds = plain, 7, 1
			if w.Path == "" {
				w.Algorithm = rs
			}
		}
		if w.Connections == 0 {
			w.Connections = 64
		}
	}
	return all
}

// grown are the worlds, by contender, that growth is measured against: gateways
// without a control plane, which read them from a file.
func grown() map[string]world.Sizes {
	return map[string]world.Sizes{
		Gateway1:     {Apis: 1, Applications: 1000, Subscriptions: 1},
		Gateway10k:   {Apis: 10_000, Applications: 1000, Subscriptions: 10},
		GatewaySmall: {Apis: world.Million().Apis, Applications: 100, Subscriptions: 10},
	}
}
