package jwks_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/jwks"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// set is a JWK set with one key of this kid.
func set(kid string) string {
	return `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"` + kid + `","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},` +
		`{"kty":"oct","kid":"never","k":"AAAA"}]}`
}

// server answers with whatever handler is set, and counts.
type server struct {
	*httptest.Server
	handler atomic.Pointer[http.HandlerFunc]
	hits    atomic.Int64
	open    atomic.Int64
	most    atomic.Int64
}

func newServer(t *testing.T, h http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.handler.Store(&h)
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.hits.Add(1)
	if now := s.open.Add(1); now > s.most.Load() {
		s.most.Store(now)
	}
	defer s.open.Add(-1)
	(*s.handler.Load())(w, r)
}

func (s *server) set(h http.HandlerFunc) { s.handler.Store(&h) }

func body(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func hang(w http.ResponseWriter, r *http.Request) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	<-r.Context().Done()
}

// watch is a running Fetcher and what it has reported.
type watch struct {
	*jwks.Fetcher
	mu       sync.Mutex
	sources  map[string][]*pb.KeySet_Source
	changes  map[string]int
	updates  map[string]int
	outcomes map[string][]jwks.Outcome
}

func run(t *testing.T, change func(*jwks.Config), issuers ...*pb.Issuer) *watch {
	t.Helper()
	w := &watch{
		sources: map[string][]*pb.KeySet_Source{}, changes: map[string]int{}, updates: map[string]int{}, outcomes: map[string][]jwks.Outcome{},
	}
	cfg := jwks.Config{
		Floor: 150 * time.Millisecond, MinTTL: 20 * time.Millisecond, Backoff: 5 * time.Millisecond, MaxBackoff: 40 * time.Millisecond,
		Update: func(id string, sources []*pb.KeySet_Source, changed bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sources[id] = sources
			w.updates[id]++
			if changed {
				w.changes[id]++
			}
		},
		Fetched: func(id string, o jwks.Outcome) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.outcomes[id] = append(w.outcomes[id], o)
		},
	}
	if change != nil {
		change(&cfg)
	}
	w.Fetcher = jwks.New(cfg)
	w.SetIssuers(issuers)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// kids lists the key ids an issuer has, by URL order.
