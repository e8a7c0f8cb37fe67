package keymanager_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	keymanager "github.com/portcullis-gateway/portcullis/keymanager-sync"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replica is a whole control plane, stopped by stop or with the test.
type replica struct {
	url, token string
	out        *bytes.Buffer
	stop       func()
}

func start(t *testing.T, cfg keymanager.Config) *replica {
	t.Helper()
	r := &replica{out: new(bytes.Buffer), token: cfg.AdminToken}
	listening, ended := make(chan string, 1), make(chan error, 1)
	cfg.Listen, cfg.Out = "127.0.0.1:0", r.out
	cfg.Listening = func(addr string) { listening <- addr }
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- keymanager.Run(ctx, cfg) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(r.stop)
	select {
	case addr := <-listening:
		r.url = "http://" + addr
	case err := <-ended:
		t.Fatalf("Run: %v", err)
	}
	return r
}

func (r *replica) do(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(raw)
}

func (r *replica) ready(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		status, body := r.do(t, http.MethodGet, "/readyz", "")
		if status == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not ready: %d %s", status, body)
		}
	}
}

const issuer = `{"id":"idp","issuer":"https://idp.example/","keys":{"jwks_urls":["http://127.0.0.1:1/"]}}`

func settings(server *streamtest.Server, dir string) keymanager.Config {
	cfg := keymanager.DefaultConfig()
	cfg.NATS, cfg.DataDir, cfg.AdminToken = server.URL(), dir, "test-token-of-some-length"
	return cfg
}

func TestReplicasShareTheLog(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	a := start(t, settings(server, dir))
	b := start(t, settings(server, t.TempDir()))
	a.ready(t)
	b.ready(t)
	if status, body := a.do(t, http.MethodPost, "/v1/issuers", issuer); status != http.StatusCreated {
		t.Fatalf("create: %d %s", status, body)
	}
	if status, body := b.do(t, http.MethodPost, "/v1/issuers", issuer); status != http.StatusConflict {
		t.Errorf("create through the other: %d %s", status, body)
	}
	var report struct {
		Replicas []struct{ Live bool }
	}
	for end := time.Now().Add(10 * time.Second); len(report.Replicas) < 2 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		_, body := b.do(t, http.MethodGet, "/v1/fleet", "")
		if err := json.Unmarshal([]byte(body), &report); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
	}
	if len(report.Replicas) != 2 {
		t.Errorf("replicas %+v", report.Replicas)
	}
	a.stop()
	a = start(t, settings(server, dir))
	if status, body := a.do(t, http.MethodGet, "/v1/issuers/idp", ""); status != http.StatusOK {
		t.Errorf("after a restart, before the log is found: %d %s", status, body)
	}
}

func TestStartsWithoutNATS(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	r := start(t, settings(server, dir))
	r.ready(t)
	if status, body := r.do(t, http.MethodPost, "/v1/issuers", issuer); status != http.StatusCreated {
		t.Fatalf("create: %d %s", status, body)
	}
	r.stop()
	server.Stop(t)
	r = start(t, settings(server, dir))
	if status, body := r.do(t, http.MethodGet, "/v1/issuers/idp", ""); status != http.StatusOK {
		t.Errorf("read without NATS: %d %s", status, body)
	}
	if status, body := r.do(t, http.MethodDelete, "/v1/issuers/idp", ""); status != http.StatusServiceUnavailable {
		t.Errorf("write without NATS: %d %s", status, body)
	}
	server.Start(t)
	r.ready(t)
}

