package rest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// keepBeating sends what beats makes every 20 ms until the returned function is called.
func (c *control) keepBeating(beats func() []*pb.Heartbeat) (stop func()) {
	ended, asked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			for _, b := range beats() {
				_ = c.bus.PublishHeartbeat(b)
			}
			select {
			case <-asked:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() {
		close(asked)
		<-ended
	}
}

// current is the heartbeat of a node that has applied everything.
func (c *control) current(node string, rejects ...*pb.Reject) *pb.Heartbeat {
	p := c.store.State().Position()
	return &pb.Heartbeat{
		Node: node, Epoch: p.Epoch, Sequence: p.Sequence, State: pb.Heartbeat_LIVE, StartedAt: 1,
		Rejects: rejects, RejectCount: uint32(len(rejects)),
	}
}

// A node that reached a change and could not put it in force is named with its
// reason; the change is never said to be in force.
func TestNotInForce(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	api := &pb.Reject{Kind: "KIND_DEPLOYMENT", Id: "orders", Sequence: 1, Reason: "environment variable \"KEY\" is not set\n; übel"}
	for name, test := range map[string]struct {
		reject     *pb.Reject
		call, want string
		status     int
	}{
		// The Api of the plan answers 503 there: nothing of the plan is in force.
		"the Api of a changed plan": {
			api, "/v1/plans/gold/deprecate", `not_in_force; applied=1; failed=gw-2; reason="gw-2: deployment/orders: environment variable \"KEY\" is not set\n; \u00fcbel"`, http.StatusAccepted,
		},
		// It was so before, and has nothing to do with a subscription.
		"another resource": {api, "/v1/subscriptions/mobile-gold/pause", "in_force; nodes=2", http.StatusOK},
	} {
		stop := c.keepBeating(func() []*pb.Heartbeat {
			return []*pb.Heartbeat{c.current("gw-1"), c.current("gw-2", test.reject)}
		})
		a := c.must(test.status, "POST", test.call+"?wait=fleet&timeout=20s", "")
		stop()
		if got := a.header.Get("Portcullis-Fleet"); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	contains(t, c.must(200, "GET", "/v1/fleet", "").body, `"reject_count": 1`, `is not set`)
}

// What a node rejects at the change's own sequence concerns the change, whatever it
// is; and so may a reject that is not named because there are too many.
func TestNotInForceAtTheSequence(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	for _, named := range []bool{true, false} {
		stop := c.keepBeating(func() []*pb.Heartbeat {
			b := c.current("gw-1")
			b.RejectCount = 21
			for i := range 20 {
				at := b.GetSequence()
				if !named {
					at += uint64(i) + 1
				}
				b.Rejects = append(b.Rejects, &pb.Reject{Kind: "73", Id: "x", Sequence: at, Reason: "kind 73 is not known"})
			}
			return []*pb.Heartbeat{b}
		})
		a := c.must(http.StatusAccepted, "POST", "/v1/applications?wait=fleet&timeout=20s", `{"name":"x"}`)
		stop()
		if named {
			contains(t, a.header.Get("Portcullis-Fleet"), "not_in_force; applied=0; failed=gw-1;", "73/x: kind 73 is not known", "and 17 more")
		} else {
			contains(t, a.header.Get("Portcullis-Fleet"), "not_in_force; applied=0; failed=gw-1;", "more resources that are not in force than it names")
		}
	}
}

// With no live node, a change is not said to be in force while a node is silent.
func TestNobodyIsHeard(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	c.beat("gw-1", 1)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		a := c.call("POST", "/v1/applications?wait=fleet&timeout=10s", `{"name":"x"}`)
		got := a.header.Get("Portcullis-Fleet")
		if got == "pending; applied=0; silent=gw-1" && a.status == http.StatusAccepted {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d %s", a.status, got)
		}
	}
}

// A silent node is removed from the fleet by a verb, one that is alive is not.
func TestRemoveANode(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	c.refused(http.StatusNotFound, "DELETE", "/v1/fleet/gw-1", "")
	member := command.Members{Present: []*pb.Member{{Id: "gw-1", Version: "v7", HeardAt: timestamppb.New(time.Now().Add(-time.Hour))}}}
	if _, err := c.book.Submit(t.Context(), member, ledger.Meta{}); err != nil {
		t.Fatal(err)
	}
	contains(t, c.must(200, "GET", "/v1/fleet", "").body, `"id": "gw-1"`, `"unheard": true`, `"state": "UNKNOWN"`, `"silent_seconds": 360`, `"version": "v7"`)
	contains(t, c.must(200, "GET", "/v1/members/gw-1", "").body, `"joined_at"`)
	stop := c.keepBeating(func() []*pb.Heartbeat { return []*pb.Heartbeat{c.current("gw-1")} })
	for end := time.Now().Add(10 * time.Second); !strings.Contains(c.must(200, "GET", "/v1/fleet", "").body, `"state": "LIVE"`); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the node is not heard")
		}
	}
	contains(t, c.must(http.StatusConflict, "DELETE", "/v1/fleet/gw-1", "").body, "node-live", "stop it")
	stop()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		a := c.call("DELETE", "/v1/fleet/gw-1", "")
		if a.status == http.StatusNoContent && a.sequence() == 3 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if body := c.must(200, "GET", "/v1/fleet", "").body; strings.Contains(body, "gw-1") {
		t.Errorf("after the removal: %s", body)
	}
}

// A write that changes nothing waits at the newest change, which may be somebody
// else's: what that could not put in force is not this one's fault.
func TestNothingChangedBesideWhatFailed(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	node := c.current("gw-1")
	stop := c.keepBeating(func() []*pb.Heartbeat {
		node.Sequence = c.store.State().Position().Sequence
		node.Rejects = []*pb.Reject{{Kind: "KIND_ISSUER", Id: "other", Sequence: node.GetSequence(), Reason: "no such variable"}}
		node.RejectCount = 1
		return []*pb.Heartbeat{node}
	})
	defer stop()
	same := c.must(http.StatusOK, "GET", "/v1/plans/gold", "").body
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		a := c.call("PUT", "/v1/plans/gold?wait=fleet&timeout=10s", same)
		got := a.header.Get("Portcullis-Fleet")
		if got == "in_force; nodes=1" && a.status == http.StatusOK {
			break
		}
		if time.Now().After(end) || strings.Contains(got, "not_in_force") {
			t.Fatalf("%d, Portcullis-Fleet: %s", a.status, got)
		}
	}
	a := c.call("POST", "/v1/subscriptions/mobile-gold/pause?wait=fleet&timeout=10s", "")
	contains(t, a.header.Get("Portcullis-Fleet"), "not_in_force")
	body := c.call("POST", "/v1/apis/orders/rollback", `{"revision": 1}`)
	if body.status != http.StatusBadRequest {
		t.Errorf("a body that nobody reads: %d %s", body.status, body.body)
	}
}
