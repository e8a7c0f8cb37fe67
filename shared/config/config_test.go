package config_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

type common struct {
	LogLevel string `setting:"log-level" help:"what is logged"`
}

type settings struct {
	common
	Listen      string        `setting:"listen" help:"address of the gateway"`
	AdminListen string        `setting:"admin-listen" help:"address of health and metrics"`
	Control     []string      `setting:"control" help:"control planes"`
	Drain       time.Duration `setting:"drain-delay" help:"time between not ready and closing"`
	MaxBody     config.Size   `setting:"max-body" help:"largest body"`
	Demo        bool          `setting:"demo" help:"with a demo"`
	Workers     int           `setting:"workers" help:"number of workers"`
	Small       uint32        `setting:"small" help:"a small number"`
	Token       string        `setting:"token" help:"the token" secret:"true"`
	Own         func()
	Marked      func() `setting:"-"`
	problems    fault.List
}

func (s *settings) Validate() error {
	if s.problems != nil {
		return s.problems
	}
	return nil
}

func defaults() *settings {
	return &settings{
		common: common{LogLevel: "info"}, Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:9090",
		Drain: 90 * time.Minute, MaxBody: 10 << 20, Demo: true, Workers: 4,
	}
}

// source is a command line, an environment and one file named gateway.yaml.
func source(args []string, env map[string]string, file string) config.Source {
	return config.Source{
		Args:      args,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(name string) ([]byte, error) {
			if name != "gateway.yaml" {
				return nil, os.ErrNotExist
			}
			return []byte(file), nil
		},
	}
}

func TestPrecedence(t *testing.T) {
	cfg := defaults()
	l, err := config.Load(config.Program{Name: "gateway"}, cfg, source(
		[]string{"--config", "gateway.yaml", "--listen=:1", "--control", "a,b", "--control", "c", "--demo=false", "file1", "file2"},
		map[string]string{
			"PORTCULLIS_LISTEN": ":2", "PORTCULLIS_ADMIN_LISTEN": ":2", "PORTCULLIS_MAX_BODY": "64KiB", "PORTCULLIS_WORKERS": "",
			"PORTCULLIS_OTHER": "of another program",
		},
		"listen: :3\nadmin_listen: :3\ndrain_delay: 7d\ncontrol: [x]\nworkers: 9\ntoken: hush\n",
	))
	if err != nil {
		t.Fatal(err)
	}
	want := &settings{
		common: common{LogLevel: "info"}, Listen: ":1", AdminListen: ":2", Control: []string{"a", "b", "c"},
		Drain: 7 * 24 * time.Hour, MaxBody: 64 << 10, Workers: 9, Token: "hush",
	}
	if d := cmp.Diff(want, cfg, cmp.AllowUnexported(settings{}, common{})); d != "" {
		t.Error(d)
	}
	if !slices.Equal(l.Args, []string{"file1", "file2"}) || l.Mode != config.Run {
		t.Errorf("%v %v", l.Args, l.Mode)
	}
	for name, want := range map[string]string{
		"listen": "flag --listen", "admin-listen": "environment PORTCULLIS_ADMIN_LISTEN", "drain-delay": "gateway.yaml:3",
		"log-level": "default", "nonsense": "",
	} {
		if got := l.Source(name); got != want {
			t.Errorf("%s comes from %q, want %q", name, got, want)
		}
	}
}

func TestConfigFileFromEnvironment(t *testing.T) {
	cfg := defaults()
	_, err := config.Load(config.Program{}, cfg, source(nil, map[string]string{"PORTCULLIS_CONFIG": "gateway.yaml"}, "demo: false\ncontrol: a, b\n"))
	if err != nil || cfg.Demo || !slices.Equal(cfg.Control, []string{"a", "b"}) {
		t.Errorf("%v %+v", err, cfg)
	}
}

func TestEmptyListInFile(t *testing.T) {
	cfg := defaults()
	cfg.Control = []string{"a"}
	if _, err := config.Load(config.Program{}, cfg, source([]string{"--config=gateway.yaml"}, nil, "control: []")); err != nil || len(cfg.Control) != 0 {
		t.Errorf("%v %v", err, cfg.Control)
	}
}

