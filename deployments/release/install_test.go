// Package release_test checks what a release is made of: the module and its module files,
// the configuration of GoReleaser, container images, systemd units and workflows.
package release_test

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const module = "github.com/portcullis-gateway/portcullis"

// programs are all that are released, as packages below the module.
var programs = []string{"gateway/cmd/gateway", "keymanager-sync/cmd/keymanager-sync", "deployments/standalone", "deployments/nats"}

// TestInstall: `go install MODULE/PROGRAM@VERSION` builds every program from
// nothing but the module as a proxy hands it out. It fails on a replace in go.mod,
// on a file that a program embeds from outside the module, and on an incomplete
// go.sum. The programs then accept the settings that packages and images start them with.
func TestInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("links four programs")
	}
	root := repository(t)
	proxies, version := serveModule(t, root)
	bin := t.TempDir()
	args := []string{"install"}
	for _, p := range programs {
		args = append(args, module+"/"+p+"@"+version)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = t.TempDir() // outside any module
	cmd.Env = append(os.Environ(), "GOPROXY="+proxies, "GONOSUMDB="+module, "GOBIN="+bin, "GOFLAGS=-mod=mod")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go install: %v\n%s", err, out)
	}

	start := func(t *testing.T, program string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program), args...)
		cmd.Dir = t.TempDir()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s %q: %v\n%s", program, args, err, out)
		}
		return string(out)
	}
	if out := start(t, "gateway", "--version"); !strings.Contains(out, version) {
		t.Errorf("gateway --version: %s; want %s", out, version)
	}
	for _, p := range programs {
		program := filepath.Base(p)
		t.Run("package of "+program, func(t *testing.T) {
			start(t, program, checked(root, unitCommand(t, root, program))...)
		})
		t.Run("image of "+program, func(t *testing.T) {
			start(t, program, checked(root, readImage(t, root, program).arguments)...)
		})
	}
}

// checked turns the arguments of a packaged program into those that only check its
// settings: from the file as it lies in the source tree.
func checked(root string, args []string) []string {
	check := "--check"
	var out []string
	for _, arg := range args {
		out = append(out, strings.Replace(arg, "/etc/portcullis", filepath.Join(root, "deployments", "packages"), 1))
		if strings.HasSuffix(arg, "nats.conf") {
			check = "-t"
		}
	}
	return append(out, check)
}

// serveModule lays the working tree out as a module proxy would hand it out, and
// returns what GOPROXY must be and the version. The version is made of the contents,
// so that the module cache never answers with the files of another run.
func serveModule(t *testing.T, root string) (proxies, version string) {
	t.Helper()
	files := moduleFiles(t, root)
	hash := sha256.New()
	for _, name := range files {
		content := readFile(t, filepath.Join(root, name))
		fmt.Fprintf(hash, "%s\x00%x\x00", name, sha256.Sum256(content))
	}
	version = "v0.1.0-test.x" + hex.EncodeToString(hash.Sum(nil))[:16]

	proxy := t.TempDir()
	at := filepath.Join(proxy, filepath.FromSlash(module), "@v")
	writeFile(t, filepath.Join(at, "list"), []byte(version+"\n"))
	writeFile(t, filepath.Join(at, version+".mod"), readFile(t, filepath.Join(root, "go.mod")))
	writeFile(t, filepath.Join(at, version+".info"), fmt.Appendf(nil, `{"Version":%q,"Time":%q}`, version, time.Now().UTC().Format(time.RFC3339)))
	writeZip(t, filepath.Join(at, version+".zip"), root, module+"@"+version, files)

	cache := goEnv(t, "GOMODCACHE")
	t.Cleanup(func() { forget(t, cache, version) })
	return "file://" + filepath.ToSlash(proxy) + "," + goEnv(t, "GOPROXY"), version
}

// moduleFiles returns what belongs to the module, by names relative to root: not
// what git ignores, and not the modules within it.
func moduleFiles(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, inner := os.Stat(filepath.Join(file, "go.mod"))
			if name != "." && (inner == nil || strings.HasPrefix(name, ".") || name == "data" || name == "bin" || name == "dist") {
				return fs.SkipDir
			}
			return nil
		}
		if entry.Type().IsRegular() && entry.Name() != ".git" {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func writeZip(t *testing.T, file, root, prefix string, files []string) {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(out)
	for _, name := range files {
		entry, err := w.Create(prefix + "/" + filepath.ToSlash(name))
		if err == nil {
			_, err = entry.Write(readFile(t, filepath.Join(root, name)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// forget takes the version out of the module cache again.
func forget(t *testing.T, cache, version string) {
	t.Helper()
	downloads, err := filepath.Glob(filepath.Join(cache, "cache", "download", filepath.FromSlash(module), "@v", version+".*"))
	if err != nil {
		t.Error(err)
	}
	for _, file := range downloads {
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	}
	dir := filepath.Join(cache, filepath.FromSlash(module)+"@"+version)
	err = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(file, 0o755) // the cache is read-only
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// repository returns the root of the source tree.
func repository(t *testing.T) string {
	t.Helper()
	return filepath.Dir(goEnv(t, "GOMOD"))
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatalf("go env %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

func readFile(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
