package faults_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-gateway/portcullis/deployments/cluster/clustertest"
)

// TestKillStandalone: kill -9 at a random moment of a stream of writes, again and
// again. Afterwards every acknowledged write is there, in the API and in the
// gateway's decisions; one that was not acknowledged is there whole or not at all.
func TestKillStandalone(t *testing.T) {
	t.Parallel()
	const writers = 6
	kills := count(t, "KILLS", 4, 20)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newStandalone(t)
	clustertest.Start(t, s.Process)
	a, err := s.api.apply(s.issuer.world(s.upstream))
	must(t, a, err)

	all := make([]*writer, writers)
	for n := range all {
		all[n] = &writer{s: s, name: fmt.Sprintf("w%d", n), random: rand.New(rand.NewPCG(seed, uint64(n+1)))}
	}
	var slowest time.Duration
	for round := range kills {
		var running sync.WaitGroup
		for _, w := range all {
			running.Go(w.run)
		}
		time.Sleep(time.Duration(50+random.IntN(700)) * time.Millisecond)
		s.Kill()
		running.Wait()
		s.api.client.CloseIdleConnections()
		if round%3 == 2 { // killed again while it comes back
			if err := s.Launch(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
			s.Kill()
		}
		began := time.Now()
		clustertest.Start(t, s.Process)
		slowest = max(slowest, time.Since(began))
		checkDecisions(t, s, all, random) // first, because nothing may have to be waited for
		checkResources(t, s, all)
		if t.Failed() {
			t.Fatalf("in round %d", round+1)
		}
	}
	acknowledged, open := 0, 0
	for _, w := range all {
		acknowledged, open = acknowledged+w.acknowledged, open+w.open
	}
	t.Logf("%d kills, %d acknowledged writes, %d cut short; ready again after %s at most", kills, acknowledged, open, slowest)
	if acknowledged < 10*kills {
		t.Errorf("only %d writes: the stream was no stream", acknowledged)
	}
}

// pair is an application and its subscription as they should be.
type pair struct {
	There   bool
	Name    string // of the application, which has it as its owner, too
	App     uint64 // versions
	Paused  bool
	Version uint64
}

// known is what a writer knows of a pair.
type known struct {
	id    string
	is    pair
	maybe *pair // what a write makes of it that was cut short; nil: there is none
	fresh bool  // written since the last check
}

// writer writes pairs that nobody else writes.
type writer struct {
	s      *standalone
	name   string
	random *rand.Rand
	pairs  []*known

	acknowledged, open int
	complaint          error // an answer that nobody should get
}

// run writes until a write is not acknowledged.
func (w *writer) run() {
	for {
		k, next, write := w.choose()
		k.fresh, k.maybe = true, &next
		a, err := write()
		if err != nil {
			w.open++
			return
		}
		if !a.ok() {
			w.complaint = fmt.Errorf("%s: got %s", k.id, a)
			return
		}
		k.is, k.maybe = next, nil
		w.acknowledged++
	}
}

// choose makes up the next write, and what it makes of its pair.
func (w *writer) choose() (k *known, next pair, write func() (answer, error)) {
	name := fmt.Sprintf("n%d", w.acknowledged+w.open)
	if n := len(w.pairs); n > 0 {
		k = w.pairs[w.random.IntN(n)]
	}
	choice := w.random.IntN(10)
	if k == nil || !k.is.There || choice < 3 { // two resources in one transaction
		k = &known{id: fmt.Sprintf("%s-%d", w.name, len(w.pairs))}
		w.pairs = append(w.pairs, k)
		return k, pair{There: true, Name: name, App: 1, Version: 1}, func() (answer, error) {
			return w.s.api.apply(consumer(k.id, name))
		}
	}
	next = k.is
	switch {
	case choice == 3: // takes the subscription with it
		return k, pair{}, func() (answer, error) {
			return w.s.api.call(http.MethodDelete, "/v1/applications/"+k.id+"?cascade=true", "", "")
		}
	case choice < 7:
		next.Name, next.App = name, next.App+1
		body := fmt.Sprintf(`{"name": %q, "owner": %q, "clients": [{"issuer": "issuer", "client_id": %q}]}`, name, name, k.id)
		return k, next, func() (answer, error) { return w.s.api.put("/v1/applications/"+k.id, body) }
	}
	verb := "pause"
	if next.Paused {
		verb = "resume"
	}
	next.Paused, next.Version = !next.Paused, next.Version+1
	return k, next, func() (answer, error) { return w.s.api.post("/v1/subscriptions/" + k.id + "/" + verb) }
}

// checkDecisions asks the gateway about what was written since the last check,
// and about some of the rest.
func checkDecisions(t *testing.T, s *standalone, all []*writer, random *rand.Rand) {
	t.Helper()
	c := newCaller(s.Address, "")
	for _, w := range all {
		if w.complaint != nil {
			t.Errorf("a write was refused: %v", w.complaint)
		}
		for _, k := range w.pairs {
			if !k.fresh && random.IntN(20) > 0 {
				continue
			}
			c.token = s.issuer.token(k.id, nil)
			err := decidedBy(c, k.is)
			if err != nil && k.maybe != nil {
				err = decidedBy(c, *k.maybe)
			}
			if err != nil {
				t.Errorf("%s is %+v or %+v: %v", k.id, k.is, k.maybe, err)
			}
		}
	}
}

func decidedBy(c *caller, p pair) error {
	switch {
	case !p.There:
		return c.expect(403, "subscription_not_found")()
	case p.Paused:
		return c.expect(403, "subscription_inactive")()
	}
	return c.expect(200, "")()
}

// checkResources compares what the API has with what was acknowledged.
func checkResources(t *testing.T, s *standalone, all []*writer) {
	t.Helper()
	applications, subscriptions := list(t, s.api, "applications"), list(t, s.api, "subscriptions")
	for _, w := range all {
		for _, k := range w.pairs {
			got, whole := pair{}, true
			app, there := applications[k.id]
			sub, subscribed := subscriptions[k.id]
			if there != subscribed || there && app.Name != app.Owner {
				whole = false
			}
			if there {
				got = pair{There: true, Name: app.Name, App: app.Meta.version(), Paused: sub.Status == "PAUSED", Version: sub.Meta.version()}
			}
			if !whole || got != k.is && (k.maybe == nil || got != *k.maybe) {
				t.Errorf("%s: got %+v (%+v, %+v), want %+v or %+v", k.id, got, app, sub, k.is, k.maybe)
			}
			k.is, k.maybe = got, nil // from now on it is known
			if k.fresh {
				k.fresh = false
				checkOne(t, s.api, k)
			}
			delete(applications, k.id)
			delete(subscriptions, k.id)
		}
	}
	if len(applications)+len(subscriptions) > 0 {
		t.Errorf("nobody wrote these: %v %v", applications, subscriptions)
	}
}

// checkOne asks for the two resources of a pair themselves.
func checkOne(t *testing.T, api *control, k *known) {
	t.Helper()
	for path, version := range map[string]uint64{"/v1/applications/": k.is.App, "/v1/subscriptions/": k.is.Version} {
		a, err := api.get(path + k.id)
		if err != nil {
			t.Fatal(err)
		}
		want, one := http.StatusNotFound, listed{}
		if k.is.There {
			want = http.StatusOK
			if err := json.Unmarshal(a.body, &one); err != nil {
				t.Errorf("%s%s: %v", path, k.id, err)
			}
		}
		if a.status != want || one.Meta.version() != version {
			t.Errorf("%s%s: got %s, want %d and %+v", path, k.id, a, want, k.is)
		}
	}
}

// listed is what the tests look at in an application or a subscription.
type listed struct {
	ID, Name, Owner, Status string
	Meta                    meta
}

type meta struct{ Version json.Number }

func (m meta) version() uint64 {
	v, _ := m.Version.Int64()
	return uint64(v)
}

// list reads a whole collection.
func list(t *testing.T, api *control, collection string) map[string]listed {
	t.Helper()
	all := make(map[string]listed)
	for after := ""; ; {
		a, err := api.get("/v1/" + collection + "?limit=1000&after=" + after)
		must(t, a, err)
		var page struct {
			Items []listed
			Next  string
		}
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			all[item.ID] = item
		}
		if after = page.Next; after == "" {
			return all
		}
	}
}
