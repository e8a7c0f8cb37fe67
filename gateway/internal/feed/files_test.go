package feed

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// TestFilesBesideABusyOne: a file that changes all the time, such as a log in the
// same directory, does not keep an edit from being read.
func TestFilesBesideABusyOne(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	write("resources.yaml", world)
	n := start(t, Config{Resources: []string{filepath.Join(dir, "resources.yaml")}})
	eventually(t, "served", n.live)

	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-over:
				return
			case <-time.After(settle / 5):
				write("access.log", time.Now().String())
			}
		}
	}()
	defer func() { close(over); <-done }()
	time.Sleep(2 * settle)
	write("resources.yaml", world+"status: PAUSED\n")
	began := time.Now()
	eventually(t, "pause in force", func() bool { return !n.live() })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the edit was read after %s", took)
	}
}

// TestNotReadyBeforeTheKeys: a node that serves from files is ready when it knows of the
// keys of each issuer whether they can be had, and does not wait for a key server for ever.
func TestNotReadyBeforeTheKeys(t *testing.T) {
	t.Parallel()
	const remote = `
kind: Issuer
id: remote
issuer: https://remote.test
keys: {jwks_urls: ["%s"]}
jwks: {timeout: 30s}
`
	begin := func(h http.HandlerFunc) *node {
		server := httptest.NewServer(h)
		file := filepath.Join(t.TempDir(), "resources.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, remote, server.URL), 0o600); err != nil {
			t.Fatal(err)
		}
		n := start(t, Config{Resources: []string{file}})
		t.Cleanup(func() { n.stop(); server.Close() })
		return n
	}
	ready := func(n *node) bool { return n.Status().State == pb.Heartbeat_LIVE }
	answer := make(chan struct{})
	slow := begin(func(w http.ResponseWriter, _ *http.Request) {
		<-answer
		_, _ = w.Write([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	})
	broken := begin(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	silent := begin(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	began := time.Now()
	eventually(t, "the requests are decided", func() bool { return slow.View() != nil && silent.View() != nil })
	eventually(t, "ready with a key server that refuses", func() bool { return ready(broken) })
	time.Sleep(100 * time.Millisecond)
	if ready(slow) || ready(silent) {
		t.Error("ready before the keys")
	}
	close(answer)
	eventually(t, "ready with the keys", func() bool { return ready(slow) })
	slow.mu.Lock()
	defer slow.mu.Unlock()
	if slow.fetched["remote"] == nil {
		t.Error("ready without the keys")
	}
	for !ready(silent) && time.Since(began) < 3*firstKeysWithin {
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(began); took < firstKeysWithin/2 || !ready(silent) {
		t.Errorf("ready: %t, after %s", ready(silent), took)
	}
	if !strings.Contains(silent.log.String(), "issuers=[remote]") {
		t.Errorf("logged:\n%s", silent.log)
	}
}

// TestFilesThatAreBeingWritten: a file that was emptied in order to be written is
// not taken for an empty one.
func TestFilesThatAreBeingWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resources.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	feed := New(Config{Compiler: &Compiler{}, Resources: []string{file}, Logger: slog.New(slog.DiscardHandler)})
	write("")
	rest := time.AfterFunc(settle/2, func() { write("new") })
	defer rest.Stop()
	got, err := feed.settled(t.Context(), []string{"old"})
	if err != nil || got[0] != "new" {
		t.Errorf("got %q, %v, want the whole new text", got, err)
	}
	write("")
	if got, err := feed.settled(t.Context(), []string{"new"}); err != nil || got[0] != "" {
		t.Errorf("got %q, %v, want a file that stays empty", got, err)
	}
}

// TestEmptiedFiles: a file that is empty for longer than an editor takes, and resources
// that are all gone, take nothing out of force. What is written then is.
func TestEmptiedFiles(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := "kind: Application\nid: other\n"
	write(first, world)
	write(second, other)
	n := start(t, Config{Resources: []string{first, second}})
	eventually(t, "served", n.live)
	has := func() bool { _, ok := n.current().Get(pb.Kind_KIND_APPLICATION, "other"); return ok }
	refusals := 0.0
	refused := func(what, told string) {
		t.Helper()
		refusals++
		eventually(t, what, func() bool { return value(t, n.registry, "portcullis_resource_file_faults_total") >= refusals })
		if got := n.log.String(); !strings.Contains(got, told) || strings.Count(got, told) != 1 {
			t.Errorf("%s: %q is not told once", what, told)
		}
		if !n.live() || !has() {
			t.Errorf("%s took something out of force", what)
		}
	}
	write(first, "")
	refused("an empty file", "a.yaml: the file had resources and is empty now (hint: ")
	write(first, world)
	write(second, " \n")
	refused("another one", "b.yaml: the file had resources and is empty now (hint: ")
	write(second, "# none\n")
	eventually(t, "without the second", func() bool { return !has() && n.live() })
	write(second, "") // had none
	write(first, world+"status: PAUSED\n")
	eventually(t, "pause in force", func() bool { return !n.live() })
	write(second, other)
	write(first, world)
	eventually(t, "all again", func() bool { return has() && n.live() })
	write(first, "# gone\n")
	write(second, "# gone\n")
	refused("nothing but comments", "there were resources, and there are none any more")
}

// TestEmptyFilesAtTheStart: a node may begin with nothing, and be given something then.
func TestEmptyFilesAtTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resources.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, Config{Resources: []string{file}})
	eventually(t, "ready", func() bool { return n.Status().State == pb.Heartbeat_LIVE })
	if err := os.WriteFile(file, []byte(world), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "served", n.live)
}
