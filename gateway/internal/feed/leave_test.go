package feed

import (
	"testing"
	"time"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

func TestLastHeartbeat(t *testing.T) {
	for _, c := range []struct {
		name string
		left bool
	}{{"left", true}, {"requests may be in flight", false}} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t)
			f.applyWorld()
			n := f.node("")
			eventually(t, "live", n.live)
			beats := make(chan *pb.Heartbeat, 100)
			unsubscribe, err := f.bus.SubscribeHeartbeats(func(h *pb.Heartbeat) { beats <- h })
			if err != nil {
				t.Fatal(err)
			}
			n.Drain()
			eventually(t, "draining", func() bool { return (<-beats).GetState() == pb.Heartbeat_DRAINING })
			if c.left {
				n.Leave()
			}
			n.stop()
			time.Sleep(200 * time.Millisecond)
			unsubscribe()
			close(beats)
			var last *pb.Heartbeat
			for h := range beats {
				if last.GetLeft() {
					t.Error("a heartbeat came after the last one")
				}
				last = h
			}
			if last.GetLeft() != c.left {
				t.Errorf("the last heartbeat is %v, want left %t", last, c.left)
			}
			if c.left && (last.GetState() != pb.Heartbeat_DRAINING || last.GetStartedAt() != n.started.UnixMilli()) {
				t.Errorf("the last heartbeat is %v", last)
			}
		})
	}
}
