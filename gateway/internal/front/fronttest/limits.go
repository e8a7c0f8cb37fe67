package fronttest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
)

// talk connects; what is not answered within 3 s fails the test.
func (n *node) talk(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
	return c, bufio.NewReader(c)
}

// roundTrip sends a request and reads its answer.
func roundTrip(t *testing.T, c net.Conn, br *bufio.Reader, head string) {
	t.Helper()
	if _, err := io.WriteString(c, head); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
}

// ends waits for the server to close and tells when it did.
func ends(t *testing.T, br *bufio.Reader) (at time.Time, last string) {
	t.Helper()
	b, err := io.ReadAll(br)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("the connection stays open: %v", err)
	}
	return time.Now(), string(b)
}

const good = "GET / HTTP/1.1\r\nHost: a\r\n" + token + "\r\n"

// within fails unless a time limit was kept.
func within(t *testing.T, what string, took, limit time.Duration) {
	t.Helper()
	if took < limit-20*time.Millisecond || took > limit+400*time.Millisecond {
		t.Errorf("%s: ended after %s, the limit is %s", what, took.Round(time.Millisecond), limit)
	}
}

// Between requests IdleTimeout holds, within one ReadTimeout, and neither is moved
// on by the single bytes of a slow client.
func (s suite) timeLimitsOfConnections(t *testing.T) {
	const read, idle = 300 * time.Millisecond, 600 * time.Millisecond
	n := s.node(t, func(c *front.Config) { c.ReadTimeout, c.IdleTimeout = read, idle })
	drip := func(c net.Conn) {
		go func() {
			for {
				time.Sleep(50 * time.Millisecond)
				if _, err := io.WriteString(c, "X"); err != nil {
					return
				}
			}
		}()
	}
	t.Run("new and silent", func(t *testing.T) {
		_, br := n.talk(t)
		began := time.Now()
		at, last := ends(t, br)
		within(t, "silence", at.Sub(began), read)
		if last != "" && status(last) != "408" {
			t.Errorf("told %q", last)
		}
	})
	t.Run("new and slow", func(t *testing.T) {
		c, br := n.talk(t)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nX-Slow: ")
		began := time.Now()
		drip(c)
		at, _ := ends(t, br)
		within(t, "a slow first request", at.Sub(began), read)
	})
	t.Run("idle", func(t *testing.T) {
		c, br := n.talk(t)
		for range 3 { // each request moves the limit on
			roundTrip(t, c, br, good)
			time.Sleep(idle / 2)
		}
		roundTrip(t, c, br, good)
		began := time.Now()
		at, last := ends(t, br)
		within(t, "idleness", at.Sub(began), idle)
		if last != "" {
			t.Errorf("told %q", last)
		}
	})
	t.Run("slow after a while", func(t *testing.T) {
		c, br := n.talk(t)
		roundTrip(t, c, br, good)
		time.Sleep(idle / 2)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nX-Slow: ")
		began := time.Now()
		drip(c)
		at, last := ends(t, br)
		within(t, "a slow second request", at.Sub(began), read)
		if last != "" && status(last) != "408" {
			t.Errorf("told %q", last)
		}
	})
	t.Run("idle after a long answer", func(t *testing.T) {
		c, br := n.talk(t)
		roundTrip(t, c, br, strings.Replace(good, "/", "/?sleep=700ms", 1))
		roundTrip(t, c, br, good) // not cut off, although idle has passed since it began
	})
}

// A client may have so many connections and no more; those that it closes count no longer.
func (s suite) connectionsOfOneClient(t *testing.T) {
	n := s.node(t, func(c *front.Config) { c.MaxConnsPerIP = 2; c.ReadTimeout = 5 * time.Second })
	first, br := n.talk(t)
	roundTrip(t, first, br, good)
	_, _ = n.talk(t)
	for range 3 {
		_, br := n.talk(t)
		if _, last := ends(t, br); status(last) != "429" {
			t.Errorf("one too many is told %q", last)
		}
	}
	_ = first.Close()
	deadline := time.Now().Add(2 * time.Second)
	for {
		c, br := n.talk(t)
		_, err := io.WriteString(c, good)
		res, errRead := http.ReadResponse(br, nil)
		if err == nil && errRead == nil && res.StatusCode == http.StatusOK {
			_ = res.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no room after a connection was closed: %v", errors.Join(err, errRead))
		}
		time.Sleep(10 * time.Millisecond)
	}
	if refused := n.total(t, "portcullis_connections_refused_total"); refused < 3 {
		t.Errorf("%v refused connections were counted", refused)
	}
}

func (n *node) total(t *testing.T, name string) float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// A server whose context ends before it has begun returns.
func (s suite) endBeforeTheBeginning(t *testing.T) {
	for range 50 {
		server, err := s.open(front.Config{DrainTimeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		done := make(chan struct{})
		go func() { _ = server.Run(ctx, ln); close(done) }()
		select {
		case <-done:
		case <-time.After(3 * time.Second):
			t.Fatal("Run does not return")
		}
	}
}
