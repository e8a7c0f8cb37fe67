// Command fleet runs a whole fleet as plain processes on one machine: three NATS
// nodes, two control planes, three gateways.
//
//	go run ./deployments/fleet [--data-dir data/fleet] [--port-offset 0]
//
// It builds the programs, starts them in that order, prints the addresses and then
// the line `ready`, and on Ctrl-C (or SIGTERM) stops them in the opposite order.
// Logs, state and the admin token are in the data directory; a second start goes on
// from there. It must be started inside the source tree.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/portcullis-gateway/portcullis/shared/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := app().Run(ctx, cli.Process{
		Args: os.Args[1:], LookupEnv: os.LookupEnv, Environ: os.Environ, ReadFile: os.ReadFile,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	stop()
	os.Exit(status)
}

func app() cli.App {
	return cli.App{
		Name: "fleet", Summary: "Three NATS nodes, two control planes and three gateways as processes of this machine.", Default: "serve",
		Verbs: []cli.Verb{{
			Name: "serve", Summary: "build and run the fleet", Serves: true,
			New: func() cli.Runner { return &settings{DataDir: filepath.Join("data", "fleet")} },
		}},
	}
}

// settings are all that a fleet can be told.
type settings struct {
	DataDir    string `setting:"data-dir" check:"dir" help:"logs, state and tokens"`
	PortOffset int    `setting:"port-offset" min:"0" max:"55000" help:"added to every port, for a second fleet on one machine"`
}

// Run runs the fleet until ctx ends.
func (s *settings) Run(ctx context.Context, call *cli.Call) error {
	return s.run(ctx, call.Environ(), call.Stdout)
}

// run starts the fleet, and stops it when ctx ends or one of its processes does,
// which is an error.
func (s *settings) run(ctx context.Context, environ []string, stdout io.Writer) error {
	dir, err := filepath.Abs(s.DataDir)
	if err != nil {
		return err
	}
	for _, sub := range []string{"bin", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	l := layout{dir: dir, offset: s.PortOffset}
	if l.root, err = sourceTree(ctx); err != nil {
		return err
	}
	if l.environ, err = environment(environ, dir); err != nil {
		return err
	}
	if err := build(ctx, l.root, filepath.Join(dir, "bin")); err != nil {
		return err
	}
	return l.run(ctx, stdout)
}

// sourceTree returns the directory of go.mod.
func sourceTree(ctx context.Context) (string, error) {
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

// environment returns what the processes get: the caller's variables without the
// settings of Portcullis, which are given as flags, and with both tokens.
func environment(environ []string, dir string) ([]string, error) {
	var env []string
	tokens := map[string]string{"PORTCULLIS_ADMIN_TOKEN": "", "PORTCULLIS_NODE_TOKEN": ""}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if _, isToken := tokens[name]; isToken {
			tokens[name] = value
		} else if !strings.HasPrefix(name, "PORTCULLIS_") {
			env = append(env, entry)
		}
	}
	for name, file := range map[string]string{
		"PORTCULLIS_ADMIN_TOKEN": filepath.Join(dir, "admin-token"),
		"PORTCULLIS_NODE_TOKEN":  filepath.Join(dir, "node-token"),
	} {
		value, err := keepToken(file, tokens[name])
		if err != nil {
			return nil, err
		}
		env = append(env, name+"="+value)
	}
	return env, nil
}

// keepToken writes a given token to its file; without one it takes the file's, or
// makes one.
func keepToken(file, given string) (string, error) {
	if given == "" {
		kept, err := os.ReadFile(file)
		if token := strings.TrimSpace(string(kept)); err == nil && token != "" {
			return token, nil
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		given = rand.Text()
	}
	return given, os.WriteFile(file, []byte(given+"\n"), 0o600)
}

// build compiles the three programs into bin.
func build(ctx context.Context, root, bin string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin+string(filepath.Separator),
		"./gateway/cmd/gateway", "./keymanager-sync/cmd/keymanager-sync", "./deployments/nats")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}
