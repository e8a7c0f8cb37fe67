package rest_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/rest"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	for _, tc := range []struct {
		path, header string
		want         int
	}{
		{"/v1/plans", "", 401},
		{"/v1/nothing", "", 401},
		{"/", "", 401},
		{"/v1/plans", "Bearer " + adminToken, 200},
		{"/v1/plans", "bearer " + adminToken, 200},
		{"/v1/plans", "Bearer second-token", 200},
		{"/v1/plans", "Bearer " + adminToken + "x", 401},
		{"/v1/plans", "Bearer ", 401},
		{"/v1/plans", "Bearer", 401},
		{"/v1/plans", adminToken, 401},
		{"/v1/plans", "Basic " + adminToken, 401},
		{"/v1/plans", "Bearer " + nodeToken, 401},
		{"/v1/fleet", "Bearer " + nodeToken, 401},
		{"/v1/snapshot/", "Bearer " + nodeToken, 401},
		{"/v1/snapshot", "Bearer " + nodeToken, 200},
		{"/v1/snapshot", "Bearer " + adminToken, 200},
		{"/v1/snapshot", "", 401},
		{"/healthz", "", 200},
		{"/readyz", "", 200},
		{"/metrics", "", 200},
		{"/openapi.yaml", "", 200},
	} {
		headers := []string{}
		if tc.header != "" {
			headers = append(headers, "Authorization: "+tc.header)
		}
		a, err := c.try("GET", tc.path, http.NoBody, headers...)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != tc.want {
			t.Errorf("GET %s with %q: %d, want %d", tc.path, tc.header, a.status, tc.want)
		}
		if a.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("GET %s: no challenge: %v", tc.path, a.header)
		}
	}
}

func TestTwoAuthorizationHeaders(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	r, err := http.NewRequest(http.MethodGet, c.url+"/v1/plans", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = []string{"Bearer " + adminToken, "Bearer x"}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d", answer.StatusCode)
	}
}

func TestNeverOpenWithoutAToken(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]rest.Config{
		"none":       {},
		"empty":      {AdminTokens: map[string]string{"admin": " "}},
		"node token": {AdminTokens: map[string]string{"admin": "same"}, NodeToken: "same"},
	} {
		cfg.Logger, cfg.Registry = slog.New(slog.DiscardHandler), prometheus.NewRegistry()
		if _, err := rest.New(cfg); err == nil || !strings.Contains(err.Error(), "token") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFloodOfBadTokens(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	limited := 0
	for range 40 {
		a, err := c.try("GET", "/v1/plans", http.NoBody, "Authorization: Bearer wrong")
		if err != nil {
			t.Fatal(err)
		}
		if a.status == http.StatusTooManyRequests {
			limited++
			if a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	if limited < 10 {
		t.Errorf("%d of 40 were limited", limited)
	}
	c.must(200, "GET", "/v1/plans", "") // the right token still passes
}

// record is a log that may be read while it is written.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func TestAudit(t *testing.T) {
	t.Parallel()
	log := new(record)
	c := start(t, options{log: log})
	c.must(201, "POST", "/v1/applications", `{"id":"web","name":"Web"}`)
	a, err := c.try("DELETE", "/v1/applications/web", http.NoBody, "Authorization: Bearer second-token", "X-Request-Id: req-77")
	if err != nil || a.status != 204 || a.header.Get("X-Request-Id") != "req-77" {
		t.Fatal(err, a)
	}
	contains(t, log.String(), `"actor":"admin","command":"create application/web `, `"actor":"ci","command":"remove application/web"`,
		`"request_id":"req-77"`)
	if strings.Contains(log.String(), "second-token") {
		t.Error("the log has a token in it")
	}
	if id := c.must(200, "GET", "/v1/plans", "", "X-Request-Id: "+strings.Repeat("x", 65)).header.Get("X-Request-Id"); len(id) == 0 || len(id) > 64 {
		t.Errorf("request id %q", id)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	c := start(t, options{drainDelay: 300 * time.Millisecond})
	c.must(200, "GET", "/readyz", "")
	c.stop()
	time.Sleep(50 * time.Millisecond)
	if a := c.call("GET", "/readyz", ""); a.status != 503 || !strings.Contains(a.body, "DRAINING") {
		t.Errorf("%d %s", a.status, a.body)
	}
	c.must(200, "GET", "/healthz", "")
	<-c.ended
	if _, err := c.try("GET", "/healthz", http.NoBody); err == nil {
		t.Error("it still listens")
	}
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	body, feed := io.Pipe()
	got := make(chan answer, 1)
	go func() {
		a, err := c.try("POST", "/v1/applications", body, "Authorization: Bearer "+adminToken)
		if err != nil {
			t.Error(err)
		}
		got <- a
	}()
	fmt.Fprint(feed, `{"id":"late",`)
	time.Sleep(50 * time.Millisecond)
	c.stop()
	time.Sleep(50 * time.Millisecond)
	fmt.Fprint(feed, `"name":"Late"}`)
	_ = feed.Close()
	if a := <-got; a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestWritesWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.must(201, "POST", "/v1/applications", `{"id":"web","name":"Web"}`)
	c.nats.Stop(t)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if a := c.call("GET", "/readyz", ""); a.status == 503 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("still ready without a log")
		}
	}
	p := c.refused(http.StatusServiceUnavailable, "POST", "/v1/applications", `{"id":"b","name":"B"}`)
	if p.Detail == "" {
		t.Errorf("%+v", p)
	}
	c.must(200, "GET", "/v1/applications/web", "")
	c.must(200, "GET", "/healthz", "")
}

func TestServeEndsWithRequestsThatDoNot(t *testing.T) {
	t.Parallel()
	c := start(t, options{grace: 100 * time.Millisecond})
	body, feed := io.Pipe()
	defer feed.Close()
	cut := make(chan error, 1)
	go func() {
		_, err := c.try("POST", "/v1/import?id=x", body, "Authorization: Bearer "+adminToken)
		cut <- err
	}()
	fmt.Fprint(feed, applications(0, 10))
	c.stop()
	select {
	case <-c.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("Serve does not end")
	}
	_ = feed.Close()
	if err := <-cut; err == nil {
		t.Error("a cut import looks whole")
	}
	if c.count() != 0 {
		t.Error("half a chunk was applied")
	}
}
