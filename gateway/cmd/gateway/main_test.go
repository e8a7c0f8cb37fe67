package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway"
	"github.com/portcullis-gateway/portcullis/shared/cli"
	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

func check(env map[string]string, args ...string) (status int, out, errs string) {
	var stdout, stderr strings.Builder
	status = app().Run(context.Background(), cli.Process{
		Args: append([]string{"--check"}, args...), ReadFile: os.ReadFile, Stdout: &stdout, Stderr: &stderr,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	return status, stdout.String(), stderr.String()
}

// TestEverySettingIsChecked spoils each setting by itself: --check finds it.
func TestEverySettingIsChecked(t *testing.T) {
	spoiled := map[string]string{
		"listen": "8080", "admin-listen": "127.0.0.1:port", "control": "10.0.0.1:8081", "nats": "http://127.0.0.1",
		"nats-credentials": "absent.creds", "nats-token": "a b", "node-token": "a b", "admin-token": "a b", "data-dir": "main.go",
		"resources": "absent.yaml", "node-id": "a b", "token-cache-entries": "0", "token-cache-size": "1KiB", "max-token-size": "65KiB",
		"limit-keys": "-1", "max-header": "100", "max-conns": "0", "max-conns-per-ip": "-1", "read-timeout": "0s",
		"write-timeout": "30", "idle-timeout": "-1s", "drain-delay": "-1s", "drain-timeout": "0s", "tls-cert": "absent.pem",
		"tls-key": "absent.pem", "trusted-proxies": "10.0.0.1/8", "client-cert-header": "Host", "client-cert-form": "der", "signing-key": "absent.pem",
		"otlp-endpoint": "collector:4318", "otlp-headers": "x", "otlp-trace-share": "2", "otlp-metrics-interval": "-1s", "otlp-attributes": "=x",
		"pprof": "maybe", "log-requests": "2", "access-log": "some", "access-log-share": "1.5", "explain-refusals": "100001", "access-log-refused-rate": "-1", "log-format": "xml", "log-level": "inform",
	}
	for _, name := range config.Names(&node{Config: gateway.DefaultConfig(), Log: telemetry.DefaultLog()}) {
		value, ok := spoiled[name]
		if !ok {
			t.Errorf("nothing here spoils %s", name)
			continue
		}
		if status, _, errs := check(nil, "--"+name+"="+value); status != cli.Usage || !strings.Contains(errs, "flag --"+name+": ") {
			t.Errorf("--%s=%s: status %d, %s", name, value, status, errs)
		}
		variable := "PORTCULLIS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if status, _, errs := check(map[string]string{variable: value}); status != cli.Usage || !strings.Contains(errs, "environment "+variable+": "+name+": ") {
			t.Errorf("%s=%s: status %d, %s", variable, value, status, errs)
		}
	}
}

// TestCheck finds what is wrong between settings and in the files that they name.
func TestCheck(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bad, good := file("kind: Api\nid: a\nnam: A\n"), file("kind: Application\nid: a\nname: A\n")
	for _, c := range []struct {
		args string
		want string // empty: nothing is wrong
	}{
		{"", ""},
		{"--listen 127.0.0.1:9090", "127.0.0.1:9090 is the address of listen, too"},
		{"--admin-listen :8080", "flag --admin-listen: :8080 is the address of listen, too (hint: give each its own port)"},
		{"--nats-token x --nats-credentials " + good, "nats-credentials too"},
		{"--tls-cert " + good, "is needed with tls-key"},
		{"--tls-cert " + good + " --tls-key " + good, "flag --tls-cert: "},
		{"--signing-key " + good, "flag --signing-key: "},
		{good, ""},
		{bad, bad + ":3: "},
		{"--resources " + bad, `did you mean "name"?`},
		{"--listen x --log-level y --nats-token a\tb", "flag --log-level: "}, // all at once
	} {
		status, out, errs := check(nil, strings.Fields(c.args)...)
		if c.want == "" && (status != cli.Done || errs != "") || c.want != "" && (status != cli.Usage || out != "" || !strings.Contains(errs, c.want)) {
			t.Errorf("%s: status %d, want %q in\n%s%s", c.args, status, c.want, out, errs)
		}
	}
	_, out, _ := check(nil, "--nats=nats://me:hush@127.0.0.1:4222", "--control=http://token@127.0.0.1", "--nats-token=hush2")
	if strings.Contains(out, "hush") || strings.Contains(out, "token@") || !strings.Contains(out, `nats: ["nats://me:********@127.0.0.1:4222"]`) {
		t.Errorf("a secret is shown, or too much is hidden:\n%s", out)
	}
}
