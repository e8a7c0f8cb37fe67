package faults_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
)

// TestStaleStart: a gateway that has run once starts and serves although neither
// the control plane nor NATS is there, and says that its state is stale and how
// old it is. When they come back, it catches up with what it has missed.
func TestStaleStart(t *testing.T) {
	t.Parallel()
	const kept, paused, later = "kept", "paused", "later"
	f := newFleet(t, 1, 1, 1)
	f.up(t, kept)
	gateway := f.Gateways[0]
	front, admin := gateway.Address, gateway.Admin
	callAs := func(client string) *caller { return newCaller(front, f.issuer.token(client, nil)) }

	a, err := f.apis[0].call("POST", "/v1/apply?wait=fleet", "application/yaml", consumer(paused, "first"))
	must(t, a, err)
	changed := time.Now()
	eventually(t, startWithin, "the gateway has saved its state", func() error {
		if saved := metric(t, admin, "portcullis_snapshot_saved_timestamp_seconds"); saved < float64(changed.UnixMilli())/1000 {
			return fmt.Errorf("saved at %f", saved)
		}
		return nil
	})
	gateway.Kill()

	// What it misses.
	a, err = f.apis[0].post("/v1/subscriptions/" + paused + "/pause")
	must(t, a, err)
	a, err = f.apis[0].apply(consumer(later, "first"))
	must(t, a, err)
	f.Controls[0].Kill()
	f.NATS[0].Kill()

	began := time.Now()
	clustertest.Start(t, gateway)
	t.Logf("serves again after %s, with nobody else there", time.Since(began))
	for client, want := range map[string]struct {
		status int
		reason string
	}{kept: {200, ""}, paused: {200, ""}, later: {403, "subscription_not_found"}, "": {401, "missing_credentials"}} {
		c := callAs(client)
		if client == "" {
			c.token = ""
		}
		if err := c.expect(want.status, want.reason)(); err != nil {
			t.Errorf("%q: %v", client, err)
		}
	}
	checkAge(t, admin, changed)

	clustertest.Start(t, f.NATS...)
	clustertest.Start(t, f.Controls...)
	back := time.Now()
	eventually(t, startWithin, "the gateway is live", inState(admin, "LIVE"))
	t.Logf("live again %s after the control plane was", time.Since(back))
	for client, check := range map[string]func() error{
		kept: callAs(kept).expect(200, ""), paused: callAs(paused).expect(403, "subscription_inactive"), later: callAs(later).expect(200, ""),
	} {
		if err := check(); err != nil {
			t.Errorf("%s after the state was live: %v", client, err)
		}
	}
	for _, name := range []string{"portcullis_snapshot_age_seconds", "portcullis_sync_lag_seconds", "portcullis_sync_resyncs_total"} {
		if v := metric(t, admin, name); v != 0 {
			t.Errorf("%s is %f in a live gateway that has only caught up", name, v)
		}
	}
	// And it follows from there.
	a, err = f.apis[0].post("/v1/subscriptions/" + kept + "/pause?wait=fleet")
	must(t, a, err)
	if err := callAs(kept).expect(403, "subscription_inactive")(); err != nil {
		t.Error(err)
	}
}

// checkAge: what a stale gateway says of its age is true, grows, and is in its metrics.
func checkAge(t *testing.T, admin string, changed time.Time) {
	t.Helper()
	age := func() float64 {
		t.Helper()
		r, err := readyz(admin)
		if err != nil {
			t.Fatal(err)
		}
		if r.State != "STALE" || r.Status != 200 {
			t.Errorf("readyz is %+v, want STALE and 200", r)
		}
		return r.Age
	}
	first := age()
	if most := time.Since(changed).Seconds() + 2; first <= 0 || first > most {
		t.Errorf("the state is %f s old, want more than 0 and not more than %f", first, most)
	}
	time.Sleep(1100 * time.Millisecond)
	if second := age(); second < first+1 {
		t.Errorf("the age was %f s, and %f s a second later", first, second)
	}
	for _, name := range []string{"portcullis_snapshot_age_seconds", "portcullis_sync_lag_seconds"} {
		if v := metric(t, admin, name); v < first {
			t.Errorf("%s is %f, want more than %f", name, v, first)
		}
	}
}
