package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func start(t *testing.T, status *Status) (base string, stop func() error) {
	t.Helper()
	return startWith(t, status, false)
}

func startWith(t *testing.T, status *Status, pprof bool) (base string, stop func() error) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "portcullis_test_total", Help: "Of a test."}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, ln, Config{
			Status:   func() Status { return *status },
			Gatherer: registry,
			Logger:   slog.New(slog.DiscardHandler),
			JWKS:     []byte(`{"keys":[]}`),
			Pprof:    pprof,
			ExplainRefusal: func(id string) (any, error) {
				if id != "known" {
					return nil, errors.New("none is kept")
				}
				return map[string]string{"cause": "audience"}, nil
			},
			Explain: func(r *request.Request) (any, error) {
				token, count := r.Header.Get("Authorization")
				return map[string]any{"method": string(r.Method), "host": string(r.Host), "path": string(r.Path), "query": string(r.Query), "token": string(token), "count": count, "client": r.Address.String()}, nil
			},
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return "http://" + ln.Addr().String(), func() error { cancel(); err := <-done; done <- err; return err }
}

func call(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestReadiness(t *testing.T) {
	status := &Status{}
	base, _ := start(t, status)
	for _, test := range []struct {
		status Status
		want   int
	}{
		{Status{State: pb.Heartbeat_LOADING}, 503},
		{Status{State: pb.Heartbeat_LIVE, Serving: true, Epoch: 2, Sequence: 7, Age: 1500 * time.Millisecond, Lag: 3}, 200},
		{Status{State: pb.Heartbeat_LIVE}, 503},
		{Status{State: pb.Heartbeat_STALE, Serving: true}, 200},
		{Status{State: pb.Heartbeat_RESYNC, Serving: true}, 200},
		{Status{State: pb.Heartbeat_DRAINING, Serving: true}, 503},
	} {
		*status = test.status
		code, body := call(t, "GET", base+"/readyz", "")
		var got struct {
			State           string
			Epoch, Sequence uint64
			Age             float64 `json:"age_seconds"`
			Lag             uint64
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if code != test.want || got.State != test.status.State.String() || got.Epoch != test.status.Epoch ||
			got.Sequence != test.status.Sequence || got.Age != test.status.Age.Seconds() || got.Lag != test.status.Lag {
			t.Errorf("%+v: %d %s", test.status, code, body)
		}
	}
}

func TestHealthAndMetrics(t *testing.T) {
	base, stop := start(t, &Status{})
	if code, _ := call(t, "GET", base+"/healthz", ""); code != 200 {
		t.Errorf("healthz: %d", code)
	}
	if code, body := call(t, "GET", base+"/metrics", ""); code != 200 || !strings.Contains(body, "portcullis_test_total 0") {
		t.Errorf("metrics: %d %s", code, body)
	}
	if code, body := call(t, "GET", base+"/.well-known/portcullis/jwks.json", ""); code != 200 || body != `{"keys":[]}` {
		t.Errorf("keys: %d %s", code, body)
	}
	if code, _ := call(t, "PUT", base+"/explain", ""); code != 405 {
		t.Errorf("PUT /explain: %d", code)
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestProfilesAreOfferedOnlyIfAskedFor(t *testing.T) {
	for pprof, want := range map[bool]int{false: 404, true: 200} {
		base, _ := startWith(t, &Status{}, pprof)
		for _, page := range []string{"", "goroutine?debug=1", "profile?seconds=1", "trace?seconds=1"} {
			if code, _ := call(t, "GET", base+"/debug/pprof/"+page, ""); code != want {
				t.Errorf("pprof %t: /debug/pprof/%s answers %d, want %d", pprof, page, code, want)
			}
		}
	}
}

func TestExplainRefusal(t *testing.T) {
	base, _ := start(t, &Status{})
	for query, want := range map[string]struct {
		code int
		body string
	}{
		"?request_id=known":   {200, `"cause": "audience"`},
		"?request_id=unknown": {404, "none is kept"},
		"":                    {400, "request_id is needed"},
	} {
		if code, body := call(t, "GET", base+"/explain"+query, ""); code != want.code || !strings.Contains(body, want.body) {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
}

func TestExplain(t *testing.T) {
	base, _ := start(t, &Status{})
	code, body := call(t, "POST", base+"/explain", `{"url": "http://A.example:80/x//y?q=1", "headers": {"authorization": ["a", "b"], "x": "1"}, "client": "192.0.2.1"}`)
	for _, want := range []string{`"method": "GET"`, `"host": "a.example"`, `"path": "/x/y"`, `"query": "q=1"`, `"token": "a"`, `"count": 2`, `"client": "192.0.2.1"`} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("no %s in %d %s", want, code, body)
		}
	}
	code, body = call(t, "POST", base+"/explain", `{"host": "A.example", "path": "/x?q=1", "method": "PUT", "token": "t"}`)
	for _, want := range []string{`"method": "PUT"`, `"host": "a.example"`, `"path": "/x"`, `"query": "q=1"`, `"token": "Bearer t"`, `"count": 1`} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("no %s in %d %s", want, code, body)
		}
	}
	if _, body = call(t, "POST", base+"/explain", `{"url": "http://a/", "token": "t", "headers": {"Authorization": "Basic x"}}`); !strings.Contains(body, `"count": 2`) {
		t.Errorf("a token beside a header is two credentials, as from a client: %s", body)
	}
	if _, body = call(t, "POST", base+"/explain", `{"url": "a?access_token=secret"}`); strings.Contains(body, "secret") {
		t.Errorf("the fault repeats the target: %s", body)
	}
	for body, want := range map[string]string{
		``:                                   "read the request",
		`{"uri": "http://a/"}`:               `unknown field \"uri\"`,
		`{"url": "/x"}`:                      "url:",
		`{}`:                                 "url:",
		`{"host": "a"}`:                      "both are needed",
		`{"path": "/"}`:                      "both are needed",
		`{"url": "http://a/", "host": "b"}`:  "in place of it",
		`{"host": "a b", "path": "/"}`:       "host and path: the host is malformed",
		`{"host": "a", "path": "/%2f"}`:      "percent-encoding",
		`{"url": "http://u@a/"}`:             "the host is malformed",
		`{"url": "http://a/%2f"}`:            "percent-encoding",
		`{"url": "http://a/", "client":"x"}`: "client:",
		`{"url": "http://a/"} {}`:            "more than one",
		`{"url": "http://a/", "certificate": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}`: "certificate: it has something else",
		`{"url": "` + strings.Repeat("x", maxExplain) + `"}`:                                                  "too large",
	} {
		if code, got := call(t, "POST", base+"/explain", body); code != 400 || !strings.Contains(got, want) {
			t.Errorf("%.60s: %d %s, want %q", body, code, got, want)
		}
	}
}
