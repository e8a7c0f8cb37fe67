package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// While a node drains it still decides, so it must still follow what is in force.
func TestDrainingNodeFollowsChanges(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer upstream.Close()
	file := filepath.Join(t.TempDir(), "resources.yaml")
	write := func(status string) {
		t.Helper()
		text := "kind: Api\nid: a\ncontext_path: /a\nupstream: {targets: [{url: '" + upstream.URL + "'}]}\n---\n" +
			"kind: Plan\nid: open\napi: a\nsecurity: KEYLESS\nstatus: " + status + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("PUBLISHED")
	cfg := DefaultConfig()
	cfg.Listen, cfg.AdminListen, cfg.Resources, cfg.DrainDelay = "127.0.0.1:0", "127.0.0.1:0", []string{file}, 5*time.Second
	cfg.DataDir = t.TempDir()
	addresses, done := make(chan string, 1), make(chan error, 1)
	cfg.Listening = func(front, _ string) { addresses <- front }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { done <- Run(ctx, cfg) }()
	url := "http://" + <-addresses + "/a"
	status := func() int {
		res, err := http.Get(url)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	await := func(want int) bool {
		for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if status() == want {
				return true
			}
		}
		return false
	}
	if !await(http.StatusOK) {
		t.Fatalf("status %d before the drain", status())
	}
	cancel()
	write("CLOSED")
	if !await(http.StatusUnauthorized) {
		t.Errorf("status %d while draining, after the plan was closed", status())
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
