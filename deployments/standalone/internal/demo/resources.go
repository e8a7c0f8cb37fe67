package demo

import "fmt"

// Names of the demo's resources.
const (
	Audience     = "https://api.demo.test"
	ClientID     = "demo-client"
	Subscription = "demo-subscription"
	ContextPath  = "/demo"
)

// Resources are the demo's issuer, Api, plan, application and subscription, in
// YAML. A subscription's status is not written, so that applying them again
// leaves what was paused as it is.
func Resources(issuer, upstream string) string {
	return fmt.Sprintf(`# The demo of Portcullis: one Api behind one JWT plan.
kind: Issuer
id: demo
name: Demo issuer
issuer: %[1]s
audiences: [%[3]s]
algorithms: [RS256]
keys:
  jwks_urls: ["%[1]s/jwks.json"]
clock_skew: 5s
max_lifetime: 24h
---
kind: Api
id: demo
name: Demo
version: 1.0.0
description: Echoes what the gateway sends to it
context_path: %[4]s
visibility: PUBLIC
upstream:
  targets: [{url: "%[2]s"}]
---
kind: Plan
id: demo-jwt
api: demo
name: Tokens of the demo issuer
security: JWT
status: PUBLISHED
auto_accept: true
jwt:
  issuers: [demo]
  claims_to_headers: [{claim: sub, header: X-User-Id}]
---
kind: Application
id: demo-application
name: Demo application
clients: [{issuer: demo, client_id: %[5]s}]
---
kind: Subscription
id: %[6]s
application: demo-application
plan: demo-jwt
`, issuer, upstream, Audience, ContextPath, ClientID, Subscription)
}
