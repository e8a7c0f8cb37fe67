package faults_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

// spoil is a fault in an otherwise good file, and what a person needs to know
// to find and correct it.
type spoil struct {
	name string
	// The first occurrence of old becomes new; without old, new is added at the end.
	old, new string
	// at is in the line that is to be named, and in no earlier one.
	at string
	// What is to be named: the resource's id and the field; empty: neither is known.
	id, field string
	// say are words without which the message helps nobody.
	say []string
	// hide is a secret that no message may repeat.
	hide string
	// noFile: the file alone is in order, because it has no past.
	noFile bool
}

// text is the spoiled contract, and the line of the fault.
func (s spoil) text(t *testing.T, contract string) (text string, line int) {
	t.Helper()
	if text = contract + s.new; s.old != "" {
		if !strings.Contains(contract, s.old) {
			t.Fatalf("the contract has no %q", s.old)
		}
		text = strings.Replace(contract, s.old, s.new, 1)
	}
	before, _, found := strings.Cut(text, s.at)
	if !found || s.at == "" {
		t.Fatalf("the spoiled contract has no %q", s.at)
	}
	return text, 1 + strings.Count(before, "\n")
}

// spoils are the faults that people make: in the text, in the values, in what
// belongs together, and in what is safe.
func spoils(t *testing.T) []spoil {
	t.Helper()
	all := textSpoils()
	all = append(all, valueSpoils()...)
	all = append(all, expressionSpoils()...)
	all = append(all, keySpoils(t)...)
	all = append(all, referenceSpoils()...)
	return append(all, lifecycleSpoils()...)
}

func textSpoils() []spoil {
	return []spoil{
		{
			name: "unknown field", old: "context_path: /orders", new: "context_pth: /orders", at: "context_pth",
			id: "orders", field: "context_pth", say: []string{"unknown field", `"context_path"`},
		},
		{
			name: "another product's spelling", old: "claims_to_headers:", new: "claimsToHeaders:", at: "claimsToHeaders",
			id: "orders-jwt", field: "jwt.claimsToHeaders", say: []string{"unknown field", `"claims_to_headers"`},
		},
		{
			name: "bad YAML", old: "name: Orders", new: "name: Orders: all of them", at: "Orders: all",
			say: []string{"YAML", "mapping values are not allowed"},
		},
		{
			name: "unclosed quote", old: `reason: phone lost`, new: `reason: "phone lost`, at: `reason: "phone`,
			say: []string{"YAML", "quote"},
		},
		{
			name: "duplicate key", old: "status: STAGING", new: "status: STAGING\nstatus: PUBLISHED", at: "status: PUBLISHED\norder: 2",
			id: "orders-key", field: "status", say: []string{"twice"},
		},
		{
			name: "unknown kind", old: "kind: Revocation", new: "kind: Revocations", at: "kind: Revocations",
			field: "kind", say: []string{"unknown kind", `"Revocation"`},
		},
		{
			name: "kind that only the control plane writes", new: "---\nkind: KeySet\nid: acme\n", at: "kind: KeySet",
			field: "kind", say: []string{"KeySet", "control plane only"},
		},
		{
			name: "deployment", new: "---\nkind: Deployment\nid: orders\nrevision: 7\n", at: "kind: Deployment",
			field: "kind", say: []string{"Deployment", "control plane only"},
		},
		{
			name: "the same resource twice", new: "---\nkind: Application\nid: mobile\nname: Another # again\n", at: "id: mobile\nname: Another",
			id: "mobile", field: "id", say: []string{"twice", "keep one"},
		},
		{
			name: "no id", old: "id: orders-key\n", new: "", at: "kind: Plan\napi: orders\nname: Scripts",
			field: "id", say: []string{"required"},
		},
		{
			name: "id with capitals", old: "id: mobile-orders", new: "id: Mobile-Orders", at: "id: Mobile-Orders",
			id: "Mobile-Orders", field: "id", say: []string{"a-z", `"mobile-orders"`},
		},
	}
}

