//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/contend"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/load"
	"github.com/portcullis-gateway/portcullis/loadtest/peers/internal/serve"
	"github.com/portcullis-gateway/portcullis/shared/stream/streamtest"
)

// TestMain lets the test program play the roles, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "role" {
		main()
		return
	}
	os.Exit(m.Run())
}

// role starts a server of package serve and returns its address.
func role(t *testing.T, name string, args ...string) string {
	t.Helper()
	address := streamtest.FreeAddress(t)
	p := &cluster.Process{
		Name: name, Program: os.Args[0], Args: append([]string{"role", name, address}, args...), Log: filepath.Join(t.TempDir(), "log"),
		Ready: cluster.Accepts(address),
	}
	clustertest.Own(t, p)
	clustertest.Start(t, p)
	return address
}

// TestServers: the upstream and the bare proxy before it speak HTTP as clients do,
// with bodies of all sizes in both directions, plain and with TLS.
func TestServers(t *testing.T) {
	upstream := role(t, "upstream")
	pair, err := contend.NewPair(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for _, base := range []string{"http://" + upstream, "http://" + role(t, "bare", upstream), "https://" + role(t, "bare", upstream, pair.Cert, pair.Key)} {
		want := serve.Bodies()
		want["1"] = []byte(serve.Answer)
		for _, method := range []string{"GET", "POST"} {
			for name, body := range want {
				for range 3 {
					req, err := http.NewRequestWithContext(t.Context(), method, base+"/orders/"+name, strings.NewReader(strings.Repeat("x", len(method)%4*200_000)))
					if err != nil {
						t.Fatal(err)
					}
					res, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(got, body) {
						t.Fatalf("%s %s/orders/%s: %d, %d bytes, want %d, %v", method, base, name, res.StatusCode, len(got), len(body), err)
					}
				}
			}
		}
	}
}

// TestPace: requests go out at the rate they are to, and latencies count from when they were due.
func TestPace(t *testing.T) {
	roles := load.Roles{Self: os.Args[0]}
	q := load.Requests{Target: "http://" + role(t, "upstream"), Path: "/x", Connections: 4}
	r, err := roles.Pace(t.Context(), q, 400, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 400 || r.Status != 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P99 || r.Microseconds < 990_000 {
		t.Errorf("%+v", r)
	}
	// Of a server that takes 50 ms and has one connection, the later a request is
	// due the longer it waits: 100 in a second are answered after five.
	slow := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		fmt.Fprint(w, "late")
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = slow.Serve(ln) }()
	defer slow.Close()
	q.Target, q.Connections = "http://"+ln.Addr().String(), 1
	if r, err = roles.Pace(t.Context(), q, 100, time.Second); err != nil || r.Max < 4e6 || r.P50 < 1.5e6 || r.Microseconds < 5e6 {
		t.Errorf("a server that cannot keep up: %+v, %v", r, err)
	}
}

func TestOptions(t *testing.T) {
	var out bytes.Buffer
	for _, bad := range [][]string{{"--workload", "nothing"}, {"stray"}, {"--rounds", "x"}} {
		if _, err := parseOptions(bad, &out); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
	o, err := parseOptions([]string{"--quick"}, &out)
	if err != nil || o.rounds != 3 || o.seconds != 2 || o.whole() {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parseOptions([]string{"--strict", "--seed", "7"}, &out); err != nil || !o.whole() {
		t.Errorf("%+v, %v", o, err)
	}
}
