// Package clustertest lets tests start processes that end with them, and whose logs
// are shown if they fail. See package cluster.
package clustertest

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
)

// programs builds all programs, once for each test binary, into a directory that
// all tests of the source tree share. They are not built with the race detector,
// whatever the test is built with: tests measure how fast they are.
var programs = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // set once, by itself
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	root, err := cluster.SourceTree(ctx)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".task", "programs")
	return dir, cluster.Build(ctx, dir, cluster.Programs()...)
})

// Programs returns the directory with the programs of a Cluster. With -short the
// test is skipped.
func Programs(tb testing.TB) string {
	tb.Helper()
	if testing.Short() {
		tb.Skip("starts processes")
	}
	dir, err := programs()
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

// New prepares a cluster in a directory of the test's, and starts no process.
func New(tb testing.TB, o cluster.Options) *cluster.Cluster {
	tb.Helper()
	o.Programs = Programs(tb)
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	c, err := cluster.New(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	Own(tb, c.All()...)
	tb.Cleanup(c.Close) // before what Own registered
	return c
}

// Own ends processes with the test, and shows their logs if it has failed.
func Own(tb testing.TB, processes ...*cluster.Process) {
	tb.Helper()
	tb.Cleanup(func() {
		for _, p := range processes {
			p.Kill()
			if tb.Failed() && p.PID() != 0 {
				tb.Logf("the end of what %s logged:\n%s", p.Name, p.Tail())
			}
		}
	})
}

// Start starts processes together, and returns when all of them are ready.
func Start(tb testing.TB, processes ...*cluster.Process) {
	tb.Helper()
	if err := cluster.StartAll(tb.Context(), processes...); err != nil {
		tb.Fatal(err)
	}
}

// StartCluster starts a whole cluster, and returns when all of it is ready.
func StartCluster(tb testing.TB, c *cluster.Cluster) {
	tb.Helper()
	if err := c.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// Eventually waits until try succeeds, and fails the test if it does not in time.
func Eventually(tb testing.TB, within time.Duration, what string, try func() error) {
	tb.Helper()
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