func valueSpoils() []spoil {
	return []spoil{
		{
			name: "text for a truth value", old: "auto_accept: true", new: "auto_accept: maybe", at: "auto_accept: maybe",
			id: "orders-jwt", field: "auto_accept", say: []string{`"maybe"`, "true or false"},
		},
		{
			name: "number for a text", old: "version: 1.0.0", new: "version: 1.0", at: "version: 1.0\n",
			id: "orders", field: "version", say: []string{"expected text", `"1.0"`},
		},
		{
			name: "text for a list", old: "issuers: [acme, partner]", new: "issuers: acme", at: "issuers: acme",
			id: "orders-jwt", field: "jwt.issuers", say: []string{"expected a list", "[ ]"},
		},
		{
			name: "bad enum", old: "status: STAGING", new: "status: STAGED", at: "status: STAGED",
			id: "orders-key", field: "status", say: []string{`"STAGED"`, "STAGING"},
		},
		{
			name: "bad duration", old: "ttl: 60m", new: "ttl: 60 minutes", at: "ttl: 60 minutes",
			id: "acme", field: "jwks.ttl", say: []string{"60 minutes", "60m"},
		},
		{
			name: "duration without a unit", old: "response_timeout: 30s", new: "response_timeout: 30", at: "response_timeout: 30\n",
			id: "orders", field: "upstream.response_timeout", say: []string{"duration", "30s"},
		},
		{
			name: "duration out of bounds", old: "connect_timeout: 2s", new: "connect_timeout: 2h", at: "connect_timeout: 2h",
			id: "orders", field: "upstream.connect_timeout", say: []string{"2h", "10m"},
		},
		{
			name: "bad size", old: "max_request_body: 10MiB", new: "max_request_body: 10MB", at: "max_request_body: 10MB",
			id: "orders", field: "upstream.max_request_body", say: []string{`"10MB"`, "10MiB"},
		},
		{
			name: "bad time", old: "starts_at: 2026-01-01T00:00:00Z", new: "starts_at: 2026-01-01", at: "starts_at: 2026-01-01\n",
			id: "mobile-orders", field: "starts_at", say: []string{"2026-01-01", "RFC 3339"},
		},
		{
			name: "ends before it starts", old: "ends_at: 2036-01-01", new: "ends_at: 2025-01-01", at: "ends_at: 2025-01-01",
			id: "mobile-orders", field: "ends_at", say: []string{"not after starts_at"},
		},
		{
			name: "path without a slash", old: "context_path: /orders", new: "context_path: orders", at: "context_path: orders",
			id: "orders", field: "context_path", say: []string{"slash", "/orders"},
		},
		{
			name: "upstream without a scheme", old: `url: "http://127.0.0.1:8091"`, new: `url: "127.0.0.1:8091"`, at: `url: "127.0.0.1:8091"`,
			id: "orders", field: "upstream.targets[0].url", say: []string{"127.0.0.1:8091", "http"},
		},
		{
			name: "limit of nothing", old: "requests: 1000000, period: 24h", new: "requests: 0, period: 24h", at: "requests: 0,",
			id: "orders-jwt", field: "restrictions.quota.requests", say: []string{"0", "1"},
		},
		{
			name: "header that is not free", old: "header: X-User-Id", new: "header: Host", at: "header: Host",
			id: "orders-jwt", field: "jwt.claims_to_headers[0].header", say: []string{"Host"},
		},
		{
			name: "revocation of two things", old: "jti: 7f9c2b6e", new: "subject: alice\njti: 7f9c2b6e", at: "jti: 7f9c2b6e",
			id: "lost-phone", field: "jti", say: []string{"subject", "jti", "exclude each other"},
		},
		{
			name: "API key without a hash", old: "{id: k1, sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824}",
			new: "{id: k1}", at: "api_keys: [{id: k1}]",
			id: "mobile", field: "api_keys[0].sha256", say: []string{"64 hexadecimal digits"},
		},
		{
			name: "API key in clear", old: "sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
			new: "sha256: hello", at: "sha256: hello",
			id: "mobile", field: "api_keys[0].sha256", say: []string{"64 hexadecimal digits", "sha256sum"}, hide: "hello",
		},
	}
}

func expressionSpoils() []spoil {
	return []spoil{
		{
			name: "CEL in selection_rule", old: `"!('x-internal' in request.headers)"`, new: `"!('x-internal' in request.headres)"`, at: "headres",
			id: "orders-jwt", field: "selection_rule", say: []string{"headres"},
		},
		{
			name: "CEL in token_from", old: `token_from: ""`, new: `token_from: "request.cookies['session'"`, at: "token_from:",
			id: "orders-jwt", field: "jwt.token_from", say: []string{"1:"},
		},
		{
			name: "CEL in a claim rule", old: `"claims.level >= 2"`, new: `"claim.level >= 2"`, at: "claim.level",
			id: "orders-jwt", field: "jwt.claim_rules[1].expression", say: []string{"claim", "undeclared"},
		},
		{
			name: "CEL in a limit's key", old: `key: ""`, new: `key: "request.nowhere"`, at: "request.nowhere",
			id: "orders-jwt", field: "restrictions.rate_limit.key", say: []string{"nowhere"},
		},
		{
			name: "CEL that gives no truth value", old: `"!('x-internal' in request.headers)"`, new: `"request.path"`, at: `"request.path"`,
			id: "orders-jwt", field: "selection_rule", say: []string{"string", "bool"},
		},
		{
			name: "CEL that gives no text", old: `token_from: ""`, new: `token_from: "1 + 1"`, at: `"1 + 1"`,
			id: "orders-jwt", field: "jwt.token_from", say: []string{"int", "string"},
		},
	}
}

