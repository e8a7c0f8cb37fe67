package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	keymanager "github.com/portcullis-gateway/portcullis/keymanager-sync"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	"github.com/portcullis-gateway/portcullis/shared/stream/inprocess"
)

const token = "admin-token-of-the-tests"

// TestMain runs a control plane on a real log. The tests and examples find it where
// the command line does.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	code, err := 1, start(ctx, ended)
	if err == nil {
		code = m.Run()
	}
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		fmt.Fprintln(os.Stderr, "control plane:", err)
		return 1
	}
	return code
}

// start starts NATS and a control plane, which end with ctx; ended says how.
func start(ctx context.Context, ended chan<- error) error {
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		ended <- err
		return err
	}
	nats, err := inprocess.Start(ctx, inprocess.Config{Name: "n1", Dir: filepath.Join(dir, "nats"), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		ended <- os.RemoveAll(dir)
		return err
	}
	cfg := keymanager.DefaultConfig()
	cfg.Listen, cfg.NATS, cfg.DataDir, cfg.AdminToken = "127.0.0.1:0", nats.URL(), filepath.Join(dir, "control"), token
	listening := make(chan string, 1)
	cfg.Listening = func(addr string) { listening <- addr }
	go func() {
		err := keymanager.Run(ctx, cfg)
		nats.Stop()
		ended <- errors.Join(err, os.RemoveAll(dir))
	}()
	select {
	case addr := <-listening:
		_ = os.Setenv("PORTCULLIS_CONTROL", "http://"+addr)
		_ = os.Setenv("PORTCULLIS_ADMIN_TOKEN", token)
		return awaitLive(ctx, "http://"+addr)
	case <-time.After(time.Minute):
		return errors.New("does not listen")
	}
}

func awaitLive(ctx context.Context, address string) error {
	client, err := api.New(api.Config{Addresses: []string{address}, Token: token})
	if err != nil {
		return err
	}
	defer client.Close()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if fleet, err := client.Fleet(ctx); err == nil && fleet.Phase == "LIVE" {
			return nil
		}
	}
	return errors.New("does not become live")
}