func (w *watch) kids(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, s := range w.sources[id] {
		keys, skipped, err := keyset.ParseJWKS([]byte(s.GetJwks()), keyset.Options{})
		if err != nil || len(skipped) > 0 {
			all = append(all, "broken")
			continue
		}
		for _, k := range keys.Keys() {
			all = append(all, k.ID)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

func (w *watch) outcome(id string, o jwks.Outcome) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, had := range w.outcomes[id] {
		if had == o {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.After(5 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-limit:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func issuer(id string, urls ...string) *pb.Issuer {
	return &pb.Issuer{
		Id: id, Issuer: "https://" + id + ".test", Keys: &pb.Keys{JwksUrls: urls},
		Jwks: &pb.JwksSettings{Ttl: durationpb.New(time.Hour), Timeout: durationpb.New(100 * time.Millisecond)},
	}
}

func TestFetch(t *testing.T) {
	s := newServer(t, body(set("a")))
	i := issuer("idp", s.URL+"/jwks")
	i.Jwks.MaxStale = durationpb.New(2 * time.Hour)
	w := run(t, nil, i)
	eventually(t, "the set", func() bool { return w.kids("idp") == "a" })
	w.mu.Lock()
	defer w.mu.Unlock()
	source := w.sources["idp"][0]
	if source.GetUrl() != s.URL+"/jwks" || time.Since(source.GetFetchedAt().AsTime()) > time.Minute ||
		source.GetUsableUntil().AsTime().Sub(source.GetFetchedAt().AsTime()) != 3*time.Hour {
		t.Errorf("source: %v", source)
	}
	if w.changes["idp"] != 1 || !slices.Equal(w.outcomes["idp"], []jwks.Outcome{jwks.Success}) {
		t.Errorf("changes %d, outcomes %v", w.changes["idp"], w.outcomes["idp"])
	}
}

// A key that cannot be used is told once for as long as it is there, also when the keys
// that can be used stay the same.
func TestSkippedKeysAreToldOnce(t *testing.T) {
	s := newServer(t, body(set("a")))
	var log syncBuffer
	i := issuer("idp", s.URL)
	i.Jwks.Ttl = durationpb.New(20 * time.Millisecond)
	w := run(t, func(c *jwks.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }, i)
	again := func() {
		t.Helper()
		before := s.hits.Load()
		eventually(t, "more fetches", func() bool { return s.hits.Load() > before+2 })
	}
	again()
	told := func() int { return strings.Count(log.String(), "a key of a key set cannot be used") }
	if told() != 1 || !strings.Contains(log.String(), "kid=never") || !strings.Contains(log.String(), "shared secret") {
		t.Errorf("told %d times:\n%s", told(), &log)
	}
	s.set(body(strings.Replace(set("a"), `]}`, `,{"kty":"RSA","kid":"short","n":"AQAB","e":"AQAB"}]}`, 1)))
	eventually(t, "the new one", func() bool { return strings.Contains(log.String(), "kid=short") })
	again()
	if told() != 3 { // both, since the set is another one
		t.Errorf("told %d times:\n%s", told(), &log)
	}
	if w.kids("idp") != "a" {
		t.Errorf("keys: %s", w.kids("idp"))
	}
	// An answer 304 says nothing new, nor does the same set after it.
	var unchanged atomic.Int64
	text := strings.Replace(set("a"), `]}`, `,{"kty":"RSA","kid":"short","n":"AQAB","e":"AQAB"}]}`, 1)
	s.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			unchanged.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		body(text)(w, r)
	})
	eventually(t, "304", func() bool { return unchanged.Load() > 1 })
	s.set(body(text))
	again()
	if told() != 3 {
		t.Errorf("told %d times:\n%s", told(), &log)
	}
}

// syncBuffer may be written to by several goroutines.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Whatever a server does, it is named, its last good set stays, and no other issuer is harmed.
// TestUntried: an issuer is tried when each of its URLs has answered or failed.
func TestUntried(t *testing.T) {
	release := make(chan struct{})
	slow := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		body(set("slow"))(w, r)
	})
	good, bad := newServer(t, body(set("a"))), newServer(t, status(http.StatusInternalServerError))
	late := issuer("late", good.URL, slow.URL)
	late.Jwks.Timeout = durationpb.New(time.Minute)
	unfit := issuer("unfit", good.URL)
	unfit.Jwks.CaPem = "no certificate"
	w := run(t, nil, issuer("good", good.URL), issuer("bad", bad.URL), late, unfit, &pb.Issuer{Id: "pasted"})
	if got := w.Untried(); !slices.Contains(got, "late") || slices.Contains(got, "pasted") {
		t.Errorf("untried at the start: %q", got)
	}
	eventually(t, "all but one tried", func() bool { return slices.Equal(w.Untried(), []string{"late"}) })
	close(release)
	eventually(t, "all tried", func() bool { return len(w.Untried()) == 0 })
	w.SetIssuers([]*pb.Issuer{issuer("new", good.URL)})
	if got := w.Untried(); len(got) != 1 && w.kids("new") == "" {
		t.Errorf("untried after a change: %q", got)
	}
	eventually(t, "the new one tried", func() bool { return len(w.Untried()) == 0 && w.kids("new") == "a" })
}

func TestBadServers(t *testing.T) {
	stranger := newServer(t, body(set("stranger")))
	many := `{"keys":[` + strings.Repeat(`{"kty":"oct"},`, 9999) + `{"kty":"oct"}]}`
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    jwks.Outcome
	}{
		"500":            {status(500), jwks.BadStatus},
		"404":            {status(404), jwks.BadStatus},
		"204":            {status(204), jwks.BadStatus},
		"304 unasked":    {status(304), jwks.BadStatus},
		"HTML":           {body("<html>sign in</html>"), jwks.Invalid},
		"null":           {body("null"), jwks.Invalid},
		"10,000 keys":    {body(many), jwks.Invalid},
		"empty set":      {body(`{"keys":[]}`), jwks.NoUsableKey},
		"secrets only":   {body(`{"keys":[{"kty":"oct","k":"AAAA"}]}`), jwks.NoUsableKey},
		"50 MB":          {func(w http.ResponseWriter, _ *http.Request) { flood(w) }, jwks.TooLarge},
		"hanging":        {hang, jwks.Timeout},
		"no answer":      {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, jwks.Timeout},
		"cut off":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, jwks.Unreachable},
		"redirect loop":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }, jwks.BadRedirect},
		"redirect away":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, stranger.URL, http.StatusFound) }, jwks.BadRedirect},
		"headers, 1 MiB": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, jwks.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := newServer(t, body(set("old"))), newServer(t, body(set("g")))
			w := run(t, nil, issuer("bad", bad.URL), issuer("good", good.URL))
			eventually(t, "the good sets", func() bool { return w.kids("bad") == "old" && w.kids("good") == "g" })
			bad.set(c.handler)
			eventually(t, "the failure", func() bool {
				w.Refresh("bad")
				return w.outcome("bad", c.want) > 0
			})
			if w.kids("bad") != "old" {
				t.Errorf("the last good set is gone: %q", w.kids("bad"))
			}
			good.set(body(set("g2")))
			eventually(t, "the other issuer's rotation", func() bool { w.Refresh("good"); return w.kids("good") == "g2" })
			bad.set(body(set("new")))
			eventually(t, "the recovery", func() bool { w.Refresh("bad"); return w.kids("bad") == "new" })
		})
	}
	if stranger.hits.Load() != 0 {
		t.Error("a redirect to another host was followed")
	}
}

