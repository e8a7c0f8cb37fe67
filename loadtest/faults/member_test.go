package faults_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestSilentNodeIsNotForgotten stops a gateway in its tracks and kills the only
// control plane. The new one, which has never heard the gateway, names it all the
// same. A gateway that is stopped leaves the fleet at once, and the other is
// a part of it again when it goes on.
func TestSilentNodeIsNotForgotten(t *testing.T) {
	t.Parallel()
	const client = "membership"
	f := newFleet(t, 1, 1, 3)
	f.up(t, client)
	written := func(want string) func() error {
		return func() error {
			a, err := f.apis[0].call("POST", "/v1/applications?wait=fleet&timeout=20s", "application/json", `{"name": "x"}`)
			if err != nil {
				return err
			}
			if got := a.header.Get("Portcullis-Fleet"); !a.ok() || got != want {
				return fmt.Errorf("%s: %q, want %q", a, got, want)
			}
			return nil
		}
	}
	eventually(t, startWithin, "all gateways are recorded", func() error {
		a, err := f.apis[0].get("/v1/members")
		if err == nil && strings.Count(string(a.body), `"joined_at"`) != 3 {
			err = fmt.Errorf("%s", a)
		}
		return err
	})
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(f.Gateways[2].Pause())
	f.Controls[0].Kill()
	do(f.Controls[0].Start(t.Context()))
	silent := "; silent=" + f.Gateways[2].Name
	if err := written("pending; applied=2" + silent)(); err != nil {
		t.Errorf("just after the start: %v", err)
	}
	do(f.Gateways[1].Stop(t.Context()))
	// Within less time than a silent gateway would be taken for a live one.
	if err := written("pending; applied=1" + silent)(); err != nil {
		t.Errorf("after a gateway has left: %v", err)
	}
	do(f.Gateways[2].Resume())
	eventually(t, startWithin, "the gateway that went on is a part of the fleet", written("in_force; nodes=2"))
}
