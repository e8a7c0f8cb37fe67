package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/config"
)

// output is what a run prints, readable while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// begin runs a standalone on free ports until the test ends or stop is called.
func begin(t *testing.T, dir string, args ...string) (stdout, stderr *output, stop func() int) {
	t.Helper()
	stdout, stderr = &output{}, &output{}
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	args = append([]string{
		"--data-dir", dir, "--gateway-listen", "127.0.0.1:0", "--gateway-admin-listen", "127.0.0.1:0",
		"--control-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0",
		"--demo-issuer-listen", "127.0.0.1:0", "--demo-upstream-listen", "127.0.0.1:0",
	}, args...)
	go func() { code <- runApp(ctx, args, stdout, stderr) }()
	stop = sync.OnceValue(func() int {
		cancel()
		return <-code
	})
	t.Cleanup(func() { stop() })
	return stdout, stderr, stop
}

func runApp(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return app().Run(ctx, cli.Process{Args: args, LookupEnv: os.LookupEnv, ReadFile: os.ReadFile, Stdout: stdout, Stderr: stderr})
}

func awaitReady(t *testing.T, stdout, stderr *output) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.HasSuffix(stdout.String(), "\nready\n"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not ready after a minute; printed:\n%s\nlogged:\n%s", stdout, stderr)
		}
	}
}

func TestWithoutDemo(t *testing.T) {
	dir := t.TempDir()
	stdout, stderr, stop := begin(t, dir, "--demo=false")
	awaitReady(t, stdout, stderr)
	if strings.Contains(stdout.String(), "curl") || strings.Contains(stdout.String(), "demo") {
		t.Errorf("printed, although --demo=false:\n%s", stdout)
	}
	if code := stop(); code != 0 || stderr.String() != "" {
		t.Errorf("exit code %d, logged:\n%s", code, stderr)
	}
	// The second start says nothing of the token any more, and knows it still.
	stdout, stderr, stop = begin(t, dir, "--demo=false")
	awaitReady(t, stdout, stderr)
	if strings.Contains(stdout.String(), "shown once") {
		t.Errorf("the admin token is shown again:\n%s", stdout)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d, logged:\n%s", code, stderr)
	}
}

func TestResourcesAreApplied(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "more.yaml")
	if err := os.WriteFile(file, []byte("kind: Application\nid: extra\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, _ := begin(t, filepath.Join(dir, "data"), "--resources", file)
	awaitReady(t, stdout, stderr)
	token, err := os.ReadFile(filepath.Join(dir, "data", "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	control := regexp.MustCompile(`control plane +(http://\S+)`).FindStringSubmatch(stdout.String())[1]
	if err := isOK(t.Context(), control+"/v1/applications/extra", strings.TrimSpace(string(token))); err != nil {
		t.Error(err)
	}
}

// TestReadyWithKeys: `ready` means that the keys of all issuers are there, not only the
// demo's.
func TestReadyWithKeys(t *testing.T) {
	served := make(chan struct{}, 16)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(1500 * time.Millisecond)
		served <- struct{}{}
		_, _ = io.WriteString(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	}))
	defer keys.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "issuer.yaml")
	if err := os.WriteFile(file, []byte("kind: Issuer\nid: slow\nissuer: https://slow.test\nkeys: {jwks_urls: ['"+keys.URL+"']}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, stop := begin(t, filepath.Join(dir, "data"), "--resources", file)
	awaitReady(t, stdout, stderr)
	select {
	case <-served:
	default:
		t.Error("ready before the key server had answered")
	}
	if code := stop(); code != 0 || strings.Contains(stderr.String(), "without the keys") {
		t.Errorf("exit code %d, logged:\n%s", code, stderr)
	}
}

func TestFaultsOfTheStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("kind: Application\nid: extra\nowners: me\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"unknown flag":       {[]string{"--gatway-listen", "x"}, 2, "gateway-listen"},
		"stray argument":     {[]string{"file.yaml"}, 2, "--resources"},
		"gateway port taken": {[]string{"--gateway-listen", taken.Addr().String()}, 1, "listen"},
		"control port taken": {[]string{"--control-listen", taken.Addr().String()}, 1, "listen"},
		"NATS port taken":    {[]string{"--nats-listen", taken.Addr().String()}, 1, "nats"},
		"issuer port taken":  {[]string{"--demo-issuer-listen", taken.Addr().String()}, 1, "demo-issuer-listen"},
		"bad resource":       {[]string{"--resources", bad}, 1, "owners"},
		"missing resource":   {[]string{"--resources", "no-such.yaml"}, 1, "no-such.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, stop := begin(t, t.TempDir(), c.args...)
			for end := time.Now().Add(time.Minute); stderr.String() == "" && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			if code := stop(); code != c.code || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("exit code %d, want %d, with %q in:\n%s", code, c.code, c.says, stderr)
			}
		})
	}
}

// TestEverySettingIsChecked spoils each setting by itself: --check finds it.
func TestEverySettingIsChecked(t *testing.T) {
	spoiled := map[string]string{
		"gateway-listen": "8080", "gateway-admin-listen": "a b:1", "control-listen": "1.2.3.4.5:1", "nats-listen": ":70000",
		"data-dir": "main.go", "resources": "absent.yaml", "admin-token": "a b", "node-token": "a b", "nats-token": "a b",
		"demo": "maybe", "demo-issuer-listen": "x", "demo-upstream-listen": "x", "log-format": "xml", "log-level": "inform",
	}
	checked := func(args ...string) (int, string) {
		var out bytes.Buffer
		return runApp(t.Context(), append([]string{"--check"}, args...), &out, &out), out.String()
	}
	cfg := defaults()
	for _, name := range config.Names(&cfg) {
		value, ok := spoiled[name]
		if !ok {
			t.Errorf("nothing here spoils %s", name)
			continue
		}
		if status, text := checked("--" + name + "=" + value); status != cli.Usage || !strings.Contains(text, "flag --"+name+": ") {
			t.Errorf("--%s=%s: status %d, %s", name, value, status, text)
		}
	}
	if status, text := checked("--control-listen=127.0.0.1:8080"); status != cli.Usage || !strings.Contains(text, "the address of gateway-listen, too") {
		t.Errorf("two listeners at one address: status %d, %s", status, text)
	}
	if status, text := checked("--demo=false", "--control-listen=127.0.0.1:8090"); status != cli.Done {
		t.Errorf("the demo's address is free without the demo: status %d, %s", status, text)
	}
}
