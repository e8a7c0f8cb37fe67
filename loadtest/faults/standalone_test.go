package faults_test

import (
	"testing"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
)

// standalone is everything in one process, without the demo.
type standalone struct {
	*cluster.Process
	api      *control
	issuer   *issuer
	upstream string
}

func newStandalone(t *testing.T) *standalone {
	t.Helper()
	c := newCluster(t, cluster.Options{Standalone: true, Gateways: 1})
	return &standalone{Process: c.Gateways[0], api: newControl(c.Address(cluster.Control, 1)), issuer: newIssuer(t), upstream: echo(t)}
}