func flood(w http.ResponseWriter) {
	chunk := []byte(strings.Repeat(" ", 1<<20))
	for range 50 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func TestRedirectOnTheSameHost(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.Path) < 5 {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
			return
		}
		body(set("a"))(w, r)
	})
	w := run(t, nil, issuer("idp", s.URL+"/x"))
	eventually(t, "the set after three redirects", func() bool { return w.kids("idp") == "a" })
	w = run(t, nil, issuer("idp", s.URL+"/"))
	eventually(t, "the refusal of four", func() bool { return w.outcome("idp", jwks.BadRedirect) > 0 })
}

func TestOneURLOfTwoIsDown(t *testing.T) {
	up, down := newServer(t, body(set("up"))), newServer(t, status(500))
	w := run(t, nil, issuer("idp", up.URL, down.URL))
	eventually(t, "the good URL", func() bool { return w.kids("idp") == "up" })
	down.set(body(set("down")))
	eventually(t, "both", func() bool { return w.kids("idp") == "down,up" })
	down.set(status(500))
	up.set(body(set("up2")))
	eventually(t, "the rotation of the good one", func() bool { w.Refresh("idp"); return w.kids("idp") == "down,up2" })
}

func TestBackoff(t *testing.T) {
	s := newServer(t, status(500))
	w := run(t, func(c *jwks.Config) { c.Floor, c.Backoff, c.MaxBackoff = 1, 20*time.Millisecond, 10*time.Second }, issuer("idp", s.URL))
	eventually(t, "four failures", func() bool {
		w.Refresh("idp") // does not cut the pause short
		return s.hits.Load() == 4
	})
	// Pauses of at least 10, 20 and 40 ms lie between them, and one of 80 ms follows.
	select {
	case <-time.After(70 * time.Millisecond):
	case <-t.Context().Done():
	}
	if n := s.hits.Load(); n != 4 {
		t.Errorf("%d fetches: the pauses do not grow", n)
	}
}

