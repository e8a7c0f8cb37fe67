package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "token-of-the-command-line-tests"

// buffer may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// shell runs commands against one control plane.
type shell struct {
	t       *testing.T
	control string
	env     map[string]string
	stdin   string
}

// result is what a command left behind.
type result struct {
	status      int
	out, errors string
}

func (s *shell) run(args ...string) result {
	s.t.Helper()
	env := map[string]string{"PORTCULLIS_CONTROL": s.control, "PORTCULLIS_ADMIN_TOKEN": token}
	maps.Copy(env, s.env)
	var out, errors buffer
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	status := app().Run(ctx, cli.Process{
		Args: args, LookupEnv: lookup(env), ReadFile: os.ReadFile, Stdin: strings.NewReader(s.stdin), Stdout: &out, Stderr: &errors,
	})
	return result{status, out.String(), errors.String()}
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

// ok runs a command that must succeed.
func (s *shell) ok(args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	if r.status != cli.Done {
		s.t.Fatalf("%v: status %d: %s%s", args, r.status, r.out, r.errors)
	}
	return r.out
}

// fails runs a command that must end with the given status, and gives what it says about it.
func (s *shell) fails(status int, args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	if r.status != status {
		s.t.Fatalf("%v: status %d, want %d: %s%s", args, r.status, status, r.out, r.errors)
	}
	return r.errors
}

// start serves a control plane by the command itself.
func start(t *testing.T) *shell {
	t.Helper()
	nats := streamtest.New(t)
	bus := streamtest.Connect(t, nats.URL(), "founder")
	if _, err := bus.CreateLog(t.Context(), 1, 1, 1); err != nil { // a log that is there already is not waited for
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	var out, errors buffer
	go func() {
		ended <- app().Run(ctx, cli.Process{
			Args:      []string{"serve", "--listen", "127.0.0.1:0", "--nats", nats.URL(), "--data-dir", t.TempDir()},
			LookupEnv: lookup(map[string]string{"PORTCULLIS_ADMIN_TOKEN": token}), ReadFile: os.ReadFile, Stdout: &out, Stderr: &errors,
		})
	}()
	t.Cleanup(func() {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		if status := <-ended; status != cli.Done {
			t.Errorf("serve: status %d: %s", status, errors.String())
		}
	})
	address := regexp.MustCompile(`http://\S+`)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		url := address.FindString(out.String())
		if url == "" {
			continue
		}
		if r, err := http.Get(url + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return &shell{t: t, control: url}
			}
		}
	}
	t.Fatalf("serve: not ready: %s%s", out.String(), errors.String())
	return nil
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const resources = `kind: Issuer
id: idp
issuer: https://idp.test
keys: {jwks_urls: ["http://127.0.0.1:1/jwks.json"]}
---
kind: Api
id: orders
name: Orders
context_path: /orders
upstream: {targets: [{url: "http://127.0.0.1:8091"}]}
---
kind: Plan
id: gold
api: orders
name: Gold
security: JWT
status: PUBLISHED
auto_accept: true
jwt: {issuers: [idp]}
---
kind: Application
id: mobile
name: "1234"
clients: [{issuer: idp, client_id: mobile-app}]
---
kind: Subscription
id: mobile-gold
application: mobile
plan: gold
`

func TestTour(t *testing.T) {
	t.Parallel()
	s := start(t)
	path := file(t, "r.yaml", resources)
	contains(t, s.ok("apply", "-f", path, "--dry-run"), "+ plan/gold", "dry run: nothing was changed")
	contains(t, s.fails(cli.Failed, "get", "plan", "gold"), "plan/gold")
	contains(t, s.ok("apply", "-f", path, "--wait"), "+ plan/gold", "applied at sequence", "in_force; nodes=0")
	contains(t, s.ok("get", "plans", "gold"), "kind: Plan\n", "issuers:\n", "- idp\n")
	contains(t, s.ok("get", "Application", "-o", "yaml"), `name: '1234'`) // still text
	contains(t, s.ok("get", "plans", "-o", "json"), `{"kind":"Plan","id":"gold"`)
	if out := s.ok("get", "subscriptions", "--filter", "plan=nothing"); out != "" {
		t.Errorf("got %q", out)
	}
	contains(t, s.ok("step", "subscription", "mobile-gold", "pause"), "pause subscriptions/mobile-gold at sequence")
	contains(t, s.fails(cli.Failed, "step", "subscription", "mobile-gold", "pause"), "PAUSED", "resume")
	contains(t, s.fails(cli.Failed, "step", "plan", "gold", "publis"), "publish")
	contains(t, s.fails(cli.Failed, "delete", "application", "mobile"), "subscription/mobile-gold")
	contains(t, s.fails(cli.Failed, "delete", "application", "mobile", "--if-match", "9"), "version 1")
	contains(t, s.ok("delete", "application", "mobile", "--cascade", "--if-match", "1"), "removed applications/mobile")
	contains(t, s.ok("fleet"), "NODE", "REPLICA", "answers this", "LIVE")
	contains(t, s.ok("fleet", "-o", "json"), `"replicas"`)
}

func TestFaultsOfFilesNameFileAndLine(t *testing.T) {
	t.Parallel()
	s := start(t)
	good := file(t, "good.yaml", "kind: Application\nid: a\nname: A\n")
	bad := file(t, "bad.yaml", "kind: Plan\nid: p\nstatus: OPEN\nnam: P\n")
	text := s.fails(cli.Failed, "apply", "-f", good, "-f", bad)
	contains(t, text, "bad.yaml:3: ", "bad.yaml:4: ", "hint: ", `"name"`)
	contains(t, s.fails(cli.Failed, "get", "application", "a"), "application/a") // all or nothing
	text = s.fails(cli.Failed, "apply", "-f", file(t, "ref.yaml", "kind: Plan\nid: p\nname: P\napi: nothing\nsecurity: KEYLESS\n"))
	contains(t, text, "ref.yaml:4: ", "plan/p", "nothing")
	text = s.fails(cli.Failed, "import", "-f", bad, "--id", "x")
	contains(t, text, bad+":3: ", bad+":4: ", "--id x")
	contains(t, s.fails(cli.Failed, "apply", "-f", "/does/not/exist.yaml"), "/does/not/exist.yaml: no such file")
	s.stdin = "kind: Nothing\n"
	contains(t, s.fails(cli.Failed, "apply", "-f", "-"), "stdin:1: ")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	s := &shell{t: t, control: "http://127.0.0.1:1"}
	for _, args := range [][]string{
		{},
		{"aply"},
		{"apply"},
		{"apply", "--fil=x"},
		{"import"},
		{"get"},
		{"get", "plains"},
		{"get", "plans", "a", "b"},
		{"get", "plans", "-o", "xml"},
		{"get", "plans", "--filter", "x"},
		{"delete", "plans"},
		{"step", "plans", "gold"},
		{"revoke"},
		{"revoke", "--jti", "a", "--subject", "b", "--issuer", "i"},
		{"revoke", "--jti", "a"},
		{"revoke", "--client", "a", "--issuer", "i", "--expires-at", "soon"},
		{"revoke", "--token", "x,y"},
		{"fleet", "-o", "xml"},
		{"serve", "--lissen", "x"},
		{"serve", "extra"},
		{"serve", "--listen="},
	} {
		if text := s.fails(cli.Usage, args...); text == "" {
			t.Errorf("%v: nothing is said", args)
		}
	}
	contains(t, s.ok("--help"), "apply", "PORTCULLIS_ADMIN_TOKEN")
	contains(t, s.ok("apply", "--help"), "--dry-run", "--control")
	contains(t, s.ok("serve", "--check", "--listen", ":7"), "listen: ", ":7")
	contains(t, s.ok("serve", "--version"), "")
	contains(t, s.fails(cli.Failed, "get", "plans"), "127.0.0.1:1")
	s.env = map[string]string{"PORTCULLIS_ADMIN_TOKEN": ""}
	contains(t, s.fails(cli.Usage, "get", "plans"), "PORTCULLIS_ADMIN_TOKEN")
	contains(t, s.fails(cli.Usage, "get", "plains"), `did you mean "plans"?`)
	s.control = "ftp://x"
	contains(t, s.fails(cli.Usage, "get", "plans"), "PORTCULLIS_CONTROL", "http://host:port")
	contains(t, s.fails(cli.Usage, "aply"), `did you mean "apply"?`)
}

// TestOutputForPrograms: names of fields are documented in docs/cli.md, and stay.
func TestOutputForPrograms(t *testing.T) {
	t.Parallel()
	s := start(t)
	path := file(t, "r.yaml", resources)
	for _, c := range []struct {
		args, want string // a text, and at which places
	}{
		{"apply -f " + path + " --dry-run -o json", `{"changes":[{"ref":"issuer/idp","action":"create"`},
		{"apply -f " + path + " --dry-run -o json", `"dry_run":true,"sequence":`},
		{"apply -f " + path + " -o json --wait", `"dry_run":false,"sequence":`},
		{"get plans gold -o json", `{"kind":"Plan","id":"gold"`},
		{"get plan -o json", `{"kind":"Plan","id":"gold"`},
		{"get plan -o yaml", "kind: Plan\n"},
		{"get plan gold", "kind: Plan\n"},
		{"get plans", "ID    API     SECURITY  STATUS     AUTO ACCEPT  NAME\ngold  orders  JWT       PUBLISHED  yes          Gold\n"},
		{"get plans gold -o table", "gold  orders"},
		{"get applications", "mobile  1234"},
		{"step subscription mobile-gold pause -o json --wait", `{"ref":"subscriptions/mobile-gold","action":"pause","sequence":`},
		{"step subscription mobile-gold resume -o json --wait", `"fleet":"in_force; nodes=0"}`},
		{"revoke --issuer idp --jti j --id r -o json --expires-at 1h", `{"ref":"revocations/r","action":"revoked","sequence":`},
		{"delete subscription mobile-gold -o json", `{"ref":"subscriptions/mobile-gold","action":"removed","sequence":`},
		{"import -f " + path + " --id again -o json", `{"id":"again","resources":5,"chunks":1,"sequence":`},
		{"fleet", "REPLICA"},
		{"fleet -o json", `"replicas":`},
		{"version -o json", `{"program":"keymanager-sync","version":`},
	} {
		if out := s.ok(strings.Fields(c.args)...); !strings.Contains(out, c.want) {
			t.Errorf("%s: no %s in\n%s", c.args, c.want, out)
		}
	}
	if r := s.run("get", "plans", "--filter", "api=nothing"); r.out != "" || r.errors != "nothing found\n" || r.status != cli.Done {
		t.Errorf("%+v", r)
	}
}

// TestEverySettingIsChecked spoils each setting of serve by itself: --check finds it.
func TestEverySettingIsChecked(t *testing.T) {
	t.Parallel()
	spoiled := map[string]string{
		"listen": "8081", "nats": "http://127.0.0.1", "nats-credentials": "absent.creds", "nats-token": "a b",
		"data-dir": "main.go", "replica-id": "a b", "peers": "10.0.0.1", "log-replicas": "6", "admin-token": "a b",
		"admin-token-file": "absent", "node-token": "a b", "node-token-file": "absent", "tls-cert": "absent.pem",
		"tls-key": "absent.pem", "max-downloads": "0", "drain-delay": "-1s", "shutdown-grace": "10", "forget-nodes-after": "1s",
		"log-format": "xml", "log-level": "inform",
	}
	s := &shell{t: t, control: "http://127.0.0.1:8081"}
	for _, name := range config.Names(&serve{settings: defaultSettings()}) {
		value, ok := spoiled[name]
		if !ok {
			t.Errorf("nothing here spoils %s", name)
			continue
		}
		contains(t, s.fails(cli.Usage, "serve", "--check", "--"+name, value), "flag --"+name+": ")
		s.env = map[string]string{"PORTCULLIS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")): value}
		contains(t, s.fails(cli.Usage, "serve", "--check"), "environment PORTCULLIS_", name+": ")
		s.env = nil
	}
	s.env = map[string]string{"PORTCULLIS_ADMIN_TOKEN": ""}
	contains(t, s.ok("serve", "--check", "--nats", "nats://me:hush@127.0.0.1"), `nats: "nats://me:********@127.0.0.1" # flag --nats`)
}

