package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// checked has a setting for every rule.
type checked struct {
	Listen  string        `setting:"listen" check:"listen"`
	Control []string      `setting:"control" check:"url http https"`
	NATS    string        `setting:"nats" check:"url nats tls"`
	Level   string        `setting:"log-level" enum:"debug,info"`
	File    string        `setting:"tls-cert" check:"file"`
	Dir     string        `setting:"data-dir" check:"dir"`
	ID      string        `setting:"node-id" check:"id"`
	Token   string        `setting:"admin-token" check:"token" secret:"true"`
	Text    string        `setting:"text"`
	Wait    time.Duration `setting:"wait" min:"1ms" max:"1h"`
	Keys    int           `setting:"limit-keys" min:"1"`
	Size    config.Size   `setting:"max-header" max:"1MiB"`
	Files   []string      `setting:"file" short:"f" use:"flag" elements:"whole"`
	Quiet   string        `setting:"quiet" use:"environment"`
	args    []string
}

func (c *checked) Take(args []string) { c.args = args }

func good() *checked {
	return &checked{Listen: ":1", Level: "info", Wait: time.Second, Keys: 1}
}

func TestRules(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{
		"--listen=127.0.0.1:8080":               "",
		"--listen=[::1]:8080":                   "",
		"--listen=[fe80::1%eth0]:8080":          "",
		"--listen=gateway.example:0":            "",
		"--listen=8080":                         `flag --listen: "8080": not an address to listen at (hint: write host:port: 127.0.0.1:8080, or :8080 for every address of this machine)`,
		"--listen=127.0.0.1:http":               "the port is not a number from 0 to 65535",
		"--listen=127.0.0.1:65536":              "the port is not a number from 0 to 65535",
		"--listen=127.0.0.256:80":               "neither a name nor an IP address",
		"--listen=a b:80":                       "neither a name nor an IP address",
		"--control=http://a.example/base":       "",
		"--control=https://[::1]:8081,http://b": "",
		"--control=a.example:8081":              `flag --control: "a.example:8081": `,
		"--control=ftp://a":                     "the scheme is not one of http, https (hint: write http://host:port)",
		"--control=http://":                     "the URL has no host",
		"--control=http://a:99999":              "the port is not a number",
		"--control=http://a?b=c":                "neither ? nor #",
		"--control=http://a,http://b c":         `"http://b c": `,
		"--nats=nats://a:4222,tls://b":          "",
		"--nats=127.0.0.1:4222":                 "",
		"--nats=http://a":                       "not one of nats, tls",
		"--nats=nats://u:secret@a b:1":          `"nats://u:********@a b:1": not a URL`,
		"--nats=nats://u:se,cret@a b":           `"nats://u:********@a b": `,
		"--control=http://a?access_token=hush":  `"http://a?access_token=********": `,
		"--log-level=infoo":                     `flag --log-level: "infoo": not one of debug, info (hint: did you mean "info"?)`,
		"--log-level=":                          "not one of debug, info",
		"--tls-cert=" + file:                    "",
		"--tls-cert=" + file + "x":              "there is no such file",
		"--tls-cert=" + dir:                     "a directory, not a file",
		"--data-dir=" + dir:                     "",
		"--data-dir=" + dir + "/new":            "",
		"--data-dir=" + file:                    "a file, not a directory",
		"--node-id=gateway-1":                   "",
		"--node-id=a b":                         "not an id",
		"--node-id=" + strings.Repeat("x", 129): "not an id",
		"--admin-token=a b":                     "flag --admin-token: not a token",
		"--text=a\x1b[2J":                       "control characters",
		"--wait=1h":                             "",
		"--wait=0s":                             "flag --wait: 0s: out of range (hint: 1ms to 1h)",
		"--wait=61m":                            "out of range",
		"--limit-keys=0":                        "flag --limit-keys: 0: out of range (hint: at least 1)",
		"--limit-keys=-1":                       "out of range",
		"--max-header=2MiB":                     "flag --max-header: 2MiB: out of range (hint: at most 1MiB)",
		"--quiet=x":                             "--quiet: unknown flag",
	} {
		_, err := config.Load(config.Program{}, good(), source([]string{"--check", arg}, nil, ""))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %s", arg, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: a password is shown: %v", arg, err)
		}
	}
	// A program that starts opens its files itself.
	if _, err := config.Load(config.Program{}, good(), source([]string{"--tls-cert=absent"}, nil, "")); err != nil {
		t.Error(err)
	}
}