// weakRSA is a key that was good enough in 2005.
func weakRSA(t *testing.T) *rsa.PublicKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func keySpoils(t *testing.T) []spoil {
	t.Helper()
	const partner = "kid: p1, alg: EdDSA, use: sig, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}"
	weak := weakRSA(t)
	der, err := x509.MarshalPKIXPublicKey(weak)
	if err != nil {
		t.Fatal(err)
	}
	armoured := strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "\n", `\n`)
	jwk := fmt.Sprintf("{kty: RSA, kid: old, alg: RS256, use: sig, n: %s, e: AQAB}", base64.RawURLEncoding.EncodeToString(weak.N.Bytes()))
	return []spoil{
		{
			name: "alg none", old: "algorithms: [RS256, ES256]", new: "algorithms: [RS256, none]", at: "algorithms: [RS256, none]",
			id: "acme", field: "algorithms[1]", say: []string{"unsigned tokens", "never"},
		},
		{
			name: "weak RSA key alone in a key set", old: "{kty: OKP, crv: Ed25519, " + partner, new: jwk, at: "kid: old",
			id: "partner", field: "keys.jwks.keys[0]", say: []string{"1024", "2048"},
		},
		{
			name: "weak RSA key in PEM", old: "pem: []", new: `pem: ["` + armoured + `"]`, at: "BEGIN PUBLIC KEY",
			id: "acme", field: "keys.pem[0]", say: []string{"1024", "2048"},
		},
		{
			name: "weak secret", old: "hmac_secrets: []", new: "hmac_secrets: [{value: too-short}]", at: "too-short",
			id: "acme", field: "keys.hmac_secrets[0]", say: []string{"9 bytes", "32"}, hide: "too-short",
		},
		{
			name: "private key in a key set", old: partner, new: partner[:len(partner)-1] + ", d: nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A}", at: "d: nWG",
			id: "partner", field: "keys.jwks.keys[0]", say: []string{"private key", "public key"}, hide: "nWGxne",
		},
		{
			name: "key that no algorithm fits", old: "algorithms: [EdDSA]", new: "algorithms: [ES256]", at: "kid: p1",
			id: "partner", field: "keys.jwks.keys[0]", say: []string{"algorithms"},
		},
		{
			name: "no keys", old: `jwks_urls: ["http://127.0.0.1:8090/jwks.json"]`, new: "jwks_urls: []", at: "keys:\n  jwks_urls: []",
			id: "acme", field: "keys", say: []string{"without keys", "keys.jwks_urls"},
		},
	}
}

