package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Programs are the packages of the programs that a Cluster may consist of.
func Programs() []string {
	return []string{"./gateway/cmd/gateway", "./keymanager-sync/cmd/keymanager-sync", "./deployments/nats", "./deployments/standalone"}
}

// SourceTree returns the directory of go.mod around the working directory.
func SourceTree(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", errors.New("this is not a source tree (hint: start it in a checkout of Portcullis)")
	}
	return filepath.Dir(file), nil
}

// Build compiles packages, named relative to the source tree, into a directory. A
// program that is there and current is left alone. Builds into the same directory
// wait for each other, so that several tests may share one.
func Build(ctx context.Context, dir string, packages ...string) error {
	root, err := SourceTree(ctx)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // programs, which other users may run
		return err
	}
	unlock, err := lock(filepath.Join(dir, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-o", dir + string(filepath.Separator)}, packages...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", strings.Join(packages, " "), err, out)
	}
	return nil
}

// Environment is environ without the settings of Portcullis, which processes get as
// flags, and with these entries, NAME=VALUE.
func Environment(environ []string, entries ...string) []string {
	var env []string
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "PORTCULLIS_") {
			env = append(env, entry)
		}
	}
	return append(env, entries...)
}
