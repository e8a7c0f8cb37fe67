package cluster_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
	"github.com/portcullis-gateway/portcullis/shared/freeport"
)

// play is what this test's binary does when it was started by itself.
func play(role string) {
	switch role {
	case child:
		time.Sleep(time.Hour)
	case failing:
		fmt.Fprintln(os.Stderr, "because of this")
		os.Exit(3)
	case breaking:
		fmt.Fprintf(os.Stderr, "%s\npanic: it is broken\n\ngoroutine 1 [running]:\n%s", strings.Repeat("before\n", 2000), strings.Repeat("after\n", 2000))
		os.Exit(2)
	case returning:
		return
	default:
		serve(role)
	}
}

// serve answers until it is asked to end, with a child that it does not end.
func serve(role string) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	kid := exec.Command(os.Args[0])
	kid.Env = append(os.Environ(), roleVariable+"="+child)
	if err := kid.Start(); err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stdout, "child", kid.Process.Pid)
	fmt.Fprintln(os.Stderr, "started")
	go func() {
		panic(http.ListenAndServe(os.Getenv("CLUSTER_TEST_ADDRESS"), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/exit" {
				os.Exit(4)
			}
		})))
	}()
	for range asked {
		fmt.Fprintln(os.Stderr, "asked to end")
		if role != stubborn {
			return
		}
	}
}

// awaitGone waits until a process has ended, if this system lets us see that.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	if _, err := os.Stat("/proc/self"); err != nil {
		return
	}
	clustertest.Eventually(t, time.Minute, "the child ends with its parent", func() error {
		// One that has ended may wait to be buried.
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // gone: nothing
		if len(stat) > 0 && !strings.Contains(string(stat), ") Z ") {
			return errors.New("it runs")
		}
		return nil
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	r, err := freeport.Reserve(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Release)
	return r.Addresses[0]
}
