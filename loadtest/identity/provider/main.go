// Command provider is an OAuth 2.0 and OpenID Connect provider for tests, made of
// ory/fosite. It is a separate module, so that nothing it needs becomes a part
// of the product's module graph.
//
//	provider
//
// It listens on a free port of loopback and prints its base URL on the first line.
// There are two issuers, BASE/jwt with RS256 access tokens and BASE/opaque with
// opaque ones. Each has discovery, a token endpoint for client credentials (RFC
// 6749 section 4.4), introspection (RFC 7662) and revocation (RFC 7009). The one
// client is "client" with the secret "secret". For tests there are also
//
//	POST BASE/rotate   a new key signs; ?keep=true leaves the old one in the key set
//	GET  BASE/fetches  how often the key set was fetched, as a number
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/crypto/bcrypt"
)

func main() {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	base := "http://" + ln.Addr().String()
	keys := &keyRing{}
	if err := keys.rotate(false); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /rotate", keys.serveRotate)
	mux.HandleFunc("GET /fetches", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, keys.fetches.Load()) })
	for _, name := range []string{"jwt", "opaque"} {
		r, err := newRealm(base+"/"+name, keys, name == "jwt")
		if err != nil {
			log.Fatal(err)
		}
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name, r.handler()))
	}
	_, _ = fmt.Fprintln(os.Stdout, base)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(ln))
}

// keyRing is the provider's keys; the last one signs.
type keyRing struct {
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	made    int
	fetches atomic.Int64
}

func (k *keyRing) rotate(keep bool) error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !keep {
		k.keys = nil
	}
	k.made++
	k.keys = append(k.keys, jose.JSONWebKey{Key: private, KeyID: fmt.Sprintf("key-%d", k.made), Algorithm: "RS256", Use: "sig"})
	return nil
}

func (k *keyRing) current() *jose.JSONWebKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := k.keys[len(k.keys)-1]
	return &key
}

func (k *keyRing) public() jose.JSONWebKeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	var set jose.JSONWebKeySet
	for i := range k.keys {
		set.Keys = append(set.Keys, k.keys[i].Public())
	}
	return set
}

func (k *keyRing) serveRotate(w http.ResponseWriter, r *http.Request) {
	if err := k.rotate(r.URL.Query().Get("keep") == "true"); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// realm is one issuer.
type realm struct {
	issuer string
	keys   *keyRing
	oauth2 fosite.OAuth2Provider
}

func newRealm(issuer string, keys *keyRing, structured bool) (*realm, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		return nil, err
	}
	store := storage.NewMemoryStore()
	store.Clients["client"] = &fosite.DefaultClient{
		ID: "client", Secret: hash, GrantTypes: []string{"client_credentials"},
		Scopes: []string{"read", "write"}, Audience: []string{"https://api.test"},
	}
	cfg := &fosite.Config{
		AccessTokenIssuer: issuer, AccessTokenLifespan: time.Hour, TokenURL: issuer + "/token",
		GlobalSecret: []byte(rand.Text() + rand.Text()), SendDebugMessagesToClients: true, JWTScopeClaimKey: jwt.JWTScopeFieldString,
	}
	var strategy oauth2.CoreStrategy = compose.NewOAuth2HMACStrategy(cfg)
	if structured {
		strategy = compose.NewOAuth2JWTStrategy(func(context.Context) (any, error) { return keys.current(), nil }, strategy, cfg)
	}
	return &realm{issuer, keys, compose.Compose(cfg, store, strategy,
		compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2TokenIntrospectionFactory, compose.OAuth2TokenRevocationFactory)}, nil
}

func (r *realm) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]string{
			"issuer": r.issuer, "jwks_uri": r.issuer + "/jwks", "token_endpoint": r.issuer + "/token",
			"introspection_endpoint": r.issuer + "/introspect", "revocation_endpoint": r.issuer + "/revoke",
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		r.keys.fetches.Add(1)
		reply(w, r.keys.public())
	})
	mux.HandleFunc("POST /token", r.serveToken)
	mux.HandleFunc("POST /introspect", r.serveIntrospect)
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, q *http.Request) {
		r.oauth2.WriteRevocationResponse(q.Context(), w, r.oauth2.NewRevocationRequest(q.Context(), q))
	})
	return mux
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the caller has gone
}

func (r *realm) session() *oauth2.JWTSession {
	header := jwt.NewHeaders()
	header.Add("kid", r.keys.current().KeyID)
	header.Add("typ", "at+jwt")
	return &oauth2.JWTSession{JWTClaims: &jwt.JWTClaims{}, JWTHeader: header}
}

func (r *realm) serveToken(w http.ResponseWriter, q *http.Request) {
	ctx, session := q.Context(), r.session()
	request, err := r.oauth2.NewAccessRequest(ctx, q, session)
	if err != nil {
		r.oauth2.WriteAccessError(ctx, w, request, err)
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	for _, audience := range request.GetRequestedAudience() {
		request.GrantAudience(audience)
	}
	id := request.GetClient().GetID()
	session.Subject, session.JWTClaims.Subject = id, id
	session.JWTClaims.Add("client_id", id)
	response, err := r.oauth2.NewAccessResponse(ctx, request)
	if err != nil {
		r.oauth2.WriteAccessError(ctx, w, request, err)
		return
	}
	r.oauth2.WriteAccessResponse(ctx, w, request, response)
}

func (r *realm) serveIntrospect(w http.ResponseWriter, q *http.Request) {
	response, err := r.oauth2.NewIntrospectionRequest(q.Context(), q, r.session())
	if err != nil {
		if !strings.Contains(err.Error(), "inactive") {
			log.Print("introspection: ", err)
		}
		r.oauth2.WriteIntrospectionError(q.Context(), w, err)
		return
	}
	r.oauth2.WriteIntrospectionResponse(q.Context(), w, response)
}