func referenceSpoils() []spoil {
	return []spoil{
		{
			name: "plan of no Api", old: "api: orders\nname: Scripts", new: "api: ordres\nname: Scripts", at: "api: ordres",
			id: "orders-key", field: "api", say: []string{`"ordres"`, `"orders"`},
		},
		{
			name: "plan with no issuer", old: "issuers: [acme, partner]", new: "issuers: [acme, partnr]", at: "partnr",
			id: "orders-jwt", field: "jwt.issuers[1]", say: []string{`"partnr"`, `"partner"`},
		},
		{
			name: "client of no issuer", old: "{issuer: acme, client_id", new: "{issuer: acne, client_id", at: "issuer: acne",
			id: "mobile", field: "clients[0].issuer", say: []string{`"acne"`, `"acme"`},
		},
		{
			name: "subscription of no application", old: "application: mobile", new: "application: mobil", at: "application: mobil\n",
			id: "mobile-orders", field: "application", say: []string{`"mobil"`, `"mobile"`},
		},
		{
			name: "subscription to no plan", old: "plan: orders-jwt", new: "plan: orders-jvt", at: "plan: orders-jvt",
			id: "mobile-orders", field: "plan", say: []string{`"orders-jvt"`, `"orders-jwt"`},
		},
		{
			name: "revocation of no issuer", old: "issuer: acme\njti", new: "issuer: acmee\njti", at: "issuer: acmee",
			id: "lost-phone", field: "issuer", say: []string{`"acmee"`, `"acme"`},
		},
		{
			name: "client_id of two applications",
			new:  "---\nkind: Application\nid: tablet\nclients:\n  - {issuer: partner, client_id: mobile-app}\n  - {issuer: acme, client_id: mobile-app, environment: PRODUCTION} # taken\n",
			at:   "environment: PRODUCTION} # taken", id: "tablet", field: "clients[1].client_id", say: []string{`"mobile-app"`, `"mobile"`},
		},
		{
			name: "two Apis on one path",
			new:  "---\nkind: Api\nid: orders-too\nname: Orders, too\ncontext_path: /orders # taken\nupstream: {targets: [{url: \"http://127.0.0.1:8092\"}]}\n",
			at:   "context_path: /orders # taken", id: "orders-too", field: "context_path", say: []string{"/orders", `"orders"`},
		},
		{
			name: "two Issuers of one iss",
			new:  "---\nkind: Issuer\nid: partner-too\nissuer: https://partner.test # taken\nkeys: {jwks_urls: [\"http://127.0.0.1:8090/jwks.json\"]}\n",
			at:   "https://partner.test # taken", id: "partner-too", field: "issuer", say: []string{"https://partner.test", `"partner"`},
		},
		{
			name: "subscription to a keyless plan",
			new: "---\nkind: Plan\nid: orders-free\napi: orders\nsecurity: KEYLESS\nstatus: PUBLISHED\norder: 9\n" +
				"---\nkind: Subscription\nid: mobile-free\napplication: mobile\nplan: orders-free\n",
			at: "plan: orders-free", id: "mobile-free", field: "plan", say: []string{`"orders-free"`, "keyless"},
		},
		{
			name: "a second subscription to the same plan",
			new:  "---\nkind: Subscription\nid: mobile-again\napplication: mobile\nplan: orders-jwt\n",
			at:   "kind: Subscription\nid: mobile-again", id: "mobile-again", say: []string{`"mobile"`, `"mobile-orders"`, `"orders-jwt"`},
		},
	}
}

// past is what the control planes hold besides the contract, so that some steps
// are not open any more.
const past = `
kind: Plan
id: orders-closed
api: orders
security: KEYLESS
status: CLOSED
---
kind: Application
id: declined
---
kind: Subscription
id: declined
application: declined
plan: orders-jwt
status: PENDING
`

func lifecycleSpoils() []spoil {
	return []spoil{
		{
			name: "subscription to a closed plan",
			new: "---\nkind: Plan\nid: orders-ended\napi: orders\nsecurity: API_KEY\nstatus: CLOSED\n" +
				"---\nkind: Subscription\nid: mobile-ended\napplication: mobile\nplan: orders-ended\n",
			at: "plan: orders-ended", id: "mobile-ended", field: "plan", say: []string{`"orders-ended"`, "CLOSED"},
		},
		{
			name: "a closed plan opened again", noFile: true,
			new: "---\nkind: Plan\nid: orders-closed\napi: orders\nsecurity: KEYLESS\nstatus: PUBLISHED # again\n",
			at:  "status: PUBLISHED # again", id: "orders-closed", field: "status", say: []string{"CLOSED", "PUBLISHED"},
		},
		{
			name: "a rejected subscription accepted", noFile: true,
			new: "---\nkind: Application\nid: declined\n---\nkind: Subscription\nid: declined\napplication: declined\nplan: orders-jwt\nstatus: ACCEPTED # after all\n",
			at:  "status: ACCEPTED # after all", id: "declined", field: "status", say: []string{"REJECTED", "ACCEPTED"},
		},
		{
			name: "a subscription moved to another plan", noFile: true, old: "plan: orders-jwt", new: "plan: orders-key", at: "plan: orders-key",
			id: "mobile-orders", field: "plan", say: []string{`"orders-jwt"`, `"orders-key"`, "another Subscription"},
		},
		{
			name: "another kind of security", noFile: true, at: "security: KEYLESS",
			old: "security: API_KEY\nstatus: STAGING\norder: 2\napi_key: {header: X-Api-Key, query: \"\"}", new: "security: KEYLESS\nstatus: STAGING\norder: 2",
			id: "orders-key", field: "security", say: []string{`"API_KEY"`, `"KEYLESS"`},
		},
	}
}
