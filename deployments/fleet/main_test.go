package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFleet starts the fleet twice on the same data: what one control plane was
// told is in force on three gateways, known to the other control plane, and still
// there after everything was stopped; and nothing is left running.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("starts eight processes")
	}
	dir := t.TempDir()
	l := layout{dir: dir, offset: freeOffset(t)}

	stop := startFleet(t, l)
	token, err := os.ReadFile(filepath.Join(dir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, url, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}

	one, two := "http://"+l.control(1)+"/v1", "http://"+l.control(2)+"/v1"
	if code, answer := ask(http.MethodPut, one+"/applications/mobile?wait=fleet&timeout=20s", `{"id":"mobile","name":"Mobile app"}`); code/100 != 2 {
		t.Errorf("PUT at control 1: %d %s", code, answer)
	}
	known := func() bool {
		code, _ := ask(http.MethodGet, two+"/applications/mobile", "")
		return code == http.StatusOK
	}
	if !eventually(known) {
		t.Error("control 2 does not know what control 1 was told")
	}
	_, answer := ask(http.MethodGet, two+"/fleet", "")
	for n := 1; n <= gateways; n++ {
		if name := fmt.Sprintf("gateway-%d", n); !strings.Contains(answer, name) {
			t.Errorf("control 2 sees no %s: %s", name, answer)
		}
	}
	stop()

	stop = startFleet(t, l)
	if !eventually(known) {
		t.Error("after a restart, control 2 has forgotten")
	}
	stop()
}

// startFleet returns when the fleet is ready. The returned function stops it, and
// checks that it is gone.
func startFleet(t *testing.T, l layout) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := (&settings{DataDir: l.dir, PortOffset: l.offset}).run(ctx, os.Environ(), in)
		_ = in.Close()
		ended <- err
	}()
	printed := make(chan string)
	go func() {
		defer close(printed)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			printed <- lines.Text()
		}
	}()
	stop = func() {
		t.Helper()
		cancel()
		for range printed { // to its end, so that the fleet is not held up
		}
		if err := <-ended; err != nil {
			t.Errorf("the fleet: %v", err)
		}
		for _, address := range l.addresses() {
			if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
				_ = conn.Close()
				t.Errorf("%s is still served", address)
			}
		}
	}
	for line := range printed {
		if line == "ready" {
			return stop
		}
	}
	stop()
	t.FailNow()
	return nil
}

func (l layout) addresses() []string {
	var all []string
	for n := 1; n <= 3; n++ {
		all = append(all, l.nats(n), l.route(n), l.natsMonitor(n), l.control(n), l.gateway(n), l.gatewayAdmin(n))
	}
	return all
}

// freeOffset returns an offset at which all ports of a fleet are free.
func freeOffset(t *testing.T) int {
	t.Helper()
	for range 100 {
		l := layout{offset: 2000 + rand.IntN(18000)}
		if !slices.ContainsFunc(l.addresses(), taken) {
			return l.offset
		}
	}
	t.Fatal("no free ports")
	return 0
}

func taken(address string) bool {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return true
	}
	return listener.Close() != nil
}

// eventually reports whether a condition holds within 10 s.
func eventually(holds func() bool) bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}

func TestTokensAreKept(t *testing.T) {
	dir := t.TempDir()
	first, err := environment([]string{"HOME=/h", "PORTCULLIS_LISTEN=:1"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(first, "PORTCULLIS_LISTEN=:1") || !slices.Contains(first, "HOME=/h") {
		t.Errorf("got %q: settings come as flags alone, and the rest is passed on", first)
	}
	again, err := environment([]string{"HOME=/h"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(first)
	slices.Sort(again)
	if !slices.Equal(first, again) {
		t.Errorf("tokens differ at the second start: %q, %q", first, again)
	}
	given, err := environment([]string{"PORTCULLIS_ADMIN_TOKEN=mine"}, dir)
	if err != nil || !slices.Contains(given, "PORTCULLIS_ADMIN_TOKEN=mine") {
		t.Errorf("a given token is not used: %q, %v", given, err)
	}
	info, err := os.Stat(filepath.Join(dir, "admin-token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the admin token can be read by others: %v, %v", info.Mode(), err)
	}
}

// TestProcessEnds: a member that ends by itself ends the fleet, with its last words.
func TestProcessEnds(t *testing.T) {
	ctx, fail := context.WithCancelCause(t.Context())
	p := &process{name: "member", ready: "http://127.0.0.1:1", program: "go", args: []string{"no-such-verb"}, environ: os.Environ(), log: filepath.Join(t.TempDir(), "log")}
	if err := p.start(ctx, fail); err != nil {
		t.Fatal(err)
	}
	defer p.stop(t.Context())
	err := p.awaitReady(ctx)
	if err == nil || !strings.Contains(err.Error(), "member ended by itself (exit status 2)") || !strings.Contains(err.Error(), "no-such-verb: unknown command") {
		t.Errorf("got %v", err)
	}
}
