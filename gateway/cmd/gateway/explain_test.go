package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway"
	"github.com/portcullis-gateway/portcullis/shared/cli"
)

const secret = "a secret of thirty-two bytes or more"

// serve runs a node on one Api and returns the address of its admin listener.
func serve(t *testing.T) string {
	t.Helper()
	_, admin := serveAs(t, func(*gateway.Config) {})
	return admin
}

// serveAs is serve with other settings. It returns the address for requests, too.
func serveAs(t *testing.T, change func(*gateway.Config)) (proxy, admin string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resources.yaml")
	const resources = `
kind: Issuer
id: acme
issuer: https://acme.test
keys: {hmac_secrets: [{value: ` + secret + `}]}
---
kind: Api
id: orders
context_path: /orders
upstream: {targets: [{url: "http://127.0.0.1:9/base"}]}
---
kind: Plan
id: orders-jwt
api: orders
security: JWT
status: PUBLISHED
jwt: {issuers: [acme], scopes: {all: [read]}, claims_to_headers: [{claim: sub, header: X-User}]}
---
kind: Application
id: mobile
name: Mobile
clients: [{issuer: acme, client_id: mobile-app}]
---
kind: Subscription
id: mobile-orders
application: mobile
plan: orders-jwt
`
	if err := os.WriteFile(file, []byte(resources), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := gateway.DefaultConfig()
	cfg.Listen, cfg.AdminListen, cfg.Resources = "127.0.0.1:0", "127.0.0.1:0", []string{file}
	cfg.DataDir = filepath.Dir(file)
	listening := make(chan string, 2)
	cfg.Listening = func(proxy, admin string) { listening <- "http://" + proxy; listening <- "http://" + admin }
	change(&cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- gateway.Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	proxy, admin = <-listening, <-listening
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(admin + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return proxy, admin
			}
		}
		if time.Now().After(end) {
			t.Fatal("the node is not ready")
		}
	}
}

func sign(client, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	signed := encode([]byte(`{"alg":"HS256"}`)) + "." + encode(fmt.Appendf(nil,
		`{"iss":"https://acme.test","azp":%q,"sub":"alice","exp":%d%s}`, client, now+60, claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

func TestExplain(t *testing.T) {
	admin := serve(t)
	good, bare, other := sign("mobile-app", `,"scope":"read"`), sign("mobile-app", ""), sign("x", `,"scope":"read"`)
	for _, test := range []struct {
		name  string
		args  []string
		stdin string
		code  int
		want  []string // each in one line
	}{
		{"allowed", []string{"--url", "http://api.test/orders/v1?access_token=x", "--token", good}, "", 0, []string{
			"GET http://api.test/orders/v1?…", "allowed, api orders, plan orders-jwt, application mobile, by the state at sequence 1",
			"  token", "issuer=acme", "key=keys.hmac_secrets[0]", "  subscription", "subscription=mobile-orders", "status=ACCEPTED",
			"rules=jwt.scopes", "> forward", "path=/v1", `set:X-User="5 bytes"`, "removed:header=Authorization",
		}},
		{"from standard input", []string{"--url", "http://api.test/orders", "--token", "-"}, good + "\n", 0, []string{"allowed"}},
		{"by header", []string{"--url", "http://api.test/orders", "--header", "Authorization: Bearer " + good, "--header", "X-A: b", "--method", "PUT"}, "", 0, []string{"PUT http://api.test/orders"}},
		{"scope", []string{"--url", "http://api.test/orders", "--token", bare}, "", 1, []string{"refused: insufficient_scope, api orders, application mobile", "> rules", "field=jwt.scopes"}},
		{"no subscription", []string{"--url", "http://api.test/orders", "--token", other}, "", 1, []string{"refused: subscription_not_found", "> subscription"}},
		{"junk", []string{"--url", "http://api.test/orders", "--token", "junk"}, "", 1, []string{"refused: invalid_token", "> token", "three parts"}},
		{"nothing", []string{"--url", "http://api.test/orders"}, "", 1, []string{"refused: missing_credentials", "> plans"}},
		{"nowhere", []string{"--url", "http://api.test/x"}, "", 1, []string{"refused: api_not_found", "> route"}},
		{"help", []string{"--help"}, "", 0, []string{"gateway explain [flags]", "--token"}},
		{"no URL", nil, "", 2, []string{"--url or --request-id is needed"}},
		{"a relative URL", []string{"--url", "/orders?access_token=HIDDEN"}, "", 2, []string{"url: it is not an absolute"}},
		{"unknown flag", []string{"--uri", "x"}, "", 2, []string{"--uri: unknown flag (hint: did you mean \"--url\"?)"}},
		{"a header without colon", []string{"--url", "http://a/", "--header", "HIDDEN"}, "", 2, []string{"--header: write"}},
		{"one word too many", []string{"--url", "http://a/", "x"}, "", 2, []string{`unexpected argument "x"`}},
		{"json", []string{"--url", "http://api.test/x", "-o", "json"}, "", 1, []string{`{"allowed":false,"reason":"api_not_found","cause":"no_route",`, `"sequence":1,"steps":[{"step":"route",`}},
		{"an id and a URL", []string{"--url", "http://a/", "--request-id", "x"}, "", 2, []string{"leave the flags"}},
		{"another output", []string{"--url", "http://a/", "-o", "xml"}, "", 2, []string{"not one of table, json"}},
		{"no certificate", []string{"--url", "http://a/", "--certificate", "absent.pem"}, "", 2, []string{"absent.pem"}},
		{"nobody there", []string{"--admin", "http://127.0.0.1:1", "--url", "http://a/"}, "", 2, []string{"ask the node"}},
		{"not a node", []string{"--admin", admin + "/metrics", "--url", "http://a/"}, "", 2, []string{"ask the node"}},
	} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"explain", "--admin", admin}, test.args...)
		code := app().Run(t.Context(), cli.Process{
			Args: args, ReadFile: os.ReadFile, Stdin: strings.NewReader(test.stdin), Stdout: &stdout, Stderr: &stderr,
		})
		text := stdout.String() + stderr.String()
		if code != test.code {
			t.Errorf("%s: exit status %d, want %d\n%s", test.name, code, test.code, text)
		}
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, text)
			}
		}
		if strings.Contains(text, "HIDDEN") || strings.Contains(text, secret) || strings.Contains(text, "access_token") && test.name != "help" || strings.Contains(text, good[len(good)-20:]) {
			t.Errorf("%s: a secret is in\n%s", test.name, text)
		}
		if marks := strings.Count("\n"+text, "\n> "); test.code < 2 && test.name != "help" && test.name != "json" && marks != 1 {
			t.Errorf("%s: %d lines are marked\n%s", test.name, marks, text)
		}
	}
}