// TestColumns: what tables show are fields of the schema.
func TestColumns(t *testing.T) {
	for _, kind := range catalog.Kinds() {
		fields := catalog.New(kind).ProtoReflect().Descriptor().Fields()
		for _, column := range columnsOf(catalog.Collection(kind)) {
			if fields.ByName(protoreflect.Name(column)) == nil {
				t.Errorf("%s have no field %s", catalog.Collection(kind), column)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.env = map[string]string{"PORTCULLIS_ADMIN_TOKEN": "wrong"}
	contains(t, s.fails(cli.Failed, "get", "plans"), "token", "PORTCULLIS_ADMIN_TOKEN")
	s.env = map[string]string{"PORTCULLIS_ADMIN_TOKEN": "", "PORTCULLIS_ADMIN_TOKEN_FILE": file(t, "token", token+"\n")}
	s.ok("get", "plans")
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.ok("apply", "-f", file(t, "r.yaml", resources))
	exp := time.Now().Add(time.Hour).Unix()
	const signature = "c2lnbmF0dXJlIG9mIDMyIGJ5dGVzLCBhbGwgb2YgaXQ"
	signed := func(exp int64) string {
		return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, exp)) + "." + signature
	}
	jwt := signed(exp)
	// What goes over the wire is watched.
	var wire buffer
	tap := proxy(t, strings.TrimPrefix(s.control, "http://"), func(p []byte) bool {
		_, _ = wire.Write(p)
		return true
	})
	s.control = "http://" + tap
	contains(t, s.ok("revoke", "--token", jwt, "--id", "t1"), "revoked as revocations/t1 at sequence")
	if strings.Contains(wire.String(), jwt[10:40]) || strings.Contains(wire.String(), signature) {
		t.Error("the token was sent")
	}
	var made struct {
		SHA     string    `json:"token_sha256"`
		Expires time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(s.ok("get", "revocation", "t1", "-o", "json")), &made); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(jwt))
	if made.SHA != hex.EncodeToString(sum[:]) || made.Expires.Before(time.Unix(exp, 0)) || made.Expires.After(time.Unix(exp, 0).Add(11*time.Minute)) {
		t.Errorf("made %+v", made)
	}
	s.stdin = "Bearer " + jwt + "\n"
	s.ok("revoke", "--token", "-", "--id", "t2")
	contains(t, s.ok("get", "revocation", "t2"), hex.EncodeToString(sum[:]))
	s.ok("revoke", "--issuer", "idp", "--jti", "j", "--expires-at", "2099-01-01T00:00:00Z", "--id", "t3", "--reason", "lost", "--wait")
	contains(t, s.ok("get", "revocation", "t3"), "jti: j", "reason: lost", "2099-01-01")
	s.ok("revoke", "--issuer", "idp", "--client", "mobile-app", "--expires-at", "24h", "--id", "t4")
	contains(t, s.ok("get", "revocation", "t4"), "client_id: mobile-app", "issued_before:")
	s.ok("revoke", "--issuer", "idp", "--subject", "joe", "--expires-at", "24h", "--id", "t5")
	s.ok("revoke", "--token", "gho_x16C7==", "--id", "t6")
	if opaque := s.ok("get", "revocation", "t6"); strings.Contains(opaque, "expires_at") {
		t.Errorf("an opaque token's revocation ends:\n%s", opaque)
	}
	s.ok("revoke", "--token", signed(1), "--expires-at", "1h", "--id", "t7")
	for text, want := range map[string]string{`"` + jwt + `"`: "without quotes", jwt + ",": "commas", jwt + "=": "base64url", jwt[:len(jwt)-4]: "wrong length", signed(1): "--expires-at"} {
		contains(t, s.fails(cli.Usage, "revoke", "--token", text, "--id", "t8"), "--token", want)
	}
	for _, past := range []string{"0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z"} {
		contains(t, s.fails(cli.Usage, "revoke", "--token", jwt, "--expires-at", past, "--id", "t8"), "--expires-at", "is past")
	}
	contains(t, s.fails(cli.Failed, "get", "revocation", "t8"), "t8")
	contains(t, s.fails(cli.Failed, "revoke", "--issuer", "nobody", "--jti", "j", "--expires-at", "24h"), "nobody")
}

