package jwks_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/jwks"
)

// lines is a logger's output that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// What a URL holds of credentials is not logged when its fetch fails, in whatever way.
func TestFailuresAreLoggedWithoutCredentials(t *testing.T) {
	big := newServer(t, func(w http.ResponseWriter, _ *http.Request) { flood(w) })
	bad := newServer(t, status(http.StatusTeapot))
	gone := newServer(t, body(""))
	gone.Close()
	const query = "/keys?api_key=pl4nted&x=1"
	for _, address := range []string{
		big.URL, bad.URL, gone.URL, strings.Replace(bad.URL, "http://", "http://user:pl4nted@", 1),
		strings.Replace(bad.URL, "http://", "ftp://", 1), bad.URL + "\x7f",
	} {
		var log lines
		run(t, func(c *jwks.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }, issuer("i", address+query))
		eventually(t, "a failure of "+address, func() bool { return strings.Contains(log.String(), "fetching a key set failed") })
		if strings.Contains(log.String(), "pl4nted") {
			t.Errorf("%s", log.String())
		}
	}
	var unusable lines
	part := newServer(t, body(set("a")))
	run(t, func(c *jwks.Config) { c.Logger = slog.New(slog.NewTextHandler(&unusable, nil)) }, issuer("i", part.URL+query))
	eventually(t, "the key that cannot be used", func() bool { return strings.Contains(unusable.String(), "cannot be used") })
	if strings.Contains(unusable.String(), "pl4nted") {
		t.Errorf("%s", unusable.String())
	}
	for _, metadata := range []string{"[]", "{}", `{"issuer":"x"}`, `{"issuer":"https://i.test"}`, `{"issuer":"https://i.test","jwks_uri":"ftp://x"}`} {
		s := newServer(t, body(metadata))
		i := issuer("i")
		i.Discovery, i.MetadataUrl = true, s.URL+query
		var log lines
		run(t, func(c *jwks.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }, i)
		eventually(t, "a failure of "+metadata, func() bool { return strings.Contains(log.String(), "fetching a key set failed") })
		if strings.Contains(log.String(), "pl4nted") || !strings.Contains(log.String(), "bad_discovery") {
			t.Errorf("%s: %s", metadata, log.String())
		}
	}
}
