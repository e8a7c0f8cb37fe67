// Package tour_test checks the standalone from outside, as somebody who has just
// read the README: what it prints is true, and the README's tour works word by word.
package tour_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
)

// root is the source tree, seen from this folder.
const root = "../../.."

// defaults are the default addresses.
var defaults = map[string]cluster.Port{
	"127.0.0.1:8080": cluster.Gateway,
	"127.0.0.1:9090": cluster.GatewayAdmin,
	"127.0.0.1:8081": cluster.Control,
	"127.0.0.1:4222": cluster.NATS,
	"127.0.0.1:8090": cluster.DemoIssuer,
	"127.0.0.1:8091": cluster.DemoUpstream,
}

// standalone is a started standalone, on its own ports.
type standalone struct {
	dataDir string
	moved   map[string]string // default address → the one in use
	printed []string          // up to and with `ready`
}

// start starts a standalone with an empty data directory and waits until it is
// ready. It is stopped in good order when the test ends.
func start(t *testing.T) *standalone {
	t.Helper()
	c := clustertest.New(t, cluster.Options{Standalone: true, Gateways: 1, Demo: true})
	p := c.Gateways[0]
	p.Env = cluster.Environment(os.Environ()) // it makes its admin token itself
	clustertest.StartCluster(t, c)
	t.Cleanup(func() {
		if err := p.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the standalone: %v", err)
		}
	})
	s := &standalone{dataDir: filepath.Join(c.Dir, "data"), moved: make(map[string]string)}
	for address, port := range defaults {
		s.moved[address] = c.Address(port, 1)
	}
	printed, err := os.ReadFile(p.Out)
	if err != nil {
		t.Fatal(err)
	}
	s.printed = strings.Split(strings.TrimSpace(string(printed)), "\n")
	return s
}

// dataPath finds ./data/… and data/… where a word begins.
var dataPath = regexp.MustCompile(`(^|[\s"'(=])(?:\./)?data/`)

// here rewrites text that speaks of the default addresses and of ./data, so that
// it speaks of this standalone.
func (s *standalone) here(text string) string {
	var pairs []string
	for from, to := range s.moved {
		pairs = append(pairs, from, to, strings.Replace(from, "127.0.0.1", "localhost", 1), to)
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	return dataPath.ReplaceAllString(text, "${1}"+strings.ReplaceAll(s.dataDir, "$", "$$")+"/")
}
