package stream_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// foreign starts a server that is not configured by us.
func foreign(t *testing.T, opts *server.Options) string {
	t.Helper()
	opts.Host, opts.Port = "127.0.0.1", server.RANDOM_PORT
	opts.JetStream, opts.StoreDir = true, t.TempDir()
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	must(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("server is not ready")
	}
	return "nats://" + s.Addr().String()
}

func TestServerOfSmallMessages(t *testing.T) {
	t.Parallel()
	log := createLog(t, streamtest.Connect(t, foreign(t, &server.Options{MaxPayload: 1 << 20}), "x"))
	if err := log.Audit(t.Context()); err == nil || !strings.Contains(err.Error(), "max_payload is 1048576") {
		t.Errorf("audit: got %v, want an error about max_payload", err)
	}
	if got := log.MaxSize(); got >= 1<<20 || got < 1<<20-8<<10 {
		t.Errorf("largest message is %d, want a little less than 1 MiB", got)
	}
	if _, err := log.Append(t.Context(), 0, "mixed", make([]byte, 1<<20), "id"); !errors.Is(err, stream.ErrTooLarge) {
		t.Errorf("append of 1 MiB: got %v, want ErrTooLarge", err)
	}
	if _, err := log.Append(t.Context(), 0, "mixed", make([]byte, log.MaxSize()), "id"); err != nil {
		t.Errorf("append of the largest message: %v", err)
	}
}

// The permissions that the package comment names are enough for a node, and do
// not let it write.
func TestPermissionsOfANode(t *testing.T) {
	t.Parallel()
	url := foreign(t, &server.Options{MaxPayload: 8 << 20, Users: []*server.User{
		{Username: "control", Password: "c"},
		{Username: "node", Password: "n", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{
				"$JS.API.STREAM.NAMES",
				"$JS.API.STREAM.INFO.*",
				"$JS.API.CONSUMER.CREATE.*.*",
				"$JS.API.CONSUMER.DELETE.*.*",
				"$JS.API.CONSUMER.MSG.NEXT.*.*",
				"portcullis.heartbeat.gw-1",
				"portcullis.keys.refresh",
			}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.gw-1.>", "portcullis.head"}},
		}},
	}})
	control := streamtest.Connect(t, strings.Replace(url, "://", "://control:c@", 1), "control")
	log := createLog(t, control)
	appendAll(t, log, 0, 5)
	beats, refreshes := make(chan *pb.Heartbeat, 1), make(chan *pb.KeyRefresh, 1)
	_, err := control.SubscribeHeartbeats(func(beat *pb.Heartbeat) { beats <- beat })
	must(t, err)
	_, err = control.SubscribeKeyRefresh(func(refresh *pb.KeyRefresh) { refreshes <- refresh })
	must(t, err)

	node := streamtest.Connect(t, strings.Replace(url, "://", "://node:n@", 1), "gw-1")
	reading, err := node.Find(t.Context())
	must(t, err)
	follow(t, reading, 0).wait(t, 0, 5)
	heads := make(chan *pb.Head, 1)
	_, err = node.SubscribeHeads(func(head *pb.Head) { heads <- head })
	must(t, err)
	must(t, node.PublishHeartbeat(&pb.Heartbeat{Node: "gw-1"}))
	receive(t, beats, &pb.Heartbeat{Node: "gw-1"})
	must(t, node.PublishKeyRefresh(&pb.KeyRefresh{Issuer: "idp"}))
	receive(t, refreshes, &pb.KeyRefresh{Issuer: "idp"})
	must(t, control.PublishHead(&pb.Head{Sequence: 5}))
	receive(t, heads, &pb.Head{Sequence: 5})

	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := reading.Append(ctx, 5, "mixed", []byte("6"), "id"); err == nil {
		t.Error("a node could append")
	}
	must(t, node.PublishHeartbeat(&pb.Heartbeat{Node: "gw-2"}))
	select {
	case beat := <-beats:
		t.Errorf("a node could speak for %s", beat.GetNode())
	case <-time.After(100 * time.Millisecond):
	}
	if _, last, err := log.Bounds(t.Context()); err != nil || last != 5 {
		t.Errorf("last is %d, %v; want 5", last, err)
	}
}
