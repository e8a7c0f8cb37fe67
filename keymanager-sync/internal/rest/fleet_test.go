package rest_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/snapshot"
)

func TestWaitForTheFleet(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	c.beat("gw-1", 1)
	c.beat("gw-2", 1)
	// Behind: the write is durable, the answer names who has not applied it.
	a := c.must(http.StatusAccepted, "POST", "/v1/subscriptions/mobile-gold/pause?wait=fleet&timeout=3s", "")
	if got := a.header.Get("Portcullis-Fleet"); got != "pending; applied=0; behind=gw-1,gw-2" {
		t.Errorf("Portcullis-Fleet: %s", got)
	}
	if a.field("status") != "PAUSED" {
		t.Errorf("body %s", a.body)
	}
	// In force: the nodes report while the write waits.
	done := make(chan answer, 1)
	go func() { done <- c.call("POST", "/v1/subscriptions/mobile-gold/resume?wait=fleet&timeout=20s", "") }()
	for {
		select {
		case a := <-done:
			if a.status != 200 || a.header.Get("Portcullis-Fleet") != "in_force; nodes=2" {
				t.Errorf("%d %v", a.status, a.header)
			}
			c.removeAndWait()
			return
		case <-time.After(20 * time.Millisecond):
			last := c.store.State().Position().Sequence
			c.beat("gw-1", last)
			c.beat("gw-2", last)
		}
	}
}

// removeAndWait shows that a removal is awaited too, though it has no body.
func (c *control) removeAndWait() {
	c.t.Helper()
	a := c.must(http.StatusAccepted, "DELETE", "/v1/subscriptions/mobile-gold?wait=fleet&timeout=200ms", "")
	contains(c.t, a.header.Get("Portcullis-Fleet"), "pending", "gw-1")
	c.must(http.StatusNotFound, "GET", "/v1/subscriptions/mobile-gold", "")
	a = c.must(http.StatusAccepted, "POST", "/v1/applications?wait=fleet&timeout=200ms", `{"name":"x"}`)
	if a.header.Get("Location") == "" {
		c.t.Errorf("headers %v", a.header)
	}
}

func TestWaitIsNeverAnsweredTooEarly(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	// Right after the start no heartbeat can have been heard: an empty table proves nothing.
	a := c.call("POST", "/v1/applications?wait=fleet&timeout=20ms", `{"name":"x"}`)
	if a.status != http.StatusAccepted || a.header.Get("Portcullis-Fleet") != "pending; applied=0; behind=unknown" {
		t.Errorf("%d %s", a.status, a.header.Get("Portcullis-Fleet"))
	}
}

// Two processes with the same node id are shown, and both are waited for.
func TestNodesWithOneID(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	began := time.Now()
	both := func() {
		c.beatOf("gw-1", began.Add(-time.Minute), 1)
		c.beatOf("gw-1", began, 100)
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(c.must(200, "GET", "/v1/fleet", "").body, `"duplicate": true`); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the fleet does not show it")
		}
		both()
	}
	a := c.must(http.StatusAccepted, "POST", "/v1/subscriptions/mobile-gold/pause?wait=fleet&timeout=500ms", "")
	if got := a.header.Get("Portcullis-Fleet"); got != "pending; applied=0; behind=gw-1; duplicate=gw-1" {
		t.Errorf("Portcullis-Fleet: %s", got)
	}
}

func TestFleet(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	c.beat("gw-1", 1)
	var f struct {
		Epoch, Sequence uint64
		Phase           string
		Nodes           []struct {
			ID, State, Version string
			Live               bool
			Sequence, Requests uint64
			Rejects            []struct{ Kind, ID, Reason string }
		}
		Replicas []struct {
			ID             string
			Self, Writable bool
		}
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && (len(f.Nodes) == 0 || len(f.Replicas) == 0); time.Sleep(10 * time.Millisecond) {
		if err := json.Unmarshal([]byte(c.must(200, "GET", "/v1/fleet", "").body), &f); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.Nodes) != 1 || f.Nodes[0].ID != "gw-1" || !f.Nodes[0].Live || f.Nodes[0].State != "LIVE" || f.Nodes[0].Requests != 7 || len(f.Nodes[0].Rejects) != 1 {
		t.Errorf("nodes %+v", f.Nodes)
	}
	if len(f.Replicas) != 1 || f.Replicas[0].ID != "cp-1" || !f.Replicas[0].Self || !f.Replicas[0].Writable || f.Phase != "LIVE" || f.Sequence == 0 {
		t.Errorf("%+v", f)
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	a := c.must(200, "GET", "/v1/snapshot", "")
	tag := a.header.Get("ETag")
	if tag == "" || a.header.Get("Content-Type") != "application/vnd.portcullis.snapshot" || a.header.Get("Portcullis-Epoch") != "1" ||
		a.header.Get("Portcullis-Sequence") != strconv.FormatUint(c.store.State().Position().Sequence, 10) {
		t.Errorf("headers %v", a.header)
	}
	reader, err := snapshot.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if h := reader.Header(); h.GetSequence() != c.store.State().Position().Sequence || h.GetCounts()["Subscription"] != 1 {
		t.Errorf("header %v", h)
	}
	c.must(http.StatusNotModified, "GET", "/v1/snapshot", "", "If-None-Match: "+tag)
	if head := c.must(200, "HEAD", "/v1/snapshot", ""); head.body != "" || head.header.Get("ETag") == "" {
		t.Errorf("HEAD: %v", head.header)
	}
	c.must(201, "POST", "/v1/applications", `{"name":"x"}`)
	// A snapshot may be handed out for a moment although the state has moved on.
	for end := time.Now().Add(10 * time.Second); c.call("GET", "/v1/snapshot", "", "If-None-Match: "+tag).status == http.StatusNotModified; {
		time.Sleep(5 * time.Millisecond)
		if time.Now().After(end) {
			t.Fatal("the tag stays the same")
		}
	}
}

func TestSnapshotsAreAdmittedByTheFew(t *testing.T) {
	t.Parallel()
	c := start(t, options{maxDownloads: 1})
	release, ok := c.store.Admit() // as a download that is under way
	if !ok {
		t.Fatal("not admitted")
	}
	p := c.must(http.StatusServiceUnavailable, "GET", "/v1/snapshot", "")
	if after, err := strconv.Atoi(p.header.Get("Retry-After")); err != nil || after < 1 {
		t.Errorf("headers %v", p.header)
	}
	release()
	c.must(200, "GET", "/v1/snapshot", "")
	c.must(200, "GET", "/v1/snapshot", "") // the slot was given back
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.must(404, "GET", "/v1/plans/x", "")
	contains(t, c.must(200, "GET", "/metrics", "").body, `portcullis_control_requests_total{method="GET",status="404"} 1`,
		"portcullis_control_request_duration_seconds_bucket")
}
