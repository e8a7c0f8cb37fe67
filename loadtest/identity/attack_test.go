package identity_test

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// attack is what a key server does from a certain moment on.
type attack struct {
	name    string
	outcome string // as the metric names it
	handler http.HandlerFunc
}

func attacks(stranger string) []attack {
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
	}
	return []attack{
		{"hangs", "timeout", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"drips", "timeout", drip},
		{"loop", "bad_redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		}},
		{"away", "bad_redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, stranger+"/jwks", http.StatusFound)
		}},
		{"huge", "too_large", func(w http.ResponseWriter, _ *http.Request) {
			megabyte := []byte(strings.Repeat(" ", 1<<20))
			for range 50 {
				if _, err := w.Write(megabyte); err != nil {
					return
				}
			}
		}},
		{"keys", "invalid", text(`{"keys":[` + strings.Repeat(`{"kty":"OKP"},`, 9999) + `{"kty":"OKP"}]}`)},
		{"html", "invalid", text("<!DOCTYPE html><title>Sign in</title>")},
		{"empty", "no_usable_key", text(`{"keys":[]}`)},
		{"status", "bad_status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
	}
}

// drip sends a byte now and then, so that the connection never looks idle.
func drip(w http.ResponseWriter, r *http.Request) {
	flusher, _ := w.(http.Flusher)
	for r.Context().Err() == nil {
		if _, err := w.Write([]byte(" ")); err != nil {
			return
		}
		flusher.Flush()
		time.Sleep(50 * time.Millisecond)
	}
}

// Whatever a key server does, its issuer's last good keys serve until their time
// is over, and no other issuer notices.
func TestKeyServerAttacks(t *testing.T) {
	t.Parallel()
	const (
		settings = "jwks: {ttl: 10s, timeout: 500ms, max_stale: 12s}"
		usable   = 22 * time.Second // ttl and max_stale
	)
	upstream := echo(t)
	stranger := newKeyServer(t, "stranger", httptest.NewServer)
	good := newKeyServer(t, "good", httptest.NewServer)
	all := good.resources(upstream, settings)
	victims := map[string]*keyServer{}
	list := attacks(stranger.URL)
	for _, a := range list {
		victims[a.name] = newKeyServer(t, a.name, httptest.NewServer)
		all += victims[a.name].resources(upstream, settings)
	}
	wrong, resources := newTLSVictim(t, upstream)
	never := newKeyServer(t, "never", httptest.NewServer)
	never.misbehave(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	n := serve(t, all+resources+never.resources(upstream, settings))

	began := time.Now()
	victims["tls"] = wrong.keyServer
	tokens := map[string]string{}
	for name, v := range victims {
		tokens[name] = v.token()
		n.becomes(t, "/"+name, tokens[name], http.StatusOK)
	}
	for _, a := range list {
		victims[a.name].misbehave(a.handler)
	}
	wrong.turn()
	fetched := time.Now() // the last good fetches were before
	list = append(list, attack{"tls", "unreachable", nil})
	old := good.token()
	n.becomes(t, "/good", old, http.StatusOK)
	good.rotate(t, "k2")
	if got := n.ask(t, "/never", never.token()); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("an issuer that never had keys: Retry-After %q, %s", got.header.Get("Retry-After"), got)
	}

	// The other issuer's refresh goes on, with its old key out and its new one in.
	n.becomes(t, "/good", good.token(), http.StatusOK)
	if got := n.call(t, "/good", old); got != http.StatusUnauthorized {
		t.Errorf("a token of a removed key, which was remembered: %d", got)
	}
	for _, a := range list {
		eventually(t, "the metric of "+a.name, func() error {
			if victims[a.name].fetches.Load() < 2 && a.name != "tls" || n.metric(t, "portcullis_jwks_fetches_total", `"`+a.outcome+`"`) == 0 {
				return fmt.Errorf("no fetch ended as %s", a.outcome)
			}
			return nil
		})
	}
	for name, token := range tokens {
		if got := n.call(t, "/"+name, token); got != http.StatusOK && time.Since(began) < usable {
			t.Errorf("%s: %d with a remembered token, %s after the last good fetch at most", name, got, time.Since(fetched))
		}
		if got := n.call(t, "/"+name, victims[name].token()); got != http.StatusOK && time.Since(began) < usable {
			t.Errorf("%s: %d with a new token", name, got)
		}
	}
	// And not a moment longer than they may.
	time.Sleep(time.Until(fetched.Add(usable + time.Second)))
	for name, token := range tokens {
		if got := n.call(t, "/"+name, token); got != http.StatusUnauthorized {
			t.Errorf("%s: %d with keys that are too old", name, got)
		}
	}
	if got := n.call(t, "/good", good.token()); got != http.StatusOK {
		t.Errorf("the good issuer: %d", got)
	}
	if stranger.fetches.Load() != 0 {
		t.Error("a redirect to another host was followed")
	}
}

// tlsVictim is a key server over TLS that can change its certificate.
type tlsVictim struct {
	*keyServer
	turned *atomic.Bool
}

func newTLSVictim(t *testing.T, upstream string) (v tlsVictim, resources string) {
	t.Helper()
	v.turned = new(atomic.Bool)
	v.keyServer = newKeyServer(t, "tls", func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if v.turned.Load() {
				return nil, fmt.Errorf("no certificate today")
			}
			return nil, nil
		}}
		s.StartTLS()
		return s
	})
	roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.Certificate().Raw}))
	return v, v.resources(upstream, "jwks:\n  ttl: 10s\n  timeout: 500ms\n  max_stale: 12s\n  ca_pem: |\n    "+
		strings.ReplaceAll(strings.TrimSpace(roots), "\n", "\n    "))
}

func (v tlsVictim) turn() { v.turned.Store(true) }
