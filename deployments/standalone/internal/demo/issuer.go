package demo

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	keyBits         = 2048
	keyFile         = "demo-issuer-key.pem"
	defaultLifetime = time.Hour
	maxLifetime     = 24 * time.Hour
)

// Issuer is an identity provider for trying things out. It signs RS256.
type Issuer struct {
	url string
	key *rsa.PrivateKey
	kid string
}

// NewIssuer makes an issuer that is reached at url. Its key is kept in dir, so
// that tokens outlive a restart.
func NewIssuer(url, dir string) (*Issuer, error) {
	key, err := loadKey(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("demo issuer: %w", err)
	}
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(&key.PublicKey))
	return &Issuer{url: url, key: key, kid: "demo-" + base64.RawURLEncoding.EncodeToString(sum[:6])}, nil
}

func loadKey(file string) (*rsa.PrivateKey, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(file)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key in PEM", file)
	}
	return x509.ParsePKCS1PrivateKey(block.Bytes)
}

func makeKey(file string) (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return key, os.WriteFile(file, data, 0o600)
}

// Token signs a token of a client. claims are added, or replace the usual ones.
func (i *Issuer) Token(clientID string, lifetime time.Duration, claims map[string]any) (string, error) {
	now := time.Now()
	all := jwt.MapClaims{
		"iss": i.url, "sub": clientID, "client_id": clientID, "azp": clientID, "aud": Audience,
		"iat": now.Unix(), "exp": now.Add(lifetime).Unix(), "jti": rand.Text(), "scope": "demo.read",
	}
	maps.Copy(all, claims)
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, all)
	t.Header["kid"], t.Header["typ"] = i.kid, "at+jwt"
	return t.SignedString(i.key)
}

// Handler serves /jwks.json, OpenID Connect discovery, and POST /token: the
// client-credentials grant (RFC 6749 section 4.4) without authentication. Two
// parameters are the demo's own: `lifetime` in seconds, and `claims`, a JSON
// object of claims to add or replace.
func (i *Issuer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jwks.json", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, i.jwks()) })
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{
			"issuer": i.url, "jwks_uri": i.url + "/jwks.json", "token_endpoint": i.url + "/token",
			"grant_types_supported": []string{"client_credentials"}, "response_types_supported": []string{"token"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("POST /token", i.token)
	return mux
}

func (i *Issuer) jwks() map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	return map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": i.kid,
		"n": b64(i.key.N.Bytes()), "e": b64(big.NewInt(int64(i.key.E)).Bytes()),
	}}}
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	lifetime, claims := defaultLifetime, map[string]any(nil)
	fault := func(text string) {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": text})
	}
	if r.PostFormValue("client_id") == "" {
		fault("client_id is required, in a form")
		return
	}
	if s := r.PostFormValue("lifetime"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > int(maxLifetime/time.Second) {
			fault("lifetime is a number of seconds, at most a day")
			return
		}
		lifetime = time.Duration(n) * time.Second
	}
	if s := r.PostFormValue("claims"); s != "" {
		if err := json.Unmarshal([]byte(s), &claims); err != nil {
			fault("claims is a JSON object")
			return
		}
	}
	token, err := i.Token(r.PostFormValue("client_id"), lifetime, claims)
	if err != nil {
		answer(w, http.StatusInternalServerError, map[string]any{"error": "server_error"})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": int(lifetime / time.Second),
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone
}
