package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	const body = "\n\nSomebody was bitten.\n"
	for _, c := range []struct {
		name, message string
		want          []string
	}{
		{"good", "gateway/edge: refuse two Host fields" + body, nil},
		{"several packages", "gateway/edge, proxy: refuse two Host fields" + body, nil},
		{"a file", ".golangci.yml: give slow machines time" + body, nil},
		{"revert", `Revert "gateway/edge: refuse two Host fields"` + body, nil},
		{"72 characters, not bytes", "docs: " + strings.Repeat("ü", 66) + body, nil},
		{"73 characters", "docs: " + strings.Repeat("ü", 67) + body, []string{"the subject has 73 characters, at most 72 are shown whole"}},
		{"no package", "Refuse two Host fields" + body, []string{"the subject is not `package: what it does`"}},
		{"package alone", "gateway/edge:" + body, []string{"the subject is not `package: what it does`"}},
		{"full stop", "docs: say why." + body, []string{"the subject ends with a full stop"}},
		{"past", "docs: added a page" + body, []string{`"added" is not imperative: say what the commit does, as an order`}},
		{"no body", "docs: say why\n", []string{"no body that says why"}},
		{"trailers alone", "docs: say why\n\nSigned-off-by: A <a@example.test>\n", []string{"no body that says why"}},
		{"no blank line", "docs: say why\nbecause\n", []string{"the second line is not blank"}},
		{"empty", "", []string{"the subject is not `package: what it does`", "no body that says why"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, check(c.message)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckDraft(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		good bool
	}{
		"comments do not count": {"docs: say why\n\n# a comment\n", false},
		"nor what is cut off":   {"docs: say why\n# ------------------------ >8 ------------------------\n\ndiff\n", false},
		"with a body":           {"docs: say why\n\nBecause.\n# a comment\n", true},
		"a fixup":               {"fixup! docs: say why\n", true},
		"a merge":               {"Merge branch 'x'\n", true},
	} {
		if err := checkDraft(c.text); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHistory(t *testing.T) {
	dir := repository(t)
	first := commit(t, dir, "Begin\n") // before the rule
	commit(t, dir, "docs: say why\n\nBecause.\n\nNot a package: nor this.\n")

	out, err := history(t, dir, first)
	if err != nil || !strings.Contains(out, "1 since") {
		t.Errorf("a good history: %q, %v", out, err)
	}
	commit(t, dir, "Nothing\n")
	if _, err := history(t, dir, first); err == nil || !strings.Contains(err.Error(), `"Nothing": the subject is not`) {
		t.Errorf("a bad commit passes: %v", err)
	}

	shallow := filepath.Join(t.TempDir(), "shallow")
	command(t, dir, "clone", "-q", "--depth=1", "file://"+filepath.ToSlash(dir), shallow)
	if out, err := history(t, shallow, first); err != nil || !strings.Contains(out, "nothing checked: this clone does not reach back") {
		t.Errorf("a shallow clone: %q, %v", out, err)
	}
	command(t, dir, "checkout", "-q", "--orphan", "other")
	commit(t, dir, "Nothing of it\n")
	if out, err := history(t, dir, first); err != nil || !strings.Contains(out, "nothing checked: HEAD does not descend") {
		t.Errorf("another history: %q, %v", out, err)
	}
	if out, err := history(t, t.TempDir(), first); err != nil || !strings.Contains(out, "nothing checked: no git repository") {
		t.Errorf("a tarball: %q, %v", out, err)
	}
}

func history(t *testing.T, dir, since string) (string, error) {
	t.Helper()
	t.Chdir(dir)
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
	var out strings.Builder
	err := run(t.Context(), []string{"--since", since}, &out)
	return out.String(), err
}

func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command(t, dir, "init", "-q")
	return dir
}

func commit(t *testing.T, dir, message string) string {
	t.Helper()
	command(t, dir, "commit", "-q", "--allow-empty", "--no-verify", "-m", message)
	return command(t, dir, "rev-parse", "HEAD")
}

func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=T", "-c", "user.email=t@example.test"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}
