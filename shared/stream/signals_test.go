package stream_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/stream"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

func receive[T proto.Message](t *testing.T, from <-chan T, want T) {
	t.Helper()
	select {
	case got := <-from:
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("signal differs (-want +got):\n%s", diff)
		}
	case <-time.After(patience):
		t.Error("no signal came")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	sender, receiver := server.Connect(t, "gw.eu/1 *>"), server.Connect(t, "control")
	heads, beats := make(chan *pb.Head, 10), make(chan *pb.Heartbeat, 10)
	stopHeads, err := receiver.SubscribeHeads(func(head *pb.Head) { heads <- head })
	must(t, err)
	stopBeats, err := receiver.SubscribeHeartbeats(func(beat *pb.Heartbeat) { beats <- beat })
	must(t, err)
	flush(t, receiver)

	head := &pb.Head{Epoch: 3, Founding: "f", Sequence: 99, SetHash: 7, Replica: "c1"}
	must(t, sender.PublishHead(head))
	receive(t, heads, head)
	for _, node := range []string{"gw-1", "gw.eu.1", "..", "a b", "*", ">", "ü"} {
		beat := &pb.Heartbeat{Node: node, Sequence: 5, State: pb.Heartbeat_STALE}
		must(t, sender.PublishHeartbeat(beat))
		receive(t, beats, beat)
	}
	if err := sender.PublishHeartbeat(&pb.Heartbeat{}); err == nil {
		t.Error("a heartbeat without a node was published")
	}
	stopBeats()
	stopHeads()
	must(t, sender.PublishHead(head))
	select {
	case <-heads:
		t.Error("a head came after unsubscribing")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestUndecodableSignalsAreCounted(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	bus := server.Connect(t, "control")
	var calls atomic.Int64
	_, err := bus.SubscribeHeads(func(*pb.Head) { calls.Add(1) })
	must(t, err)
	_, err = bus.SubscribeHeartbeats(func(*pb.Heartbeat) { calls.Add(1) })
	must(t, err)
	_, err = bus.SubscribeKeyRefresh(func(*pb.KeyRefresh) { calls.Add(1) })
	must(t, err)
	flush(t, bus)

	conn, err := nats.Connect(server.URL())
	must(t, err)
	defer conn.Close()
	noise := []byte("\xff\xff\xff")
	beat, err := proto.Marshal(&pb.Heartbeat{Node: "gw-1"})
	must(t, err)
	must(t, conn.Publish("portcullis.head", noise))
	must(t, conn.Publish("portcullis.heartbeat.gw-1", noise))
	must(t, conn.Publish("portcullis.heartbeat.gw-2", beat)) // speaks for another
	must(t, conn.Publish("portcullis.heartbeat.gw-1", nil))
	must(t, conn.Publish("portcullis.keys.refresh", noise))
	must(t, conn.Publish("portcullis.heartbeat.gw-1", beat))
	eventually(t, "counting", func() bool { return bus.Stats().Undecodable == 5 && calls.Load() == 1 })
}

func TestOneReplicaAnswersAKeyRefresh(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	var calls atomic.Int64
	for _, name := range []string{"c1", "c2", "c3"} {
		replica := server.Connect(t, name)
		_, err := replica.SubscribeKeyRefresh(func(refresh *pb.KeyRefresh) {
			if refresh.GetIssuer() == "idp" && refresh.GetNode() == "gw-1" {
				calls.Add(1)
			}
		})
		must(t, err)
		flush(t, replica)
	}
	node := server.Connect(t, "gw-1")
	for range 20 {
		must(t, node.PublishKeyRefresh(&pb.KeyRefresh{Issuer: "idp", Node: "gw-1"}))
	}
	eventually(t, "refresh", func() bool { return calls.Load() >= 20 })
	time.Sleep(50 * time.Millisecond)
	if got := calls.Load(); got != 20 {
		t.Errorf("20 requests were answered %d times", got)
	}
}

func TestSignalsWithoutServer(t *testing.T) {
	t.Parallel()
	server := streamtest.New(t)
	bus := server.Connect(t, "node")
	heads := make(chan *pb.Head, 1)
	_, err := bus.SubscribeHeads(func(head *pb.Head) { heads <- head })
	must(t, err)
	server.Stop(t)
	eventually(t, "disconnect", func() bool { return !bus.Connected() })
	if err := bus.PublishHead(&pb.Head{}); err == nil {
		t.Error("a head was published without a server")
	}
	server.Start(t)
	eventually(t, "reconnect", bus.Connected)
	head := &pb.Head{Sequence: 4}
	must(t, bus.PublishHead(head))
	receive(t, heads, head) // the subscription is back
}

// flush waits until the server knows a bus's subscriptions.
func flush(t *testing.T, bus *stream.Bus) {
	t.Helper()
	if _, err := bus.Find(t.Context()); err == nil {
		t.Fatal("there is a log")
	}
}