// An operator who has a request's id needs nobody's token to see why it was refused.
func TestExplainByRequestID(t *testing.T) {
	proxy, admin := serveAs(t, func(c *gateway.Config) { c.ExplainRefusals = 3 })
	good, forged := sign("mobile-app", `,"scope":"read"`), sign("mobile-app", "")+"x"
	send := func(path, token string) (status int, id string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, proxy+path+"?access_token=HIDDEN", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("X-Request-Id")
	}
	ask := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := app().Run(t.Context(), cli.Process{
			Args: append([]string{"explain", "--admin", admin}, args...), ReadFile: os.ReadFile, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
		})
		return code, out.String()
	}
	first := ""
	for _, test := range []struct {
		name, path, token string
		status            int
		want              []string
	}{
		{"no route", "/nowhere", "", 404, []string{"GET 127.0.0.1/nowhere", "refused: api_not_found", "cause no_route: ", "> route"}},
		{"forged", "/orders/v1", forged, 401, []string{"status 401  client 127.0.0.1", "refused: invalid_token, api orders\ncause signature: ", "  credential", "kind=token", "> token"}},
		{"forged again", "/orders/v1", forged, 401, []string{"cause signature: "}},
		{"no scope", "/orders/v1", sign("mobile-app", ""), 403, []string{"refused: insufficient_scope, api orders, plan orders-jwt, application mobile", "cause scope: ", "> rules"}},
		{"no upstream", "/orders/v1", good, 502, []string{"refused: upstream_unreachable, api orders, plan orders-jwt, application mobile", "cause upstream_connect: ", "> upstream"}},
	} {
		status, id := send(test.path, test.token)
		first = cmp.Or(first, id)
		code, text := ask("--request-id", id)
		if status != test.status || code != 1 {
			t.Errorf("%s: status %d, explained with exit status %d\n%s", test.name, status, code, text)
		}
		for _, want := range append(test.want, id) {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, text)
			}
		}
		if strings.Contains(text, "HIDDEN") || strings.Contains(text, "alice") || test.token != "" && strings.Contains(text, test.token[:20]) {
			t.Errorf("%s: something of the credential is in\n%s", test.name, text)
		}
	}
	for name, id := range map[string]string{"of another node": "000000000000000000000000", "pushed out": first} {
		if code, text := ask("--request-id", id); code != 2 || !strings.Contains(text, "among the 3 refused requests that this node keeps: those refused since 20") {
			t.Errorf("%s: exit status %d\n%s", name, code, text)
		}
	}
	proxy, admin = serveAs(t, func(c *gateway.Config) { c.ExplainRefusals = 0 })
	_, id := send("/nowhere", "")
	if code, text := ask("--request-id", id); code != 2 || !strings.Contains(text, "explain-refusals is 0") {
		t.Errorf("turned off: exit status %d\n%s", code, text)
	}
}

// What a caller sends must not reach the operator's terminal as anything but text.
func TestDetailsAreOneLine(t *testing.T) {
	got := strings.Join(details(map[string]string{"kid": "a\x1b[2J\nb\u009b", "empty": "", "b": `say "x"`, "removed header": "A"}), "  ")
	if want := `b="say \"x\""  kid="a\x1b[2J\nb\u009b"  removed:header=A`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
