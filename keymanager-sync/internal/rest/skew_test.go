package rest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// A change that uses what a live node does not know is refused and names the node,
// unless it is let through. What does not use it passes, and so does everything
// once the node knows the schema or has left.
func TestOlderNodes(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.seed()
	// A plan with a field of a later schema, as a later control plane wrote it.
	plan, _ := catalog.Lookup[*pb.Plan](c.view.State(), pb.Kind_KIND_PLAN, "gold")
	plan.ProtoReflect().SetUnknown([]byte{0x98, 0x3f, 1})
	if _, err := c.book.Submit(t.Context(), command.Replace{Resource: plan}, ledger.Meta{}); err != nil {
		t.Fatal(err)
	}
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
	p := c.refused(http.StatusConflict, "POST", "/v1/plans/gold/deprecate", "")
	contains(t, p.Detail, "node gw-1 knows schema 1; plan/gold uses a field that this program does not know, which needs 3", "allow_skew=true")
	if p.Type != "urn:portcullis:problem:schema-skew" || strings.Contains(p.Detail, "gw-2") {
		t.Errorf("%+v", p)
	}
	c.must(http.StatusOK, "POST", "/v1/subscriptions/mobile-gold/pause", "")
	c.must(http.StatusOK, "POST", "/v1/plans/gold/deprecate?allow_skew=true", "")
	c.must(http.StatusBadRequest, "POST", "/v1/plans/gold/deprecate?allow_skew=maybe", "")
	c.refused(http.StatusConflict, "POST", "/v1/plans/gold/close", "")
	stop()
	older.Left = true
	if err := c.bus.PublishHeartbeat(older); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(4 * time.Second); ; time.Sleep(5 * time.Millisecond) { // before gw-1 would be silent
		if a := c.call("POST", "/v1/plans/gold/close", ""); a.status == http.StatusOK {
			break
		} else if time.Now().After(end) {
			t.Fatalf("after the older node left: %d %s", a.status, a.body)
		}
	}
}

// Just after a start nodes that have not been heard yet count as they were recorded.
func TestOlderNodesAreKnownAfterAStart(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	member := command.Members{Present: []*pb.Member{{Id: "gw-1"}}}
	if _, err := c.book.Submit(t.Context(), member, ledger.Meta{}); err != nil {
		t.Fatal(err)
	}
	app := &pb.Application{Id: "a", Name: "A"}
	app.ProtoReflect().SetUnknown([]byte{0x98, 0x3f, 1})
	_, err := c.book.Submit(t.Context(), command.Create{Resource: app}, ledger.Meta{})
	if err == nil || !strings.Contains(err.Error(), "node gw-1 knows schema 1; application/a") {
		t.Errorf("%v", err)
	}
}
