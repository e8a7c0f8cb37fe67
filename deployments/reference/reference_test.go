// Package reference_test keeps the reference pages true: the settings are what
// the programs' --help says, and no metric is missing. Run with -update to
// write the settings again.
package reference_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/config"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

const root = "../.."

func updating(t *testing.T) bool {
	t.Helper()
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write docs/configuration.md")
	os.Exit(m.Run())
}

const head = `# Settings

Every setting is a flag, an environment variable and a key of a YAML file, in this order of precedence: ` + "`--admin-listen`" + ` is ` + "`PORTCULLIS_ADMIN_LISTEN`" + ` is ` + "`admin_listen`" + ` in the file that ` + "`--config`" + ` names. Lists are comma-separated. ` + "`--check`" + ` checks all of them without starting: addresses, URLs, bounds, enumerations, conflicts, files that must exist and what they say, and variables of the environment that begin with ` + "`PORTCULLIS_`" + ` and that no program knows (at a start these are only logged). It then prints the effective settings, with where each came from, and secrets and passwords in URLs masked. An unknown key or a bad value is an error that names the place and the cure; all of them are reported at once.

What changes at run time — APIs, plans, keys, subscriptions — is not configuration: it comes through the control plane, or from the files of ` + "`--resources`" + `.

This page is made from the programs' own ` + "`--help`" + `. Their verbs, output and exit codes are in [cli.md](cli.md).
`

func TestSettings(t *testing.T) {
	var b strings.Builder
	b.WriteString(head)
	for _, p := range []struct{ title, dir, verb string }{
		{"The gateway", "./gateway/cmd/gateway", ""},
		{"The control plane", "./keymanager-sync/cmd/keymanager-sync", "serve"},
		{"Standalone", "./deployments/standalone", ""},
		{"A fleet on one machine", "./deployments/fleet", ""},
	} {
		args := append([]string{"run", p.dir}, strings.Fields(p.verb)...)
		cmd := exec.CommandContext(t.Context(), "go", append(args, "--help")...)
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s --help: %v", p.dir, err)
		}
		settingsAreKnown(t, string(out))
		fmt.Fprintf(&b, "\n## %s\n\n`go run %s`\n\n```\n%s```\n", p.title, strings.TrimSpace(p.dir+" "+p.verb), out)
	}
	page := filepath.Join(root, "docs", "configuration.md")
	if updating(t) {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("docs/configuration.md is not what --help says (run: go test ./deployments/reference -update)")
	}
}

var flagName = regexp.MustCompile(`(?m)^ +(?:-., )?--([a-z-]+)`)

// settingsAreKnown: what one program knows, no other one takes for a mistake in the
// environment.
func settingsAreKnown(t *testing.T, help string) {
	t.Helper()
	_, settings, _ := strings.Cut(help, "\nSettings:\n")
	known := config.EveryName()
	for _, m := range flagName.FindAllStringSubmatch(settings, -1) {
		if !slices.Contains(known, m[1]) && !slices.Contains([]string{"check", "version", "help"}, m[1]) {
			t.Errorf("config.EveryName lacks %s", m[1])
		}
	}
}

const causesHead = `# Causes

Why a request was refused, finer than the reason that its client is told. An operator finds the cause in the log's line about the request, in ` + "`portcullis_denials_total`" + ` and in explanations; clients never do. A refusal has one cause, with a stable word.

Clients choose neither Apis nor causes, so the series of the counter grow with what operators define: an Api seldom sees more than ten of these. At most 10,000 combinations of Api, reason and cause are counted apart, those after them under the Api ` + "`_other`" + `.

| cause | the request was refused because |
|---|---|
`

// TestCauses: docs/causes.md has every cause, as the gateway means it.
func TestCauses(t *testing.T) {
	var b strings.Builder
	b.WriteString(causesHead)
	for c := cause.Unspecified + 1; c < cause.Count; c++ {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c, c.Meaning())
	}
	page := filepath.Join(root, "docs", "causes.md")
	if updating(t) {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("docs/causes.md is not what shared/denial/cause says (run: go test ./deployments/reference -update)")
	}
}

// TestVerbs: docs/cli.md has every verb of every program, as --help lists it.
func TestVerbs(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"./gateway/cmd/gateway", "./keymanager-sync/cmd/keymanager-sync", "./deployments/standalone", "./deployments/fleet"} {
		cmd := exec.CommandContext(t.Context(), "go", "run", dir, "help")
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s help: %v", dir, err)
		}
		_, verbs, _ := strings.Cut(string(out), "\nVerbs:\n")
		verbs, _, _ = strings.Cut(verbs, "\n\n")
		for line := range strings.SplitSeq(verbs, "\n") {
			if !strings.Contains(string(page), "\n"+line+"\n") {
				t.Errorf("docs/cli.md lacks the line of %s help:\n%s", dir, line)
			}
		}
	}
}

// metric finds the names of metrics in the sources: string literals that are
// whole names, or what follows the prefix "portcullis_" in a helper's call.
var metric = regexp.MustCompile(`"(portcullis_[a-z0-9_]+)"|\b(?:gauge|counter|total|count)\("([a-z0-9_]+)", "`)

func TestEveryMetricIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range []string{"gateway", "keymanager-sync", "shared/telemetry"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range metric.FindAllStringSubmatch(string(source), -1) {
				name := strings.TrimPrefix(m[1]+m[2], "portcullis_")
				if strings.HasSuffix(name, "_") {
					continue // a prefix
				}
				found++
				if !strings.Contains(string(page), "`portcullis_"+name) && !strings.Contains(string(page), "_"+name+"`") {
					t.Errorf("%s: metric %s is not in docs/metrics.md", path, name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 30 {
		t.Errorf("only %d metrics were found in the sources: the search is broken", found)
	}
}