// proxy forwards connections to an address and shows what clients send. When
// watch says no, the connection is cut.
func proxy(t *testing.T, to string, watch func([]byte) bool) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(client, to, watch)
		}
	}()
	return listener.Addr().String()
}

func forward(client net.Conn, to string, watch func([]byte) bool) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go io.Copy(client, server) //nolint:errcheck // ends with the connection
	part := make([]byte, 32<<10)
	for {
		n, err := client.Read(part)
		if n > 0 && !watch(part[:n]) || err != nil {
			return
		}
		if _, err := server.Write(part[:n]); err != nil {
			return
		}
	}
}

func TestImportResumesAfterALostConnection(t *testing.T) {
	t.Parallel()
	s := start(t)
	var text strings.Builder
	const amount = 6000
	for i := range amount {
		fmt.Fprintf(&text, `{"kind":"Application","id":"app-%05d","name":"A","description":"%080d"}`+"\n", i, i)
	}
	path := file(t, "many.ndjson", text.String())
	// Three connections are cut on the way, each further than the one before.
	var mu sync.Mutex
	passed, cuts := 0, 0
	cutting := proxy(t, strings.TrimPrefix(s.control, "http://"), func(p []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		passed += len(p)
		if cuts < 3 && passed > (cuts+1)*text.Len()/4 {
			cuts, passed = cuts+1, 0
			return false
		}
		return true
	})
	direct := s.control
	s.control = "http://" + cutting
	r := s.run("import", "-f", path, "--id", "many", "--wait")
	contains(t, r.out, fmt.Sprintf("imported %d resources in 6 chunks as many", amount), "in_force")
	contains(t, r.errors, "going on in")
	if cuts != 3 {
		t.Errorf("%d cuts: %s%s", cuts, r.out, r.errors)
	}
	s.control = direct
	if n := strings.Count(s.ok("get", "applications", "-o", "json"), "\n"); n != amount {
		t.Errorf("%d applications, want %d", n, amount)
	}
	s.stdin = text.String()
	contains(t, s.ok("import", "-f", "-", "--id", "many", "--quiet"), "imported 6000 resources")
}

