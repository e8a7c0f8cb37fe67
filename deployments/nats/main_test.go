package main

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestConfigurations(t *testing.T) {
	for _, file := range []string{"n1.conf", "n2.conf", "n3.conf", "single.conf"} {
		opts, err := server.ProcessConfigFile(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if err := check(opts); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if opts.MaxPayload != 8<<20 {
			t.Errorf("%s: max_payload is %d", file, opts.MaxPayload)
		}
		if want := 3; strings.HasPrefix(file, "n") && len(opts.Routes) != want {
			t.Errorf("%s: %d routes, want %d", file, len(opts.Routes), want)
		}
		if opts.StoreDir == "" {
			t.Errorf("%s: no store_dir", file)
		}
	}
}

func TestCheck(t *testing.T) {
	good := server.Options{JetStream: true, SyncAlways: true, MaxPayload: 8 << 20}
	for name, c := range map[string]struct {
		spoil func(*server.Options)
		want  string
	}{
		"good":          {func(*server.Options) {}, ""},
		"no jetstream":  {func(o *server.Options) { o.JetStream = false }, "jetstream is off"},
		"late sync":     {func(o *server.Options) { o.SyncAlways = false }, "sync_interval"},
		"small payload": {func(o *server.Options) { o.MaxPayload = 1 << 20 }, "max_payload"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := good
			c.spoil(&opts)
			err := check(&opts)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"help", 0, "nats --config FILE"},
		{"-h", 0, "nats --config FILE"},
		{"--help", 0, "nats --config FILE"},
		{"version", 0, "nats-server " + server.VERSION},
		{"--version", 0, "nats-server " + server.VERSION},
		{"version -o json", 0, `{"program":"nats","version":`},
		{"version --outptu json", 2, "did you mean \"--output\"?"},
		{"--config single.conf -t", 0, "the configuration is valid"},
		{"--confg single.conf", 2, "--confg: unknown flag (hint: did you mean \"--config\"?)"},
		{"--config absent.conf", 2, "absent.conf"},
		{"single.conf", 2, "single.conf"},
		{"--port 0", 2, "jetstream is off"},
	} {
		var stdout, stderr strings.Builder
		code := run(strings.Fields(c.args), &stdout, &stderr)
		if printed := stdout.String() + stderr.String(); code != c.code || !strings.Contains(printed, c.want) {
			t.Errorf("%s: exit status %d, want %d and %q in\n%s", c.args, code, c.code, c.want, printed)
		}
		if (stderr.String() == "") != (c.code == 0) {
			t.Errorf("%s: status %d, and on standard error: %s", c.args, code, stderr.String())
		}
	}
}