func TestUnknownFlagsAreAllReported(t *testing.T) {
	_, err := config.Load(config.Program{}, good(), source([]string{"--listn", ":1", "-x", "--wat=1s", "--wait=soon", "file"}, nil, ""))
	want := []string{
		`command line: --listn: unknown flag (hint: did you mean "--listen"?)`,
		`command line: -x: unknown flag (hint: `,
		`command line: --wat: unknown flag (hint: did you mean "--wait"?)`,
		`flag --wait: "soon": not a duration`,
	}
	if err == nil {
		t.Fatal("no fault")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		if len(lines) != len(want) || !strings.HasPrefix(line, want[i]) {
			t.Fatalf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
		}
	}
}

func TestUses(t *testing.T) {
	c := good()
	env := map[string]string{"PORTCULLIS_FILE": "no", "PORTCULLIS_QUIET": "yes"}
	l, err := config.Load(config.Program{}, c, source([]string{"-f", "a,b", "-f", "c", "d"}, env, ""))
	if err != nil || !slices.Equal(c.Files, []string{"a,b", "c"}) || c.Quiet != "yes" || !slices.Equal(c.args, []string{"d"}) {
		t.Errorf("%+v %v", c, err)
	}
	if strings.Contains(l.Usage, "--quiet") || !strings.Contains(l.Usage, "-f, --file") {
		t.Error(l.Usage)
	}
	_, err = config.Load(config.Program{}, good(), source([]string{"--config=gateway.yaml"}, nil, "file: [a]"))
	if err == nil || !strings.Contains(err.Error(), "file: unknown setting") {
		t.Errorf("got %v", err)
	}
	var names []string
	for _, f := range config.Flags(config.Program{Short: true}, good()) {
		names = append(names, f.Name)
	}
	want := []string{
		"listen", "control", "nats", "log-level", "tls-cert", "data-dir", "node-id", "admin-token", "text", "wait",
		"limit-keys", "max-header", "file", "version", "help",
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
}

func TestUnknownVariables(t *testing.T) {
	environ := []string{
		"PORTCULLIS_LISTN=:1", "PORTCULLIS_NODE_TOKEN=t", // one of another program
		"HOME=/", "PORTCULLISX=1",
		// What Kubernetes says about Services called portcullis and portcullis-nats.
		"PORTCULLIS_SERVICE_HOST=10.0.0.1", "PORTCULLIS_SERVICE_PORT=8080", "PORTCULLIS_SERVICE_PORT_HTTP=8080", "PORTCULLIS_PORT=tcp://10.0.0.1:8080",
		"PORTCULLIS_PORT_8080_TCP=tcp://10.0.0.1:8080", "PORTCULLIS_PORT_8080_TCP_PROTO=tcp", "PORTCULLIS_PORT_8080_TCP_PORT=8080",
		"PORTCULLIS_PORT_8080_TCP_ADDR=10.0.0.1", "PORTCULLIS_NATS_SERVICE_HOST=10.0.0.2", "PORTCULLIS_NATS_PORT=tcp://10.0.0.2:4222",
		"PORTCULLIS_NATS_PORT_4222_UDP_ADDR=10.0.0.2",
		"PORTCULLIS_PORTS=1",
	}
	want := []string{
		`environment PORTCULLIS_LISTN: no setting has this name (hint: did you mean "PORTCULLIS_LISTEN"?)`,
		`environment PORTCULLIS_PORTS: no setting has this name`,
	}
	for _, arg := range []string{"", "--check"} {
		from := source(nil, nil, "")
		if arg != "" {
			from.Args = []string{arg}
		}
		from.Environ = func() []string { return environ }
		l, err := config.Load(config.Program{}, good(), from)
		var got fault.List
		if got = l.Warnings; len(got) != len(want) {
			t.Fatalf("%s: got %v", arg, got)
		}
		for i := range want {
			if !strings.HasPrefix(got[i].Error(), want[i]) {
				t.Errorf("got %v, want %s", got[i], want[i])
			}
		}
		if (err != nil) != (arg == "--check") {
			t.Errorf("%q: %v", arg, err)
		}
	}
}

func TestPasswordsInURLsAreMasked(t *testing.T) {
	c := good()
	c.Control = []string{"http://me:hush@a", "http://b/path", "http://c/?api_key=hush"}
	c.NATS = "nats://u:p@ss@a:4222,nats://hush@b:4222,nats://c"
	l, err := config.Load(config.Program{}, c, source([]string{"--check"}, nil, ""))
	if l == nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := l.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`control: ["http://me:********@a", "http://b/path", "http://c/?api_key=********"]`,
		`nats: "nats://u:********@a:4222,nats://********@b:4222,nats://c"`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "file:") {
		t.Errorf("a flag is no setting:\n%s", b.String())
	}
}

func TestConflicts(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{":1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "0.0.0.0:1", true},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"nonsense", "nonsense", false},
	} {
		if got := len(config.Conflicts("a", c.a, "b", c.b)) > 0; got != c.want {
			t.Errorf("%s and %s: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
