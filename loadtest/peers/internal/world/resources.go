//go:build linux

// Package world is what the gateway decides by in the comparison: a control plane
// with 100,000 applications and 1,000,000 subscriptions, issuers with keys of three
// kinds, and tokens of those applications. It is prepared once and kept.
package world

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// Sizes of a world.
type Sizes struct {
	Apis          int // each with one JWT plan
	Applications  int
	Subscriptions int // of each application
}

// Million is the size that the comparison promises.
func Million() Sizes { return Sizes{Apis: 100, Applications: 100_000, Subscriptions: 10} }

// APIKey opens the Api on /keyed, for every caller.
const (
	APIKey       = "peers-9f2c1b7ad04e4c6f8a35d1e07b62c948"
	APIKeyHeader = "X-Api-Key"
)

// Audience is in every token and asked for by every issuer.
const Audience = "https://api.acme.test"

// api is the Api of an application's j-th subscription: each time another one.
func (s Sizes) api(application, j int) int {
	return (application + j*max(1, s.Apis/s.Subscriptions)) % s.Apis
}

// Path is the path of a request that the application's k-th token may make.
func (s Sizes) path(application, k int) string {
	return fmt.Sprintf("/api-%d/orders/1", s.api(application, k%s.Subscriptions))
}

// Foreign is a path that the application is not subscribed to.
func (s Sizes) foreign(application int) string {
	mine := map[int]bool{}
	for j := range s.Subscriptions {
		mine[s.api(application, j)] = true
	}
	for i := range s.Apis {
		if !mine[i] {
			return fmt.Sprintf("/api-%d/orders/1", i)
		}
	}
	return ""
}

// Client is the client id of an application; its issuer is Algorithms()[application%3].
func client(application int) string { return fmt.Sprintf("client-%06d", application) }

type object = map[string]any

// Write writes all resources as NDJSON.
func Write(w io.Writer, s Sizes, keys *Keys, upstream string) error {
	out := bufio.NewWriterSize(w, 1<<20)
	e := &encoder{Encoder: json.NewEncoder(out)}
	var issuers []string
	for _, alg := range Algorithms() {
		issuers = append(issuers, alg.issuerID())
		e.write(object{
			"kind": "Issuer", "id": alg.issuerID(), "issuer": alg.Issuer(), "audiences": []string{Audience},
			"algorithms": []string{string(alg)}, "keys": object{"jwks": keys.jwks(alg)},
		})
	}
	for i := range s.Apis {
		e.api(fmt.Sprint("api-", i), upstream)
		e.write(object{
			"kind": "Plan", "id": fmt.Sprint("plan-", i), "api": fmt.Sprint("api-", i), "security": "JWT",
			"status": "PUBLISHED", "jwt": object{"issuers": issuers},
		})
	}
	e.others(upstream)
	for i := range s.Applications {
		e.write(object{
			"kind": "Application", "id": fmt.Sprintf("app-%06d", i), "name": "Application of load", "owner": "team-load",
			"clients": []object{{"issuer": algorithmOf(i).issuerID(), "client_id": client(i)}},
		})
		for j := range s.Subscriptions {
			e.write(object{
				"kind": "Subscription", "id": SubscriptionID(i, j), "application": fmt.Sprintf("app-%06d", i),
				"plan": fmt.Sprint("plan-", s.api(i, j)), "status": "ACCEPTED",
			})
		}
	}
	if e.err != nil {
		return e.err
	}
	return out.Flush()
}

// SubscriptionID is the id of an application's j-th subscription.
func SubscriptionID(application, j int) string { return fmt.Sprintf("sub-%06d-%d", application, j) }

type encoder struct {
	*json.Encoder
	err error
}

func (e *encoder) write(o object) {
	if e.err == nil {
		e.err = e.Encode(o)
	}
}

func (e *encoder) api(id, upstream string) {
	e.write(object{"kind": "Api", "id": id, "context_path": "/" + id, "upstream": object{"targets": []object{{"url": upstream}}}})
}

// others are the Apis without tokens: one open to all, one for API keys.
func (e *encoder) others(upstream string) {
	e.api("open", upstream)
	e.write(object{"kind": "Plan", "id": "open", "api": "open", "security": "KEYLESS", "status": "PUBLISHED"})
	e.api("keyed", upstream)
	e.write(object{
		"kind": "Plan", "id": "keyed", "api": "keyed", "security": "API_KEY", "status": "PUBLISHED",
		"api_key": object{"header": APIKeyHeader},
	})
	hash := sha256.Sum256([]byte(APIKey))
	e.write(object{
		"kind": "Application", "id": "script", "owner": "team-load",
		"api_keys": []object{{"id": "k1", "sha256": hex.EncodeToString(hash[:])}},
	})
	e.write(object{"kind": "Subscription", "id": "script", "application": "script", "plan": "keyed", "status": "ACCEPTED"})
}
