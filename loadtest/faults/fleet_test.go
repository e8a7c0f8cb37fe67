package faults_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
)

// fleet is NATS nodes, control planes and gateways, each a separate process.
type fleet struct {
	*cluster.Cluster
	apis []*control // of the control planes

	issuer   *issuer
	upstream string
}

// newFleet prepares the processes and starts none.
func newFleet(t *testing.T, natsNodes, controls, gateways int) *fleet {
	t.Helper()
	f := &fleet{
		Cluster: newCluster(t, cluster.Options{NATS: natsNodes, Controls: controls, Gateways: gateways}),
		issuer:  newIssuer(t), upstream: echo(t),
	}
	for _, c := range f.Controls {
		f.apis = append(f.apis, newControl(c.Address))
	}
	return f
}

// up starts the whole fleet with the world in force and one consumer.
func (f *fleet) up(t *testing.T, client string) {
	t.Helper()
	clustertest.StartCluster(t, f.Cluster)
	a, err := f.apis[0].call("POST", "/v1/apply?wait=fleet&timeout=30s", "application/yaml", f.issuer.world(f.upstream)+consumer(client, "first"))
	must(t, a, err)
	for _, g := range f.Gateways {
		eventually(t, startWithin, g.Name+" serves", newCaller(g.Address, f.issuer.token(client, nil)).expect(200, ""))
	}
}

// streamLeader is the NATS node that leads the log's replicas, by its index.
func (f *fleet) streamLeader(t *testing.T) int {
	t.Helper()
	leader := -1
	eventually(t, startWithin, "the log has a leader", func() error {
		for _, node := range f.NATS {
			name, err := leaderSeenBy(node.Admin)
			if err != nil {
				return err
			}
			if n, err := strconv.Atoi(strings.TrimPrefix(name, "n")); err == nil {
				leader = n - 1
				return nil
			}
		}
		return fmt.Errorf("no node knows one")
	})
	return leader
}

func leaderSeenBy(monitor string) (string, error) {
	a, err := get("http://" + monitor + "/jsz?streams=true")
	if err != nil {
		return "", err
	}
	var jsz struct {
		Accounts []struct {
			Streams []struct {
				Name    string
				Cluster struct{ Leader string }
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	if err := json.Unmarshal(a.body, &jsz); err != nil {
		return "", err
	}
	for _, account := range jsz.Accounts {
		for _, s := range account.Streams {
			if strings.HasPrefix(s.Name, "PORTCULLIS") {
				return s.Cluster.Leader, nil
			}
		}
	}
	return "", nil
}