// TestImportHearsOfAnEarlyFault sends far more than the buffers between the
// two hold after the server has found the fault.
func TestImportHearsOfAnEarlyFault(t *testing.T) {
	t.Parallel()
	s := start(t)
	line := `{"kind":"Application","id":"a","name":"A"}` + "\n"
	path := file(t, "many.ndjson", `{"kind":"Application","id":"a","nam":"A"}`+"\n"+strings.Repeat(line, 1<<19))
	contains(t, s.fails(cli.Failed, "import", "-f", path, "--id", "x"), "many.ndjson:1: ", `"name"`)
}

func TestImportFails(t *testing.T) {
	t.Parallel()
	s := start(t)
	contains(t, s.fails(cli.Failed, "import", "-f", t.TempDir()), "folder")
	contains(t, s.fails(cli.Failed, "import", "-f", "/nothing"), "/nothing")
	contains(t, s.fails(cli.Failed, "import", "-f", file(t, "a.yaml", ""), "--id", "a/b"), "id=")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var seen buffer
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			fmt.Fprint(&seen, r.Header.Get("Authorization"))
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})}
	go server.Serve(other) //nolint:errcheck // ends with the test
	t.Cleanup(func() { _ = server.Close() })
	s := &shell{t: t, control: "http://" + other.Addr().String()}
	contains(t, s.fails(cli.Failed, "get", "plans"), "redirect")
	if seen.String() != "" {
		t.Error("the token went to where the redirect leads")
	}
}

func TestAnswersOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.control += "/nowhere"
	contains(t, s.fails(cli.Failed, "get", "plans"), "there is nothing at")
}
