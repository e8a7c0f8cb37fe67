package freeport

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain lets the test's binary be another process, which reserves ports, prints
// them, and holds them until its standard input ends.
func TestMain(m *testing.M) {
	if os.Getenv("FREEPORT_TEST_HOLD") == "" {
		os.Exit(m.Run())
	}
	r, err := Reserve(context.Background(), 3)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(strings.Join(r.Addresses, " ") + "\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// TestReserve: a reserved port can be listened on, again and again, and is given to
// nobody else before it is released.
func TestReserve(t *testing.T) {
	r, err := Reserve(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Addresses) != 5 {
		t.Fatalf("got %q", r.Addresses)
	}
	for _, address := range r.Addresses {
		for range 2 {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			_ = l.Close()
		}
		if held := hold(t.Context(), address); held != nil {
			t.Errorf("%s was given out twice", address)
		}
	}
	r.Release()
	if held := hold(t.Context(), r.Addresses[0]); held == nil {
		t.Errorf("%s is not free after its release", r.Addresses[0])
	} else {
		_ = held.Close()
	}
}

// TestOtherProcess: what another process has reserved is not given out, until that
// process has ended, however it ends.
func TestOtherProcess(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "FREEPORT_TEST_HOLD=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addresses := strings.Fields(line)
	for _, address := range addresses {
		if held := hold(t.Context(), address); held != nil {
			t.Errorf("%s was given to two processes", address)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if held := hold(t.Context(), addresses[0]); held == nil {
		t.Errorf("%s is held by a process that has ended", addresses[0])
	} else {
		_ = held.Close()
	}
}

// TestInUse: a port on which somebody listens is not given out.
func TestInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if held := hold(t.Context(), listener.Addr().String()); held != nil {
		t.Errorf("%s was given out while it is listened on", listener.Addr())
	}
}

// TestNotEnough: who asks for more than there are, or has given up, gets an error
// and holds nothing.
func TestNotEnough(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Reserve(ctx, 1); err == nil {
		t.Errorf("got %q", r.Addresses)
	}
}
