package release_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTidy: every module file lists exactly what is needed. A module file of a tool
// is looked at in an empty folder, since next to the product it would be asked for
// what the product imports.
func TestTidy(t *testing.T) {
	if testing.Short() {
		t.Skip("reads all modules of all tools")
	}
	root := repository(t)
	for _, file := range moduleFilesOf(t, root) {
		// It has hundreds of modules, which only a release needs, and a test of one
		// of them needs one that proxies do not have.
		if filepath.Base(file) == "goreleaser.mod" {
			continue
		}
		t.Run(file, func(t *testing.T) {
			dir := filepath.Join(root, filepath.Dir(file))
			if filepath.Base(file) != "go.mod" {
				dir = t.TempDir()
				writeFile(t, filepath.Join(dir, "go.mod"), readFile(t, filepath.Join(root, file)))
				writeFile(t, filepath.Join(dir, "go.sum"), readFile(t, filepath.Join(root, strings.TrimSuffix(file, ".mod")+".sum")))
			}
			cmd := exec.CommandContext(t.Context(), "go", "mod", "tidy", "-diff")
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("go mod tidy would change %s: %v\n%s", file, err, out)
			}
		})
	}
}

// TestNoReplace: `go install MODULE@VERSION` refuses a module with a replace or an
// exclude. TestInstall shows it, too, but needs minutes.
func TestNoReplace(t *testing.T) {
	for line := range strings.Lines(string(readFile(t, filepath.Join(repository(t), "go.mod")))) {
		switch word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "replace", "exclude":
			t.Errorf("go.mod: %s", line)
		}
	}
}

// moduleFilesOf returns all module files of the repository, relative to root.
func moduleFilesOf(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(name, ".") || name == "data"):
			return fs.SkipDir
		case strings.HasSuffix(name, ".mod") && entry.Type().IsRegular():
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 4 {
		t.Fatalf("found %v only", files)
	}
	return files
}