func TestRefreshFloor(t *testing.T) {
	s := newServer(t, body(set("a")))
	w := run(t, func(c *jwks.Config) { c.Floor = time.Hour }, issuer("idp", s.URL))
	eventually(t, "the set", func() bool { return w.kids("idp") == "a" })
	if !w.Refresh("idp") {
		t.Error("a refresh within the floor is not put off but refused")
	}
	for range 2000 {
		if w.Refresh("idp") {
			t.Fatal("a second refresh within the floor")
		}
	}
	if w.Refresh("nobody") {
		t.Error("an unknown issuer was refreshed")
	}
	if n := s.hits.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// One who asks too soon need not ask again.
func TestRefreshIsPutOff(t *testing.T) {
	s := newServer(t, body(set("a")))
	const floor = 300 * time.Millisecond
	start := time.Now()
	w := run(t, func(c *jwks.Config) { c.Floor = floor }, issuer("idp", s.URL))
	eventually(t, "the set", func() bool { return w.kids("idp") == "a" })
	s.set(body(set("b")))
	if !w.Refresh("idp") {
		t.Error("refused")
	}
	eventually(t, "the rotation", func() bool { return w.kids("idp") == "b" })
	if took := time.Since(start); took < floor {
		t.Errorf("fetched after %s", took)
	}
	if n := s.hits.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

func TestRefreshStorm(t *testing.T) {
	s := newServer(t, body(set("a")))
	w := run(t, nil, issuer("idp", s.URL))
	eventually(t, "the set", func() bool { return w.kids("idp") == "a" })
	before := s.hits.Load()
	s.set(body(set("b")))
	end := time.Now().Add(300 * time.Millisecond) // two floors
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			for time.Now().Before(end) {
				w.Refresh("idp")
			}
		})
	}
	group.Wait()
	eventually(t, "the rotation", func() bool { return w.kids("idp") == "b" })
	if n := s.hits.Load() - before; n > 3 || s.most.Load() > 1 {
		t.Errorf("%d fetches, %d at a time", n, s.most.Load())
	}
}

func TestRefreshAheadOfExpiryAndConditional(t *testing.T) {
	var conditional atomic.Int64
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=0") // clamped to MinTTL
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("If-None-Match") == `"v1"` {
			conditional.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		body(set("a"))(w, r)
	})
	w := run(t, nil, issuer("idp", s.URL))
	eventually(t, "unchanged answers", func() bool { return w.outcome("idp", jwks.NotModified) >= 3 })
	w.mu.Lock()
	if w.changes["idp"] != 1 || w.updates["idp"] < 3 {
		t.Errorf("%d changes, %d updates", w.changes["idp"], w.updates["idp"])
	}
	w.mu.Unlock()
	if w.kids("idp") != "a" {
		t.Errorf("keys: %q", w.kids("idp"))
	}
	s.set(body(set("b")))
	eventually(t, "the rotation", func() bool { return w.kids("idp") == "b" })
}

func TestMaxAgeIsBoundedByTTL(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=86400")
		body(set("a"))(w, r)
	})
	i := issuer("idp", s.URL)
	i.Jwks.Ttl = durationpb.New(30 * time.Millisecond)
	run(t, nil, i)
	eventually(t, "fetches at the ttl", func() bool { return s.hits.Load() >= 3 })
}

func TestDiscovery(t *testing.T) {
	var claimed atomic.Pointer[string]
	var s *server
	s = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/realm/.well-known/openid-configuration" {
			_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, *claimed.Load(), s.URL+"/keys")
			return
		}
		body(set("a"))(w, r)
	})
	i := issuer("idp")
	i.Issuer, i.Discovery = s.URL+"/realm", true
	wrong := s.URL + "/realm/"
	claimed.Store(&wrong)
	w := run(t, nil, i)
	eventually(t, "the refusal of another issuer's metadata", func() bool { return w.outcome("idp", jwks.BadDiscovery) > 0 })
	claimed.Store(&i.Issuer)
	eventually(t, "the set", func() bool { return w.kids("idp") == "a" })
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := w.sources["idp"][0].GetUrl(); got != s.URL+"/keys" {
		t.Errorf("source: %s", got)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(body(set("a")))
	t.Cleanup(s.Close)
	trusted, untrusted := issuer("trusted", s.URL), issuer("untrusted", s.URL)
	trusted.Jwks.CaPem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	w := run(t, nil, trusted, untrusted)
	eventually(t, "the set", func() bool { return w.kids("trusted") == "a" })
	eventually(t, "the refusal", func() bool { return w.outcome("untrusted", jwks.Unreachable) > 0 })
	if w.kids("untrusted") != "" {
		t.Error("an untrusted server's keys are used")
	}
}

