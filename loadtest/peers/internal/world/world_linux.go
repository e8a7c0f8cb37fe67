package world

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/account"
)

// format is raised when what is kept changes in a way that the hash does not see.
const format = 2

const adminToken = "the-admin-token-of-the-comparison"

// Config says of what and where a world is made.
type Config struct {
	Root      string // source tree
	Cache     string // directory that keeps prepared worlds
	Bin       string // directory with the programs
	Run       string // directory of this run, for logs and for what changes
	Sizes     Sizes
	Upstream  string // address
	Processor int    // on which all of it runs
	Fresh     bool
	Say       func(format string, args ...any)
}

// World is a prepared world; its processes run between Start and Stop.
type World struct {
	Config
	// Cluster is NATS and the control plane.
	*cluster.Cluster
	dir  string
	keys *Keys
}

func (w *World) say(format string, args ...any) { w.Say(format, args...) }

// Open returns the world that was prepared from the same things, or prepares it.
func Open(ctx context.Context, cfg Config) (*World, error) {
	hash, err := cfg.hash()
	if err != nil {
		return nil, err
	}
	w := &World{Config: cfg, dir: filepath.Join(cfg.Cache, "world-"+hash)}
	w.Cluster, err = cluster.New(ctx, cluster.Options{NATS: 1, Controls: 1, Programs: cfg.Bin, Dir: filepath.Join(cfg.Run, "world"), AdminToken: adminToken})
	if err != nil {
		return nil, err
	}
	for _, p := range w.All() {
		account.Pin(p, cfg.Processor).ReadyWithin = 2 * time.Minute
	}
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
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
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
	if err := w.Cluster.Start(ctx); err != nil {
		return err
	}
	load := exec.CommandContext(ctx, filepath.Join(w.Bin, "keymanager-sync"), "import", "--quiet", "--control", w.ControlURLs[0], "-f", file, "--id", "million")
	load.Env = w.Environment()
	out, err := load.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("import: %w\n%s", err, out)
	}
	if err := errors.Join(err, w.Stop(ctx)); err != nil {
		return err
	}
	part := w.data() + ".part"
	return errors.Join(os.RemoveAll(part), os.CopyFS(part, os.DirFS(w.Dir)), os.Rename(part, w.data()))
}

// Start runs the control plane and NATS on a copy of what was prepared.
func (w *World) Start(ctx context.Context) error {
	if err := os.RemoveAll(w.Dir); err != nil {
		return err
	}
	if err := os.CopyFS(w.Dir, os.DirFS(w.data())); err != nil {
		return fmt.Errorf("copy the prepared world: %w", err)
	}
	return w.Cluster.Start(ctx)
}
