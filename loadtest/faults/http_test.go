package faults_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// ok reports whether a write was acknowledged.
func (a answer) ok() bool { return a.status/100 == 2 }

// problem is the part of RFC 9457 that the tests look at.
type problem struct {
	Type   string
	Detail string
	Reason string // of the gateway
	Errors []struct {
		File, Kind, ID, Field, Code, Message, Hint string
		Line                                       int
	}
}

func (a answer) problem() (p problem) {
	_ = json.Unmarshal(a.body, &p) // what cannot be read stays empty, and is missed then
	return p
}

func send(client *http.Client, req *http.Request) (answer, error) {
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}, err
}

func get(url string) (answer, error) {
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	return send(&http.Client{Timeout: 5 * time.Second}, req)
}

// metric reads the value of a metric without labels.
func metric(t *testing.T, adminAddress, name string) float64 {
	t.Helper()
	a, err := get("http://" + adminAddress + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(a.body)) {
		if text, found := strings.CutPrefix(line, name+" "); found {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return value
		}
	}
	t.Fatalf("%s shows no %s", adminAddress, name)
	return 0
}

// readiness is what a gateway says of itself.
type readiness struct {
	Status   int `json:"-"`
	State    string
	Age      float64 `json:"age_seconds"`
	Sequence uint64
}

func readyz(adminAddress string) (readiness, error) {
	var r readiness
	a, err := get("http://" + adminAddress + "/readyz")
	if err != nil {
		return r, err
	}
	r.Status = a.status
	return r, json.Unmarshal(a.body, &r)
}

// inState makes a check of a gateway's state.
func inState(adminAddress, state string) func() error {
	return func() error {
		r, err := readyz(adminAddress)
		if err == nil && (r.State != state || r.Status != 200) {
			err = fmt.Errorf("%+v", r)
		}
		return err
	}
}

// control speaks to one control-plane replica.
type control struct {
	base   string
	client *http.Client
}

// newControl: the longest write takes half a minute, and is to be seen.
func newControl(address string) *control {
	return &control{"http://" + address, &http.Client{Timeout: 45 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
}

func (c *control) call(method, path, contentType, body string) (answer, error) {
	req, err := http.NewRequest(method, c.base+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if body != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return send(c.client, req)
}

func (c *control) get(path string) (answer, error)  { return c.call(http.MethodGet, path, "", "") }
func (c *control) post(path string) (answer, error) { return c.call(http.MethodPost, path, "", "") }
func (c *control) put(path, body string) (answer, error) {
	return c.call(http.MethodPut, path, "application/json", body)
}

func (c *control) apply(yaml string) (answer, error) {
	return c.call(http.MethodPost, "/v1/apply", "application/yaml", yaml)
}

// must is for writes that nothing may come between.
func must(t *testing.T, a answer, err error) answer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !a.ok() {
		t.Fatalf("got %s", a)
	}
	return a
}

// caller is an API consumer with its own token and connection.
type caller struct {
	url, token string
	client     *http.Client
}

func newCaller(gatewayAddress, token string) *caller {
	return &caller{
		"http://" + gatewayAddress + echoPath + "/x", token,
		&http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}},
	}
}

func (c *caller) call() (answer, error) {
	req, err := http.NewRequest(http.MethodGet, c.url, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return send(c.client, req)
}

// expect makes a check of what the gateway answers.
func (c *caller) expect(status int, reason string) func() error {
	return func() error {
		a, err := c.call()
		if err == nil && (a.status != status || a.problem().Reason != reason) {
			err = fmt.Errorf("got %s, want %d %s", a, status, reason)
		}
		return err
	}
}

// echo is an upstream that answers with what it was asked for.
func echo(t *testing.T) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(bytes.Join([][]byte{[]byte(r.Method), []byte(r.URL.Path)}, []byte(" ")))
	}))
	t.Cleanup(server.Close)
	return server.URL
}