func TestSetIssuers(t *testing.T) {
	a, b := newServer(t, body(set("a"))), newServer(t, body(set("b")))
	one, two := issuer("one", a.URL, b.URL), issuer("two", b.URL)
	w := run(t, nil, one)
	eventually(t, "the first", func() bool { return w.kids("one") == "a,b" })
	before := a.hits.Load()
	w.SetIssuers([]*pb.Issuer{one, two})
	eventually(t, "the second", func() bool { return w.kids("two") == "b" })
	if a.hits.Load() != before {
		t.Error("an unchanged issuer was disturbed")
	}
	a.set(status(500))
	w.SetIssuers([]*pb.Issuer{issuer("one", a.URL), two})
	eventually(t, "the lost URL", func() bool { return w.kids("one") == "a" })
	w.SetIssuers([]*pb.Issuer{two, issuer("none")})
	eventually(t, "the end of the first", func() bool { return !w.Refresh("one") && !w.Refresh("none") })
}

func TestKnownSetsSurviveARestart(t *testing.T) {
	up, down := newServer(t, body(set("up"))), newServer(t, status(500))
	under := func(id string) string { return keyset.FetchedUnder(issuer(id), false) }
	known := func(url, kid, under string, age time.Duration) *pb.KeySet_Source {
		keys, _, err := keyset.ParseJWKS([]byte(set(kid)), keyset.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return &pb.KeySet_Source{Url: url, Jwks: string(keys.JWKS()), FetchedAt: timestamppb.New(time.Now().Add(-age)), FetchedUnder: under}
	}
	w := run(t, func(c *jwks.Config) {
		c.Known = func(id string) []*pb.KeySet_Source {
			switch id {
			case "fresh":
				return []*pb.KeySet_Source{known(up.URL, "up", under(id), time.Minute)}
			case "old": // written before it was said under which settings
				return []*pb.KeySet_Source{known(up.URL, "up", "", time.Minute)}
			}
			return []*pb.KeySet_Source{known(up.URL, "up", under(id), 2*time.Hour), known(down.URL, "last", under(id), 2*time.Hour)}
		}
	}, issuer("idp", up.URL, down.URL), issuer("fresh", up.URL), issuer("old", up.URL))
	eventually(t, "the URL that works, next to the one that does not", func() bool { return w.kids("idp") == "last,up" })
	eventually(t, "the settings of the old set", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.sources["old"]) == 1 && w.sources["old"][0].GetFetchedUnder() == under("old")
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changes["idp"] != 0 {
		t.Error("the same keys count as a change")
	}
	if len(w.outcomes["fresh"]) != 0 {
		t.Error("a fresh set was fetched again")
	}
}

// Keys belong to the settings they were fetched under: what an issuer was called, how
// its URL was found, and by whom its server was trusted.
func TestOtherSettingsEndWhatWasFetched(t *testing.T) {
	for name, change := range map[string]func(*pb.Issuer){
		"another name, which cannot be discovered": func(i *pb.Issuer) { i.Issuer += "/other" },
		"another authority, which the server lacks": func(i *pb.Issuer) {
			i.Jwks.CaPem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: otherAuthority(t)}))
		},
		"no discovery any more": func(i *pb.Issuer) {
			i.Discovery, i.Keys = false, &pb.Keys{JwksUrls: []string{"http://127.0.0.1:1/keys"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s *server
			var down atomic.Bool
			s = newServer(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case down.Load():
					w.WriteHeader(http.StatusServiceUnavailable)
				case strings.HasSuffix(r.URL.Path, "configuration"):
					_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL, s.URL+"/keys")
				default:
					body(set("a"))(w, r)
				}
			})
			i := issuer("idp")
			i.Issuer, i.Discovery = s.URL, true
			w := run(t, nil, i)
			eventually(t, "the keys", func() bool { return w.kids("idp") == "a" })
			down.Store(true)
			next := proto.CloneOf(i)
			change(next)
			w.SetIssuers([]*pb.Issuer{next})
			eventually(t, "the end of the keys", func() bool { return w.kids("idp") == "" })
		})
	}
}

func otherAuthority(t *testing.T) []byte {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.Certificate().Raw
}
