package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/portcullis-gateway/portcullis/shared/cli"
)

// get is a verb with flags of every kind.
type get struct {
	cli.Output
	Control string `setting:"control" check:"url http https" help:"address"`
	File    string `setting:"file" short:"f" use:"flag" check:"input" help:"a file"`
	Dir     string `setting:"dir" use:"flag" check:"dir" help:"a directory"`
	Wait    bool   `setting:"wait" use:"flag" help:"wait"`
}

func (g *get) Run(_ context.Context, call *cli.Call) error {
	switch {
	case len(call.Args) == 0:
	case call.Args[0] == "failing":
		return errors.New("it fails")
	case call.Args[0] == "refused":
		return &cli.StatusError{Status: 7}
	case call.Args[0] == "misused":
		return cli.Misused("not so")
	}
	_, err := fmt.Fprintln(call.Stdout, "got", call.Args, g.Format, g.Control)
	return err
}

type serve struct {
	Listen string `setting:"listen" check:"listen" help:"address"`
}

func (s *serve) Run(_ context.Context, call *cli.Call) error {
	_, err := fmt.Fprintln(call.Stdout, "serving", s.Listen, call.Args)
	return err
}

// app is a program called porter; byDefault names the verb it has by default.
func app(byDefault string) cli.App {
	return cli.App{
		Name: "porter", Summary: "Opens and closes.", Default: byDefault,
		Verbs: []cli.Verb{
			{
				Name: "serve", Aliases: []string{"run"}, Summary: "run it", Serves: true, Most: 1, Arguments: "[FILE]",
				Words: func([]string) []string { return []string{cli.Files} },
				New:   func() cli.Runner { return &serve{Listen: ":1"} },
			},
			{
				Name: "get", Summary: "read things", Arguments: "THING [ID]", Least: 1, Most: 2, Stray: "one at a time", More: "Things are plans.",
				Words: func(given []string) []string {
					if len(given) == 0 {
						return []string{"plans", "keys"}
					}
					return nil
				},
				New: func() cli.Runner { return &get{Output: cli.Output{Format: cli.Text}, Control: "http://a"} },
			},
		},
	}
}

func run(a cli.App, args ...string) (status int, out, errs string) {
	var stdout, stderr strings.Builder
	status = a.Run(context.Background(), cli.Process{
		Args: args, LookupEnv: func(string) (string, bool) { return "", false }, ReadFile: os.ReadFile, Stdout: &stdout, Stderr: &stderr,
	})
	return status, stdout.String(), stderr.String()
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		byDefault, args string
		status          int
		want            string // in what is printed
	}{
		{"", "get plans", 0, "got [plans] table http://a"},
		{"", "get plans gold -o json", 0, "got [plans gold] json"},
		{"", "get -o json plans", 0, "got [plans] json"},
		{"", "run", 0, "serving :1 []"},
		{"serve", "", 0, "serving :1 []"},
		{"serve", "--listen :2 file.yaml", 0, "serving :2 [file.yaml]"},
		{"serve", "file.yaml", 0, "serving :1 [file.yaml]"},
		{"serve", "serve", 0, "serving :1 []"},
		{"serve", "get plans", 0, "got [plans]"},
		// Help and version, everywhere.
		{"", "help", 0, "porter VERB"},
		{"", "-h", 0, "porter VERB"},
		{"", "--help", 0, "porter VERB"},
		{"", "help get", 0, "porter get [flags] THING [ID]"},
		{"", "get -h", 0, "Things are plans."},
		{"", "get --help", 0, "--file"},
		{"", "help run", 0, "porter serve [settings] [FILE]"},
		{"serve", "help", 0, "porter [settings] [FILE]"},
		{"serve", "--help", 0, "get THING [ID]"},
		{"serve", "help get", 0, "porter get [flags]"},
		{"", "version", 0, "porter "},
		{"", "--version", 0, "  revision  "},
		{"", "get --version", 0, "  compiler  go"},
		{"serve", "--version", 0, "porter "},
		{"", "version -o json", 0, `{"program":"porter","version":"`},
		{"", "help version", 0, "porter version [flags]"},
		{"", "help --help", 0, "porter help [flags] [VERB]"},
		{"", "help completion", 0, "porter completion [flags] bash|zsh|fish"},
		// Faults.
		{"", "", 2, "porter VERB"},
		{"", "gett plans", 2, `porter: unknown verb "gett" (hint: did you mean "get"?)`},
		{"", "--listen", 2, "flags follow a verb"},
		{"serve", "srve", 2, `"srve" is neither a verb nor a file (hint: did you mean "serve"?)`},
		{"serve", "a b", 2, `porter: unexpected argument "b"`},
		{"", "help gett", 2, `unknown verb "gett" (hint: did you mean "get"?)`},
		{"", "help get set", 2, "unexpected argument"},
		{"", "completion", 2, "too few arguments"},
		{"", "completion bsh", 2, `no script for the shell "bsh" (hint: did you mean "bash"?)`},
		{"", "get", 2, "porter get: too few arguments\nusage: porter get THING [ID] (--help for more)"},
		{"", "get a b c", 2, `porter get: unexpected argument "c" (hint: one at a time)`},
		{"", "get plans --outputt=json --wate", 2, "--outputt: unknown flag (hint: did you mean \"--output\"?)\ncommand line: --wate: unknown flag (hint: did you mean \"--wait\"?)"},
		{"", "get plans -o jsn", 2, `flag --output: "jsn": not one of table, json (hint: did you mean "json"?)`},
		{"", "get plans --config x", 2, "--config: unknown flag"},
		{"", "get misused", 2, "porter get: not so\nusage: "},
		{"", "get failing", 1, "it fails"},
		{"", "get refused", 7, ""},
		{"", "serve --check --listen 1", 2, "not an address"},
		{"", "serve --check", 0, `listen: ":1" # default`},
	} {
		status, out, errs := run(app(c.byDefault), strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(out+errs, c.want) {
			t.Errorf("porter %s: status %d, want %d and %q in\n%s%s", c.args, status, c.status, c.want, out, errs)
		}
		if status == 0 && errs != "" || status == 2 && out != "" {
			t.Errorf("porter %s: status %d, output %q, messages %q", c.args, status, out, errs)
		}
	}
}

func TestTable(t *testing.T) {
	table := cli.NewTable("ID", "NAME", "")
	table.Row("a", "short", "x")
	table.Row(strings.Repeat("é", 200), strings.Repeat("b", 60), "\x1b[2J")
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSuffix(line, "\n")
		if utf8.RuneCountInString(line) > 100 || strings.HasSuffix(line, " ") {
			t.Errorf("%d characters: %q", utf8.RuneCountInString(line), line)
		}
	}
	if text := b.String(); !strings.Contains(text, "é…  b") || !strings.Contains(text, "…  ?[2J") || strings.Contains(text, "\x1b") {
		t.Error(text)
	}
	if got := cli.Shorten("abc", 3) + cli.Shorten("abcd", 3); got != "abcab…" {
		t.Errorf("got %q", got)
	}
}
