package faults_test

import (
	"testing"
)

// standalone is everything in one process, without the demo.
type standalone struct {
	*process
	api          *control
	front, admin string
	issuer       *issuer
	upstream     string
}

func newStandalone(t *testing.T) *standalone {
	t.Helper()
	at := freeAddresses(t, 4)
	s := &standalone{front: at[0], admin: at[1], api: newControl(at[2]), issuer: newIssuer(t), upstream: echo(t)}
	s.process = newProcess(t, t.TempDir(), "standalone", "standalone", nil, "--demo=false", "--data-dir", "data",
		"--gateway-listen", s.front, "--gateway-admin-listen", s.admin, "--control-listen", at[2], "--nats-listen", at[3])
	s.ready = printed(s.stdout(), "ready")
	return s
}
