package main

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
)

const (
	natsNodes     = 3
	controlPlanes = 2
	gateways      = 3
)

// layout places the ports of a fleet: it is added to every one of them.
type layout int

// address is where the n-th of its kind listens. The first of each has the default
// address.
func (l layout) address(p cluster.Port, n int) string {
	first := map[cluster.Port]int{
		cluster.NATS: 4222, cluster.NATSRoute: 6222, cluster.NATSMonitor: 8222,
		cluster.Control: 8081, cluster.Gateway: 8080, cluster.GatewayAdmin: 9090,
	}
	step := 100
	switch p {
	case cluster.NATS, cluster.NATSRoute, cluster.NATSMonitor:
		step = 1
	default:
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(l)+first[p]+step*(n-1)))
}

// describe prints the addresses, and ends with the line `ready`.
func describe(w io.Writer, c *cluster.Cluster) {
	fmt.Fprintf(w, "NATS       %s\n", strings.Join(c.NATSURLs, "  "))
	for n, url := range c.ControlURLs {
		fmt.Fprintf(w, "control %d  %s\n", n+1, url)
	}
	for n, g := range c.Gateways {
		fmt.Fprintf(w, "gateway %d  http://%s  admin http://%s\n", n+1, g.Address, g.Admin)
	}
	fmt.Fprintf(w, "data and logs in %s\n", c.Dir)
	fmt.Fprintf(w, "export PORTCULLIS_ADMIN_TOKEN=$(cat %s)\n", filepath.Join(c.Dir, "admin-token"))
	fmt.Fprintln(w, "ready")
}
