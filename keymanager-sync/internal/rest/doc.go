// Package rest is the control plane's REST interface: it decodes requests, names
// the actor, hands commands to the ledger, and answers reads from the store. It
// decides nothing about resources by itself.
//
// Every address but the four open ones (/healthz, /readyz, /metrics,
// /openapi.yaml) asks for a token; there is no way to switch that off.
package rest

//go:generate go run ./openapi/generate