func TestFaults(t *testing.T) {
	file := []string{"--config=gateway.yaml"}
	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		file string
		want []string
	}{
		"unknown flag": {[]string{"--admin-listn=:1"}, nil, "", []string{`command line: --admin-listn: unknown flag (hint: did you mean "--admin-listen"?)`}},
		"no argument":  {[]string{"--listen"}, nil, "", []string{`command line: flag needs an argument: --listen`}},
		"unknown key":  {file, nil, "listen: :1\nadmin-listen: :2\n", []string{`gateway.yaml:2: admin-listen: unknown setting (hint: did you mean "admin_listen"?)`}},
		"far key":      {file, nil, "xyz: 1", []string{`gateway.yaml:1: xyz: unknown setting (hint: the nearest known one is "demo"; known here: log_level, listen, admin_listen, control, drain_delay, max_body, demo, workers, small, token)`}},
		"twice":        {file, nil, "listen: :1\n\nlisten: :2\n", []string{`gateway.yaml:3: listen: the setting appears twice, first in line 1 (hint: keep one)`}},
		"null":         {file, nil, "listen:\n", []string{`gateway.yaml:1: listen: the setting has no value (hint: leave the line out for the default)`}},
		"list":         {file, nil, "listen: [a]\n", []string{`gateway.yaml:1: listen: expected a string`}},
		"object":       {file, nil, "control: {a: b}\n", []string{`gateway.yaml:1: control: expected a list`}},
		"list in list": {file, nil, "control: [[a]]\n", []string{`gateway.yaml:1: control: expected a list of texts without commas`}},
		"no mapping":   {file, nil, "- a\n", []string{`gateway.yaml:1: a settings file holds lines of key: value`}},
		"documents":    {file, nil, "demo: true\n---\ndemo: false\n", []string{`gateway.yaml:2: a settings file is one document`}},
		"no file":      {[]string{"--config=x.yaml"}, nil, "", []string{`flag --config: there is no file x.yaml (hint: give the path of a YAML file, or leave the setting out)`}},
		"large":        {file, nil, strings.Repeat("#", 1<<20+1), []string{`gateway.yaml: the file is larger than 1 MiB`}},
		"all at once": {
			append(file, "--workers=many", "--control=a,,b"),
			map[string]string{"PORTCULLIS_DRAIN_DELAY": "5", "PORTCULLIS_MAX_BODY": "10MB"},
			"demo: maybe\nsmall: 4294967296\nworker: 1\n",
			[]string{
				`gateway.yaml:3: worker: unknown setting (hint: did you mean "workers"?)`,
				`flag --control: "a,,b": an element of the list is empty (hint: separate the elements by single commas)`,
				`environment PORTCULLIS_DRAIN_DELAY: drain-delay: "5": not a duration (hint: write a number with its unit: 500ms, 90s, 24h, 7d)`,
				`environment PORTCULLIS_MAX_BODY: max-body: "10MB": not a size (hint: write bytes, or KiB, MiB, GiB: 512, 64KiB, 10MiB)`,
				`gateway.yaml:1: demo: "maybe": not a bool (hint: write true or false)`,
				`flag --workers: "many": not a whole number`,
				`gateway.yaml:2: small: "4294967296": out of range`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load(config.Program{Name: "gateway"}, defaults(), source(tc.args, tc.env, tc.file))
			fs, ok := errors.AsType[fault.List](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if d := cmp.Diff(tc.want, strings.Split(fs.Error(), "\n")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBrokenYAMLNamesTheLine(t *testing.T) {
	_, err := config.Load(config.Program{}, defaults(), source([]string{"--config=gateway.yaml"}, nil, "demo: true\nlisten: [a\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "gateway.yaml:") || !strings.Contains(err.Error(), "not YAML: ") {
		t.Errorf("got %v", err)
	}
}

func TestValidateKnowsTheSource(t *testing.T) {
	cfg := defaults()
	cfg.problems = fault.List{
		{Field: "listen", Message: "the port is taken", Hint: "take another"},
		{Field: "workers", Message: "too few"},
		{Field: "nonsense", Message: "impossible"},
	}
	_, err := config.Load(config.Program{}, cfg, source([]string{"--workers=x"}, map[string]string{"PORTCULLIS_LISTEN": ":1"}, ""))
	want := "flag --workers: \"x\": not a whole number\n" +
		"environment PORTCULLIS_LISTEN: listen: the port is taken (hint: take another)\n" +
		"settings: nonsense: impossible"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	cfg := defaults()
	cfg.Token = "a-default-secret"
	l, err := config.Load(config.Program{Name: "gateway", Summary: "Guards.", Arguments: "[FILE…]"}, cfg,
		source([]string{"--check", "--control=a,b"}, map[string]string{"PORTCULLIS_TOKEN": "hush"}, ""))
	if err != nil || l.Mode != config.Check {
		t.Fatal(err, l.Mode)
	}
	var b strings.Builder
	if err := l.Print(&b); err != nil {
		t.Fatal(err)
	}
	want := `log_level: "info" # default
listen: "127.0.0.1:8080" # default
admin_listen: "127.0.0.1:9090" # default
control: ["a", "b"] # flag --control
drain_delay: 1h30m # default
max_body: 10MiB # default
demo: true # default
workers: 4 # default
small: 0 # default
token: "********" # environment PORTCULLIS_TOKEN
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
	if strings.Contains(l.Usage, "secret") || !strings.Contains(l.Usage, "(default 1h30m)") || !strings.Contains(l.Usage, "gateway [settings] [FILE…]") {
		t.Error(l.Usage)
	}
	// What is printed is a settings file.
	again := defaults()
	if _, err := config.Load(config.Program{}, again, source([]string{"--config=gateway.yaml"}, nil, b.String())); err != nil || again.Drain != cfg.Drain {
		t.Errorf("read again: %v", err)
	}
	t.Log(l.Usage)
}

func TestHelpAndVersionNeedNothingElse(t *testing.T) {
	for arg, want := range map[string]config.Mode{"--help": config.Help, "-h": config.Help, "--version": config.Version} {
		l, err := config.Load(config.Program{Name: "gateway"}, defaults(), source([]string{"--config=absent", arg}, nil, ""))
		if err != nil || l.Mode != want || l.Usage == "" {
			t.Errorf("%s: %v %v", arg, l.Mode, err)
		}
	}
}
