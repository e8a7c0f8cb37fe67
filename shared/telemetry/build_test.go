package telemetry

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func TestBuildOf(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	recorded := func(version string, settings ...string) *debug.BuildInfo {
		info := &debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: version}}
		for i := 0; i < len(settings); i += 2 {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: settings[i], Value: settings[i+1]})
		}
		return info
	}
	clean := []string{"vcs.revision", commit, "vcs.time", "2026-01-02T03:04:05Z", "vcs.modified", "false"}
	dirty := []string{"vcs.revision", commit, "vcs.modified", "true"}
	for name, tc := range map[string]struct {
		info              *debug.BuildInfo
		version, revision string // from the linker
		want              Build
	}{
		"tagged checkout":   {recorded("v1.2.3", clean...), "", "", Build{Version: "v1.2.3", Revision: commit, Time: "2026-01-02T03:04:05Z"}},
		"after a tag":       {recorded("v1.2.4-0.20260101000000-0123456789ab+dirty", dirty...), "", "", Build{Version: "v1.2.4-0.20260101000000-0123456789ab+dirty", Revision: commit, Dirty: true}},
		"untagged checkout": {recorded("v0.0.0-20260101000000-0123456789ab", clean...), "", "", Build{Version: "0123456789ab", Revision: commit, Time: "2026-01-02T03:04:05Z"}},
		"changed checkout":  {recorded("(devel)", dirty...), "", "", Build{Version: "0123456789ab+dirty", Revision: commit, Dirty: true}},
		"go install":        {recorded("v1.2.3"), "", "", Build{Version: "v1.2.3", Note: "no revision"}},
		"go install of a commit": {
			recorded("v0.0.0-20260101000000-0123456789ab"), "", "", Build{Version: "v0.0.0-20260101000000-0123456789ab", Note: "no revision"},
		},
		"no version control": {recorded("(devel)"), "", "", Build{Version: "devel", Note: "no revision"}},
		"no information":     {&debug.BuildInfo{GoVersion: "go1.26"}, "", "", Build{Version: "devel", Note: "no revision"}},
		"release":            {recorded("(devel)"), "v2.0.0", commit, Build{Version: "v2.0.0", Revision: commit}},
		"release, same commit": {
			recorded("v1.9.9", clean...), "v2.0.0", commit, Build{Version: "v2.0.0", Revision: commit, Time: "2026-01-02T03:04:05Z"},
		},
		"release of a changed checkout": {recorded("v1.9.9", dirty...), "v2.0.0", "", Build{Version: "v2.0.0+dirty", Revision: commit, Dirty: true}},
		"release of another commit":     {recorded("v1.9.9", dirty...), "v2.0.0", "abc", Build{Version: "v2.0.0", Revision: "abc"}},
	} {
		got := buildOf(tc.info, tc.version, tc.revision)
		if (tc.want.Note == "") != (got.Note == "") {
			t.Errorf("%s: the note is %q", name, got.Note)
		}
		tc.want.Platform, tc.want.GoVersion = runtime.GOOS+"/"+runtime.GOARCH, "go1.26"
		tc.want.Schema = pb.SchemaVersion
		if d := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(Build{}, "Note")); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	for want, b := range map[string]Build{
		"v1.2.3 (0123456789ab)": {Version: "v1.2.3", Revision: commit},
		"0123456789ab+dirty":    {Version: "0123456789ab+dirty", Revision: commit},
		"devel":                 {Version: "devel"},
	} {
		if got := b.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestBinaries builds a program in the ways that people build ours, in a clone of
// this repository, and compares what it says with what git and go say.
func TestBinaries(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	dir := t.TempDir()
	root := git(t, ".", "rev-parse", "--show-toplevel")
	git(t, ".", "clone", "--quiet", "--shared", root, dir)
	head := git(t, dir, "rev-parse", "HEAD")
	const stamp = "-buildvcs=true" // the default, which GOFLAGS may have changed
	const variable = "-X github.com/portcullis-gateway/portcullis/shared/telemetry."

	same(t, "untagged", built(t, dir, stamp), Build{Version: short(head), Revision: head})
	git(t, dir, "tag", "v1.2.3")
	same(t, "tagged", built(t, dir, stamp, "-trimpath"), Build{Version: "v1.2.3", Revision: head})
	same(t, "without git", built(t, dir, "-trimpath", "-buildvcs=false"), Build{Version: "devel"})
	same(t, "a release", built(t, dir, "-trimpath", "-buildvcs=false", "-ldflags=-s -w "+variable+"version=v1.0.0 "+variable+"revision="+head),
		Build{Version: "v1.0.0", Revision: head})
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	same(t, "changed", built(t, dir, stamp, "-ldflags="+variable+"version=v1.0.0"), Build{Version: "v1.0.0+dirty", Revision: head, Dirty: true})
}

func same(t *testing.T, name string, got, want Build) {
	t.Helper()
	want.Platform, want.GoVersion = runtime.GOOS+"/"+runtime.GOARCH, runtime.Version()
	want.Schema = pb.SchemaVersion
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Build{}, "Note", "Time")); d != "" {
		t.Errorf("%s: %s", name, d)
	}
	if (got.Note == "") != (got.Revision != "") {
		t.Errorf("%s: revision %q, and the note %q", name, got.Revision, got.Note)
	}
}

// git runs git and returns what it prints. Where there is no git, or no checkout,
// the test is left out.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// built builds the program in testdata in the source tree at dir, and returns what it says.
func built(t *testing.T, dir string, flags ...string) Build {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	cmd := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"build", "-o", file}, flags, []string{"./shared/telemetry/testdata/program"})...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %v: %v\n%s", flags, err, out)
	}
	out, err := exec.CommandContext(t.Context(), file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var b Build
	if err := json.Unmarshal(out, &b); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return b
}
