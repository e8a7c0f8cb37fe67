package stream_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/inprocess"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func TestConnectRefusesBadConfig(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config stream.Config
		want   string
	}{
		"no name":        {stream.Config{URLs: []string{"nats://127.0.0.1:1"}, Logger: quiet()}, "name"},
		"no logger":      {stream.Config{URLs: []string{"nats://127.0.0.1:1"}, Name: "x"}, "logger"},
		"no server":      {stream.Config{URLs: []string{"", ","}, Name: "x", Logger: quiet()}, "no server is named"},
		"nobody there":   {stream.Config{URLs: []string{"nats://user:secret@127.0.0.1:1"}, Name: "x", Logger: quiet()}, "nats://user:********@127.0.0.1:1"},
		"a comma":        {stream.Config{URLs: []string{"nats://user:secret,secret@127.0.0.1:1"}, Name: "x", Logger: quiet()}, "connect to nats"},
		"two identities": {stream.Config{URLs: []string{"127.0.0.1:1"}, Name: "x", Token: "t", CredentialsFile: "f", Logger: quiet()}, "more than one"},
		"no such seed":   {stream.Config{URLs: []string{"127.0.0.1:1"}, Name: "x", NKeyFile: "/nowhere", Logger: quiet()}, "/nowhere"},
	} {
		_, err := stream.Connect(t.Context(), test.config)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error about %q", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows a password: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := stream.Connect(ended, stream.Config{URLs: []string{"127.0.0.1:1"}, Name: "x", Logger: quiet()}); !errors.Is(err, context.Canceled) {
		t.Errorf("connect with a context that has ended: got %v", err)
	}
}

func TestConnectBeforeTheServerIsThere(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	server.Stop(t)
	bus, err := stream.Connect(t.Context(), stream.Config{
		URLs: []string{server.URL()}, Name: "early", RetryFirstConnect: true, Logger: quiet(),
	})
	must(t, err)
	defer bus.Close()
	if bus.Connected() {
		t.Error("connected to nothing")
	}
	if _, err := bus.Find(t.Context()); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("find without a server: got %v, want ErrUnavailable", err)
	}
	server.Start(t)
	eventually(t, "connect", bus.Connected)
	appendAll(t, createLog(t, bus), 0, 1)
}

// A server that refuses us for a while, as while its accounts are being changed,
// must not end the connection for good.
func TestRefusalIsNotForEver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func(listen, token string) *inprocess.Server {
		server, err := inprocess.Start(t.Context(), inprocess.Config{Dir: dir, Listen: listen, Token: token, Logger: quiet()})
		must(t, err)
		return server
	}
	server := start("127.0.0.1:0", "right")
	listen := strings.TrimPrefix(server.URL(), "nats://")
	config := stream.Config{URLs: []string{server.URL()}, Name: "x", Token: "right", Logger: quiet()}
	bus, err := stream.Connect(t.Context(), config)
	must(t, err)
	defer bus.Close()
	config.Token = "wrong"
	if _, err := stream.Connect(t.Context(), config); err == nil {
		t.Error("a wrong token was accepted")
	}
	server.Stop()
	server = start(listen, "other")
	time.Sleep(time.Second) // several attempts are refused
	if bus.Connected() {
		t.Error("a token of the past was accepted")
	}
	server.Stop()
	server = start(listen, "right")
	defer server.Stop()
	eventually(t, "reconnect", bus.Connected)
}

// The seed is read and offered; our own server wants a token and no keys.
func TestConnectWithNKeyFile(t *testing.T) {
	t.Parallel()
	user, err := nkeys.CreateUser()
	must(t, err)
	seed, err := user.Seed()
	must(t, err)
	file := filepath.Join(t.TempDir(), "seed")
	must(t, os.WriteFile(file, seed, 0o600))
	config := stream.Config{URLs: []string{streamtest.New(t).URL()}, Name: "x", NKeyFile: file, Logger: quiet()}
	if _, err = stream.Connect(t.Context(), config); !errors.Is(err, nats.ErrNkeysNotSupported) {
		t.Errorf("got %v, want the server's refusal of nkeys", err)
	}
}

func TestClosedBus(t *testing.T) {
	t.Parallel()
	bus := streamtest.New(t).Connect(t, "x")
	log := createLog(t, bus)
	bus.Close()
	if bus.Connected() {
		t.Error("connected after Close")
	}
	if _, err := log.Append(t.Context(), 0, "mixed", nil, "id"); err == nil {
		t.Error("append after Close")
	}
	if _, err := bus.Find(t.Context()); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("find after Close: got %v, want ErrUnavailable", err)
	}
}
