package faults_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
)

// TestSuddenEnd: what a gateway has said is in force is in force when it comes back
// from kill -9 alone, however large its state is and however long it takes to save.
func TestSuddenEnd(t *testing.T) {
	t.Parallel()
	rounds, consumers := count(t, "SUDDEN", 3, 10), count(t, "CONSUMERS", 2_000, 60_000)
	f := newFleet(t, 1, 1, 1)
	f.up(t, "client")
	const chunk = 5_000
	for first := 0; first < consumers; first += chunk {
		var all strings.Builder
		for n := first; n < min(first+chunk, consumers); n++ {
			all.WriteString(consumer(fmt.Sprintf("c-%d", n), "many"))
		}
		a, err := f.apis[0].call("POST", "/v1/apply?wait=fleet&timeout=30s", "application/yaml", all.String())
		must(t, a, err)
	}
	gateway := f.Gateways[0]
	for round := range rounds {
		jti := fmt.Sprintf("stolen-%d", round)
		c := newCaller(gateway.Address, f.issuer.token("client", map[string]any{"jti": jti}))
		if err := c.expect(200, "")(); err != nil {
			t.Fatal(err)
		}
		// The first change makes the gateway save its state, so that it does not save
		// it again for a while.
		f.inForce(t, consumer(fmt.Sprintf("other-%d", round), "first"))
		f.inForce(t, fmt.Sprintf("kind: Revocation\nid: %s\nissuer: issuer\njti: %[1]s\nexpires_at: %s\n", jti, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
		gateway.Kill()
		f.Controls[0].Kill()
		f.NATS[0].Kill()

		clustertest.Start(t, gateway)
		if err := c.expect(401, "token_revoked")(); err != nil {
			t.Errorf("round %d: %v", round+1, err)
		}
		clustertest.Start(t, f.NATS...)
		clustertest.Start(t, f.Controls...)
		eventually(t, startWithin, "the gateway is live", inState(gateway.Admin, "LIVE"))
		if v := metric(t, gateway.Admin, "portcullis_sync_resyncs_total"); v != 0 {
			t.Errorf("round %d: %f snapshots were taken", round+1, v)
		}
	}
}

// inForce applies resources, and insists that the fleet says that they are in force.
func (f *fleet) inForce(t *testing.T, yaml string) {
	t.Helper()
	a, err := f.apis[0].call("POST", "/v1/apply?wait=fleet&timeout=30s", "application/yaml", yaml)
	must(t, a, err)
	if got := a.header.Get("Portcullis-Fleet"); !strings.HasPrefix(got, "in_force; nodes=1") {
		t.Fatalf("Portcullis-Fleet: %s", got)
	}
}
