package world

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/process"
)

// format is raised when what is kept changes in a way that the hash does not see.
const format = 1

const adminToken = "the-admin-token-of-the-comparison"

// Config says of what and where a world is made.
type Config struct {
	Root      string // source tree
	Cache     string // directory that keeps prepared worlds
	Bin       string // directory with the programs
	Run       string // directory of this run, for logs and for what changes
	Sizes     Sizes
	Upstream  string // address
	NATS      string // addresses to listen on
	Monitor   string
	Control   string
	Processor int // on which all of it runs
	Fresh     bool
	Say       func(format string, args ...any)
}

// World is a prepared world; its processes run between Start and Stop.
type World struct {
	Config
	dir  string
	keys *Keys
	nats *process.Process
	keep *process.Process // the control plane
}

func (w *World) say(format string, args ...any) { w.Say(format, args...) }

// Open returns the world that was prepared from the same things, or prepares it.
func Open(ctx context.Context, cfg Config) (*World, error) {
	hash, err := cfg.hash()
	if err != nil {
		return nil, err
	}
	w := &World{Config: cfg, dir: filepath.Join(cfg.Cache, "world-"+hash)}
	if cfg.Fresh {
		if err := os.RemoveAll(w.dir); err != nil {
			return nil, err
		}
	}
	if w.keys, err = openKeys(filepath.Join(w.dir, "keys")); err != nil {
		return nil, err
	}
	if _, err := os.Stat(w.data()); !errors.Is(err, os.ErrNotExist) {
		return w, err
	}
	return w, w.prepare(ctx)
}

// hash names a world by what it is made from: its sizes and addresses, and the schema.
func (cfg *Config) hash() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, format, cfg.Sizes, cfg.Upstream, spread, lifetime, APIKey, Audience)
	for _, file := range []string{"resources.proto", "log.proto"} { // what is kept
		data, err := os.ReadFile(filepath.Join(cfg.Root, "proto/portcullis/v1", file))
		if err != nil {
			return "", err
		}
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// data is where the control plane and NATS keep theirs.
func (w *World) data() string { return filepath.Join(w.dir, "data") }

// PublicKey is the file with an issuer's public key.
func (w *World) PublicKey(alg Algorithm) string {
	return filepath.Join(w.dir, "keys", string(alg)+".pub")
}

// Resources writes a world of another size, with the same keys, for a node without
// a control plane, and returns the file.
func (w *World) Resources(s Sizes) (string, error) {
	file := filepath.Join(w.dir, fmt.Sprintf("resources-%d-%d-%d.ndjson", s.Apis, s.Applications, s.Subscriptions))
	if _, err := os.Stat(file); err == nil || !errors.Is(err, os.ErrNotExist) {
		return file, err
	}
	var out bytes.Buffer
	if err := Write(&out, s, w.keys, "http://"+w.Upstream); err != nil {
		return "", err
	}
	return file, writeFile(file, out.Bytes())
}

// prepare imports everything through a control plane, as users do.
func (w *World) prepare(ctx context.Context) error {
	part := w.data() + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(part, 0o700); err != nil {
		return err
	}
	file := filepath.Join(w.dir, "resources.ndjson")
	w.say("importing %d applications and %d subscriptions, once (about a minute)", w.Sizes.Applications, w.Sizes.Applications*w.Sizes.Subscriptions)
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer os.Remove(file)
	if err := errors.Join(Write(f, w.Sizes, w.keys, "http://"+w.Upstream), f.Close()); err != nil {
		return err
	}
	if err := w.start(ctx, part); err != nil {
		return err
	}
	load := exec.CommandContext(ctx, filepath.Join(w.Bin, "keymanager-sync"), "import", "--quiet", "--control", "http://"+w.Control, "-f", file, "--id", "million")
	load.Env = Environment()
	out, err := load.CombinedOutput()
	w.Stop()
	if err != nil {
		return fmt.Errorf("import: %w\n%s", err, out)
	}
	return os.Rename(part, w.data())
}

// Start runs the control plane and NATS on a copy of what was prepared.
func (w *World) Start(ctx context.Context) error {
	dir := filepath.Join(w.Run, "world")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(w.data())); err != nil {
		return fmt.Errorf("copy the prepared world: %w", err)
	}
	return w.start(ctx, dir)
}

func (w *World) start(ctx context.Context, dir string) error {
	_, natsPort, err := net.SplitHostPort(w.NATS)
	if err != nil {
		return err
	}
	_, monitorPort, err := net.SplitHostPort(w.Monitor)
	if err != nil {
		return err
	}
	w.nats, err = process.Start(ctx, process.Spec{
		Name: "nats", Program: filepath.Join(w.Bin, "nats"), Dir: dir, CPU: w.Processor, Env: Environment(), Log: filepath.Join(w.Run, "nats.log"),
		Args:  []string{"--config", filepath.Join(w.Root, "deployments/nats/single.conf"), "--port", natsPort, "--http_port", monitorPort},
		Ready: Answers(http.StatusOK, "http://"+w.Monitor+"/healthz"), Timeout: time.Minute,
	})
	if err != nil {
		return err
	}
	w.keep, err = process.Start(ctx, process.Spec{
		Name: "control plane", Program: filepath.Join(w.Bin, "keymanager-sync"), CPU: w.Processor, Env: Environment(), Log: filepath.Join(w.Run, "control.log"),
		Args:  []string{"serve", "--listen", w.Control, "--nats", "nats://" + w.NATS, "--data-dir", filepath.Join(dir, "control")},
		Ready: Answers(http.StatusOK, "http://"+w.Control+"/readyz"), Timeout: 2 * time.Minute,
	})
	if err != nil {
		w.Stop()
	}
	return err
}

// Stop ends the processes.
func (w *World) Stop() {
	for _, p := range []*process.Process{w.keep, w.nats} {
		if p != nil {
			p.Stop()
		}
	}
	w.keep, w.nats = nil, nil
}

// StopControl ends the control plane alone: nodes go on following the log.
func (w *World) StopControl() {
	if w.keep != nil {
		w.keep.Stop()
	}
	w.keep = nil
}

// Environment is ours without the settings of Portcullis, and with the token that
// the control plane and its nodes share.
func Environment() []string {
	env := []string{"PORTCULLIS_ADMIN_TOKEN=" + adminToken}
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "PORTCULLIS_") {
			env = append(env, entry)
		}
	}
	return env
}

// Answers makes a check that a URL answers with a status.
func Answers(status int, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != status {
			err = fmt.Errorf("%s: %d %s", url, res.StatusCode, body)
		}
		return err
	}
}
