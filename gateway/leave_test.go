package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// A node says that it has left when its last request has been decided, and not at
// all if it gave up waiting for that.
func TestNodeLeavesAfterItsLastRequest(t *testing.T) {
	for _, c := range []struct {
		name    string
		timeout time.Duration
		ends    bool // in good order
	}{{"drained", 10 * time.Second, true}, {"drain broken off", 300 * time.Millisecond, false}} {
		t.Run(c.name, func(t *testing.T) {
			server := streamtest.New(t)
			beats, state := make(chan *pb.Heartbeat, 100), pb.Heartbeat_LOADING
			unsubscribe, err := server.Connect(t, "control").SubscribeHeartbeats(func(h *pb.Heartbeat) { beats <- h })
			if err != nil {
				t.Fatal(err)
			}
			defer unsubscribe()
			// heardLast listens for the last heartbeat.
			heardLast := func(patience time.Duration) bool {
				for end := time.After(patience); ; {
					select {
					case h := <-beats:
						if state = h.GetState(); h.GetLeft() {
							return true
						}
					case <-end:
						return false
					}
				}
			}
			cfg := DefaultConfig()
			cfg.Listen, cfg.AdminListen, cfg.DataDir = "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
			cfg.NATS, cfg.Control, cfg.DrainTimeout = []string{server.URL()}, []string{"http://127.0.0.1:1"}, c.timeout
			addresses, done := make(chan string, 1), make(chan error, 1)
			cfg.Listening = func(front, _ string) { addresses <- front }
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() { done <- Run(ctx, cfg) }()
			conn, err := net.Dial("tcp", <-addresses)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// Half a request: the node has yet to decide it.
			if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\n"); err != nil {
				t.Fatal(err)
			}
			if heardLast(500 * time.Millisecond) {
				t.Fatal("a node that serves has left")
			}
			cancel()
			if heardLast(1500*time.Millisecond) || state != pb.Heartbeat_DRAINING {
				t.Fatalf("state %s while a request is in flight, or it has left", state)
			}
			if c.ends {
				if _, err := fmt.Fprint(conn, "\r\n"); err != nil {
					t.Fatal(err)
				}
				if !heardLast(5 * time.Second) {
					t.Error("it does not say that it has left")
				}
			}
			if err := <-done; (err == nil) != c.ends || !c.ends && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the node ends with %v", err)
			}
			if heardLast(100 * time.Millisecond) {
				t.Error("it says that it has left, again or wrongly")
			}
		})
	}
}
