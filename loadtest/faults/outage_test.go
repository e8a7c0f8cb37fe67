package faults_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
)

// TestNATSOutage kills the NATS nodes of a fleet one after the other. One may be
// missing. With fewer than two, writes are refused and reads go on; with none, the
// gateways serve and say that they are stale. When the nodes are back, writes work
// again, nothing that was acknowledged is lost, and no gateway asks for a new
// snapshot because of it.
func TestNATSOutage(t *testing.T) {
	t.Parallel()
	const client = "served"
	f := newFleet(t, 3, 2, 3)
	f.up(t, client)
	served := f.keepCalling(t, client)
	w := &serial{apis: f.apis, id: "serial"}
	w.mustWrite(t)

	leader := f.streamLeader(t)
	f.NATS[leader].Kill()
	killed := time.Now()
	eventually(t, 30*time.Second, "writes without the log's leader", w.write)
	took := time.Since(killed)
	t.Logf("leader killed: the next write was answered after %s", took)
	// An election takes 4 to 9 s. What was on its way to the leader that was killed
	// must be sent again then, and not be waited for until the time is up.
	if took > 18*time.Second {
		t.Errorf("a write was stuck for %s", took)
	}
	w.mustWrite(t)
	w.mustWrite(t) // through the other control plane
	f.awaitSequence(t, w.at)
	t.Logf("leader killed: all gateways follow after %s", time.Since(killed))

	second := (leader + 1) % len(f.NATS)
	f.NATS[second].Kill()
	w.mustBeRefused(t, "no quorum")
	f.NATS[(leader+2)%len(f.NATS)].Kill()
	killed = time.Now()
	for _, g := range f.Gateways {
		eventually(t, 15*time.Second, g.Name+" is stale", inState(g.Admin, "STALE"))
	}
	t.Logf("no NATS: all gateways are stale after %s", time.Since(killed))
	w.mustBeRefused(t, "no NATS")
	w.check(t, "while there is no NATS")

	resyncs := f.resyncs(t)
	clustertest.Start(t, f.NATS...)
	back := time.Now()
	eventually(t, 30*time.Second, "writes after the outage", w.write)
	t.Logf("NATS is back: the next write was answered after %s", time.Since(back))
	for _, g := range f.Gateways {
		eventually(t, 30*time.Second, g.Name+" is live", inState(g.Admin, "LIVE"))
	}
	t.Logf("NATS is back: all gateways are live after %s", time.Since(back))
	w.mustWrite(t)
	w.mustWrite(t)
	w.check(t, "after the outage")

	a, err := f.apis[1].post("/v1/subscriptions/" + client + "/pause?wait=fleet&timeout=20s")
	must(t, a, err)
	if got, want := a.header.Get("Portcullis-Fleet"), "in_force; nodes=3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	served.stop(t)
	for n, g := range f.Gateways {
		if err := newCaller(g.Address, f.issuer.token(client, nil)).expect(403, "subscription_inactive")(); err != nil {
			t.Errorf("gateway %d after the outage: %v", n+1, err)
		}
	}
	if got := f.resyncs(t); !slices.Equal(got, resyncs) {
		t.Errorf("the gateways took new snapshots: %v, before %v", got, resyncs)
	}
}

// awaitSequence waits until all gateways are live and have a sequence in force.
func (f *fleet) awaitSequence(t *testing.T, sequence string) {
	t.Helper()
	want, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Gateways {
		eventually(t, 30*time.Second, fmt.Sprintf("%s is live at %d", g.Name, want), func() error {
			r, err := readyz(g.Admin)
			if err == nil && (r.State != "LIVE" || r.Sequence < want) {
				err = fmt.Errorf("%+v", r)
			}
			return err
		})
	}
}

// resyncs is how many snapshots each gateway took because its state did not fit the log.
func (f *fleet) resyncs(t *testing.T) []float64 {
	t.Helper()
	var all []float64
	for _, g := range f.Gateways {
		all = append(all, metric(t, g.Admin, "portcullis_sync_resyncs_total"))
	}
	return all
}

