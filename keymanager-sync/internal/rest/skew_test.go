package rest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// A change that uses what a live node does not know is refused and names the node.
// What does not use it passes. This version's schema has nothing yet that users write
// and older nodes do not know, so the change is one of a later version.
func TestOlderNodes(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	later := []*pb.Change{{Kind: pb.Kind_KIND_PLAN, Id: "gold", Version: 2, Resource: []byte{0x98, 0x3f, 1}}}
	older := c.current("gw-1") // says nothing of its schema
	newer := c.current("gw-2")
	newer.Schema = pb.SchemaVersion + 1
	stop := c.keepBeating(func() []*pb.Heartbeat { return []*pb.Heartbeat{older, newer} })
	for end := time.Now().Add(10 * time.Second); strings.Count(c.must(200, "GET", "/v1/fleet", "").body, `"live": true`) < 3; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the nodes are not heard")
		}
	}
	contains(t, c.must(200, "GET", "/v1/fleet", "").body, `"schema": 1`, `"schema": 3`)
	err := c.nodes.Understands(later)
	if err == nil || strings.Contains(err.Error(), "gw-2") {
		t.Fatalf("%v", err)
	}
	contains(t, err.Error(), "node gw-1 knows schema 1; plan/gold uses a field that this program does not know, which needs 3", "allow_skew=true")
	c.must(http.StatusOK, "POST", "/v1/subscriptions/mobile-gold/pause", "")
	c.must(http.StatusBadRequest, "POST", "/v1/plans/gold/deprecate?allow_skew=maybe", "")
	stop()
	older.Left = true
	if err := c.bus.PublishHeartbeat(older); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(4 * time.Second); c.nodes.Understands(later) != nil; time.Sleep(5 * time.Millisecond) { // before gw-1 would be silent
		if time.Now().After(end) {
			t.Fatal("the node that left still counts")
		}
	}
}

// asLater adds a field that this program does not know to the plans among changes.
func asLater(changes []*pb.Change) []*pb.Change {
	later := make([]*pb.Change, len(changes))
	for i, c := range changes {
		later[i] = proto.CloneOf(c)
		if c.GetKind() == pb.Kind_KIND_PLAN {
			later[i].Resource = append(later[i].GetResource(), 0x98, 0x3f, 1)
		}
	}
	return later
}

// A write that a live node would not understand is refused, and nothing of it
// happens, unless it is let through.
func TestWriteThatOlderNodesWouldNotUnderstand(t *testing.T) {
	t.Parallel()
	c := start(t, options{laterPlans: true})
	c.seed()
	older := c.current("gw-1")
	older.Schema = 1
	stop := c.keepBeating(func() []*pb.Heartbeat { return []*pb.Heartbeat{older} })
	defer stop()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(c.must(200, "GET", "/v1/fleet", "").body, `"live": true`); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the node is not heard")
		}
	}
	refused := c.must(http.StatusConflict, "POST", "/v1/plans/gold/deprecate", "")
	contains(t, refused.body, "schema-skew", "node gw-1 knows schema", "plan/gold", "allow_skew=true")
	contains(t, c.must(200, "GET", "/v1/plans/gold", "").body, `"PUBLISHED"`)
	c.must(http.StatusOK, "POST", "/v1/subscriptions/mobile-gold/pause", "")
	c.must(http.StatusOK, "POST", "/v1/plans/gold/deprecate?allow_skew=true", "")
	contains(t, c.must(200, "GET", "/v1/plans/gold", "").body, `"DEPRECATED"`)
}
