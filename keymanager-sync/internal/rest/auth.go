package rest

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// role is what a token opens.
type role int

const (
	nobody role = iota
	node
	admin
)

// identity is who asks.
type identity struct {
	role role
	name string
}

// tokens knows the hashes of the tokens that open the API.
type tokens struct {
	list []knownToken
}

type knownToken struct {
	hash [sha256.Size]byte
	identity
}

func newTokens(admins map[string]string, nodeToken string) (*tokens, error) {
	if len(admins) == 0 {
		return nil, errors.New("no admin token (hint: set PORTCULLIS_ADMIN_TOKEN)")
	}
	t := new(tokens)
	names := make([]string, 0, len(admins))
	for name := range admins {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.TrimSpace(admins[name]) == "" {
			return nil, fmt.Errorf("the admin token %q is empty", name)
		}
		if admins[name] == nodeToken {
			return nil, fmt.Errorf("the admin token %q is the node token, too (hint: give nodes a token of their own)", name)
		}
		t.list = append(t.list, knownToken{sha256.Sum256([]byte(admins[name])), identity{admin, name}})
	}
	if nodeToken != "" {
		t.list = append(t.list, knownToken{sha256.Sum256([]byte(nodeToken)), identity{node, "node"}})
	}
	return t, nil
}

// identify compares with every token, whatever the outcome of the others, so
// that the time it takes says nothing about any of them.
func (t *tokens) identify(r *http.Request) identity {
	found := identity{}
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return found
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return found
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(token)))
	for i := range t.list {
		if subtle.ConstantTimeCompare(hash[:], t.list[i].hash[:]) == 1 {
			found = t.list[i].identity
		}
	}
	return found
}

const (
	failureBurst     = 20
	failureRefill    = time.Second // per failure
	failureAddresses = 10_000
)

// failures slows down what a flood of bad tokens costs, per address. A good
// token always passes: otherwise one misconfigured node would lock out every
// administrator behind the same address.
type failures struct {
	mu        sync.Mutex
	addresses map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// allow takes one failure out of an address's bucket; false: it is empty.
func (f *failures) allow(address string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.addresses[address]
	if !ok {
		if len(f.addresses) >= failureAddresses {
			clear(f.addresses) // bounded memory matters more than a perfect count
		}
		b = bucket{left: failureBurst, at: now}
	}
	b.left = min(failureBurst, b.left+now.Sub(b.at).Seconds()/failureRefill.Seconds())
	b.at = now
	allowed := b.left >= 1
	if allowed {
		b.left--
	}
	f.addresses[address] = b
	return allowed
}

// unauthorized is the answer to a request without a valid token.
func unauthorized(r *http.Request) *problem {
	detail, challenge := "this address needs a token (hint: Authorization: Bearer <token>)", `Bearer realm="portcullis"`
	if r.Header.Get("Authorization") != "" {
		detail, challenge = "the token is not valid here", `Bearer realm="portcullis", error="invalid_token"`
	}
	return newProblem(http.StatusUnauthorized, "unauthorized", detail).with("WWW-Authenticate", challenge)
}
