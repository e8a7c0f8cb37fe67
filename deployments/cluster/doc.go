// Package cluster starts Portcullis and NATS as processes on this machine: three
// NATS nodes, control planes and gateways, any part of them, or everything in one
// process. deployments/fleet and all that is in loadtest start their processes with
// it, so that there is one way to wait for readiness, to stop, and to tell why a
// process has ended.
//
//	c, err := cluster.New(ctx, cluster.Options{NATS: 3, Controls: 2, Gateways: 3, Dir: dir, Programs: bin})
//	defer c.Close()
//	err = c.Start(ctx)                    // NATS, control planes, gateways; each when the former are ready
//	c.NATS[1].Kill()                      // as kill -9 does
//	c.Gateways[0].Pause()                 // as a machine that stands still
//	err = c.Gateways[0].Restart(ctx)
//
// A Process is not bound to Portcullis: loadtest/peers starts nginx with it. Tests
// use package clustertest, which ends what it has started with the test and shows
// the logs if the test failed.
package cluster