// The token is made once, printed once, kept where only the owner reads it, and opens the API.
func TestGeneratedToken(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	cfg := settings(server, dir)
	cfg.AdminToken = ""
	r := start(t, cfg)
	found := regexp.MustCompile(`: (\S{43})\n`).FindStringSubmatch(r.out.String())
	if found == nil {
		t.Fatalf("no token in %q", r.out.String())
	}
	if status, _ := r.do(t, http.MethodGet, "/v1/issuers", ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	r.token = found[1]
	if status, _ := r.do(t, http.MethodGet, "/v1/issuers", ""); status != http.StatusOK {
		t.Errorf("with the token: %d", status)
	}
	info, err := os.Stat(filepath.Join(dir, "admin-token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info, err)
	}
	r.stop()
	r = start(t, cfg)
	r.token = found[1]
	if status, _ := r.do(t, http.MethodGet, "/v1/issuers", ""); status != http.StatusOK || r.out.Len() > 0 {
		t.Errorf("after a restart: %d, printed %q", status, r.out.String())
	}
}

func TestNewEpoch(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	cfg := settings(server, dir)
	r := start(t, cfg)
	r.ready(t)
	if _, err := keymanager.NewEpoch(t.Context(), cfg, false); err == nil {
		t.Error("an epoch begins while the replica runs")
	}
	if status, body := r.do(t, http.MethodPost, "/v1/issuers", issuer); status != http.StatusCreated {
		t.Fatalf("create: %d %s", status, body)
	}
	r.stop()
	if _, err := keymanager.NewEpoch(t.Context(), cfg, true); err == nil || !strings.Contains(err.Error(), "the log is well") {
		t.Fatalf("while the log is well: %v", err)
	}
	server.Stop(t)
	server.SetDir(t.TempDir())
	server.Start(t)
	began, err := keymanager.NewEpoch(t.Context(), cfg, false)
	if err != nil || began.Epoch != 2 || began.Sequence != 1 || began.Stream != "PORTCULLIS-000002" {
		t.Fatalf("began %+v, %v", began, err)
	}
	r = start(t, cfg)
	r.ready(t)
	if status, body := r.do(t, http.MethodGet, "/v1/issuers/idp", ""); status != http.StatusOK {
		t.Errorf("in the new epoch: %d %s", status, body)
	}
	cfg.DataDir = t.TempDir()
	if _, err := keymanager.NewEpoch(t.Context(), cfg, true); err == nil {
		t.Error("an epoch begins from an empty disk")
	}
}

// Replicas write in a loop while a stopped one tries to begin a new epoch: the log
// is well, so it is refused, and every write that was acknowledged is there.
func TestNewEpochWhileOthersWrite(t *testing.T) {
	server, dir := streamtest.New(t), t.TempDir()
	stopped := settings(server, dir)
	first := start(t, stopped)
	first.ready(t)
	if status, body := first.do(t, http.MethodPost, "/v1/issuers", issuer); status != http.StatusCreated {
		t.Fatalf("create: %d %s", status, body)
	}
	first.stop()
	replicas := []*replica{start(t, settings(server, t.TempDir())), start(t, settings(server, t.TempDir()))}
	var over atomic.Bool
	var mu sync.Mutex
	var acknowledged []string
	var writing sync.WaitGroup
	for n, r := range replicas {
		r.ready(t)
		writing.Go(func() {
			for i := 0; !over.Load(); i++ {
				id := fmt.Sprintf("app-%d-%d", n, i)
				if status, _ := r.do(t, http.MethodPut, "/v1/applications/"+id, `{"name":"x"}`); status == http.StatusCreated {
					mu.Lock()
					acknowledged = append(acknowledged, id)
					mu.Unlock()
				}
			}
		})
	}
	for _, giveUp := range []bool{false, true, true} {
		if began, err := keymanager.NewEpoch(t.Context(), stopped, giveUp); err == nil {
			t.Errorf("give up %t: began %+v", giveUp, began)
		}
	}
	over.Store(true)
	writing.Wait()
	for _, id := range acknowledged {
		for n, r := range replicas {
			if status, body := r.do(t, http.MethodGet, "/v1/applications/"+id, ""); status != http.StatusOK {
				t.Errorf("%s is lost to replica %d: %d %s", id, n, status, body)
			}
		}
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was written")
	}
	t.Logf("%d writes acknowledged, none lost", len(acknowledged))
}

// The log is lost, and a replica with an empty disk is started: it founds nothing
// over what the other one has on its disk.
func TestEmptyReplicaFoundsNothingOverAnother(t *testing.T) {
	server := streamtest.New(t)
	a := start(t, settings(server, t.TempDir()))
	a.ready(t)
	if status, body := a.do(t, http.MethodPost, "/v1/issuers", issuer); status != http.StatusCreated {
		t.Fatalf("create: %d %s", status, body)
	}
	server.Stop(t)
	server.SetDir(t.TempDir())
	server.Start(t)
	b := start(t, settings(server, t.TempDir()))
	time.Sleep(4 * time.Second)
	if _, err := server.Connect(t, "look").Find(t.Context()); !errors.Is(err, stream.ErrNoLog) {
		t.Errorf("a log exists: %v", err)
	}
	for name, r := range map[string]*replica{"the one with the state": a, "the empty one": b} {
		if status, body := r.do(t, http.MethodPut, "/v1/issuers/idp", issuer); status != http.StatusServiceUnavailable {
			t.Errorf("write through %s: %d %s", name, status, body)
		}
	}
}

func TestSettingsFaultsAreToldAtOnce(t *testing.T) {
	cfg := keymanager.DefaultConfig()
	cfg.Listen, cfg.AdminToken, cfg.AdminTokenFile = "", "x", "y"
	cfg.TLSCert, cfg.Peers, cfg.LogReplicas = "cert.pem", []string{"10.0.0.2:8081"}, 7
	err := cfg.Validate()
	for _, want := range []string{"listen: ", "admin-token-file: ", "tls-cert: ", "10.0.0.2:8081", "log-replicas: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
	if err := keymanager.Run(t.Context(), cfg); err == nil || fmt.Sprint(err) == "" {
		t.Errorf("Run: %v", err)
	}
}