// served is calls at all gateways that go on and on.
type served struct {
	over   atomic.Bool
	done   sync.WaitGroup
	calls  atomic.Int64
	mu     sync.Mutex
	faults []error
}

// keepCalling calls each gateway every 20 ms until stop.
func (f *fleet) keepCalling(t *testing.T, client string) *served {
	t.Helper()
	s := &served{}
	for n, g := range f.Gateways {
		check := newCaller(g.Address, f.issuer.token(client, nil)).expect(200, "")
		s.done.Go(func() {
			for ; !s.over.Load(); time.Sleep(20 * time.Millisecond) {
				err := check()
				s.calls.Add(1)
				// The last call may overlap what the test does next.
				if err != nil && !s.over.Load() && !strings.Contains(err.Error(), "subscription_inactive") {
					s.mu.Lock()
					s.faults = append(s.faults, fmt.Errorf("gateway %d: %w", n+1, err))
					s.mu.Unlock()
				}
			}
		})
	}
	t.Cleanup(func() { s.over.Store(true); s.done.Wait() })
	return s
}

func (s *served) stop(t *testing.T) {
	t.Helper()
	s.over.Store(true)
	s.done.Wait()
	t.Logf("%d calls were answered meanwhile", s.calls.Load())
	if len(s.faults) > 0 {
		t.Errorf("%d calls failed during the outage, the first: %v", len(s.faults), s.faults[0])
	}
}

// serial writes numbers into one application, in turn through each control plane.
type serial struct {
	apis  []*control
	id    string
	tried int    // the last number that was sent
	acked int    // the last number that was acknowledged
	at    string // the sequence of that
}

// next is the next write.
func (w *serial) next() func() (answer, error) {
	w.tried++
	api, body := w.apis[w.tried%len(w.apis)], fmt.Sprintf(`{"name": "%d"}`, w.tried)
	return func() (answer, error) { return api.put("/v1/applications/"+w.id, body) }
}

// write is one attempt.
func (w *serial) write() error {
	a, err := w.next()()
	if err != nil {
		return err
	}
	if !a.ok() {
		return errors.New(a.String())
	}
	w.acked, w.at = w.tried, a.header.Get("Portcullis-Sequence")
	return nil
}

func (w *serial) mustWrite(t *testing.T) {
	t.Helper()
	if err := w.write(); err != nil {
		t.Fatal(err)
	}
}

// mustBeRefused: each control plane answers 503 with a problem that says what is
// the matter and whether the change may still happen.
func (w *serial) mustBeRefused(t *testing.T, when string) {
	t.Helper()
	var all sync.WaitGroup
	for range w.apis {
		write := w.next()
		all.Go(func() {
			began := time.Now()
			a, err := write()
			if err != nil {
				t.Errorf("%s: %v", when, err)
				return
			}
			p := a.problem()
			t.Logf("%s: %d after %s: %s", when, a.status, time.Since(began), p.Detail)
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.HasPrefix(p.Type, "urn:portcullis:problem:") {
				t.Errorf("%s: got %s with Retry-After %q, want 503 and when to try again", when, a, a.header.Get("Retry-After"))
			}
			said := strings.Contains(p.Detail, "nothing was changed") || strings.Contains(p.Detail, "writes are refused") ||
				strings.Contains(p.Detail, "may still take effect")
			if !said {
				t.Errorf("%s: %q does not say whether the change may still happen", when, p.Detail)
			}
		})
	}
	all.Wait()
}

// check reads the number at each control plane, as of the last write that was
// acknowledged. It may be a later one, and never an earlier one.
func (w *serial) check(t *testing.T, when string) {
	t.Helper()
	for n, api := range w.apis {
		a, err := api.get("/v1/applications/" + w.id + "?min_sequence=" + w.at)
		must(t, a, err)
		var app struct{ Name json.Number }
		if err := json.Unmarshal(a.body, &app); err != nil {
			t.Fatal(err)
		}
		if got, _ := app.Name.Int64(); got < int64(w.acked) || got > int64(w.tried) {
			t.Errorf("%s: control plane %d has %d, want %d to %d", when, n+1, got, w.acked, w.tried)
		}
	}
}
