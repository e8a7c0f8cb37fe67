package faults_test

import (
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
)

const (
	adminToken = "the-admin-token-of-these-tests"
	nodeToken  = "the-node-token-of-these-tests"

	startWithin = time.Minute // on a machine that does much else
)

// newCluster prepares processes and starts none; they are gone when the test ends.
func newCluster(t *testing.T, o cluster.Options) *cluster.Cluster {
	t.Helper()
	o.AdminToken, o.NodeToken = adminToken, nodeToken
	return clustertest.New(t, o)
}

// eventually waits until try succeeds, and fails the test if it never does.
func eventually(t *testing.T, within time.Duration, what string, try func() error) {
	t.Helper()
	clustertest.Eventually(t, within, what, try)
}
