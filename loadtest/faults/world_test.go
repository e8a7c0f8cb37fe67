package faults_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"
)

const (
	issuerURL = "https://issuer.test"
	echoPath  = "/echo"
)

// issuer signs tokens; its public key is in the resource, so that no process has
// to fetch it.
type issuer struct {
	iss, kid string
	key      ed25519.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{issuerURL, "k1", key}
}

func (i *issuer) x() string {
	public, _ := i.key.Public().(ed25519.PublicKey)
	return base64.RawURLEncoding.EncodeToString(public)
}

// token is one of a client, good for an hour.
func (i *issuer) token(client string, more map[string]any) string {
	claims := map[string]any{
		"iss": i.iss, "sub": client, "client_id": client, "azp": client,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(claims, more)
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // maps of plain values
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]string{"alg": "EdDSA", "kid": i.kid, "typ": "JWT"}) + "." + part(claims)
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(i.key, []byte(signed)))
}

// world is an Api that is secured by the issuer's tokens.
func (i *issuer) world(upstream string) string {
	return fmt.Sprintf(`
kind: Issuer
id: issuer
issuer: %s
client_id_claims: [client_id]
keys: {jwks: {keys: [{kty: OKP, crv: Ed25519, kid: %s, alg: EdDSA, use: sig, x: %s}]}}
---
kind: Api
id: echo
context_path: %s
upstream: {targets: [{url: "%s"}]}
---
kind: Plan
id: gold
api: echo
security: JWT
status: PUBLISHED
auto_accept: true
jwt: {issuers: [issuer]}
`, i.iss, i.kid, i.x(), echoPath, upstream)
}

// consumer is an application and its accepted subscription, both with one id,
// which is also the client id.
func consumer(id, name string) string {
	return fmt.Sprintf(`---
kind: Application
id: %[1]s
name: %[2]s
owner: %[2]s
clients: [{issuer: issuer, client_id: %[1]s}]
---
kind: Subscription
id: %[1]s
application: %[1]s
plan: gold
status: ACCEPTED
`, id, name)
}
