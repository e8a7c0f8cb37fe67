package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-gateway/portcullis/deployments/cluster"
	"github.com/portcullis-gateway/portcullis/shared/cli"
)

// missed is k6's exit code when a threshold was missed.
const missed = 99

// On a machine that runs other tests as well, k6 itself is slow, too; decisions
// must be right all the same.
var patient = []string{"P95=2000", "DROPPED=0.5"}

// TestSuites runs short forms of the suites, each from the start of its processes
// to its page.
func TestSuites(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, args := range [][]string{
		{"smoke", "DURATION=4s"},
		{"churn", "DURATION=6s"},
		{"rotation", "DURATION=7500ms", "ROUND=2500ms"},
		{"revocation", "DURATION=6s"},
		{"fleet", "DURATION=12s"},
	} {
		t.Run(args[0], func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code, err := run(t.Context(), slices.Concat(args, patient), os.Environ(), &stdout, &stderr)
			if code != 0 || err != nil {
				t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout.String(), stderr.String())
			}
			t.Log(stdout.String())
			page, err := os.ReadFile(filepath.Join("..", "..", ".task", "k6", args[0]+".html"))
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"<title>" + args[0] + ": passed</title>", "<iframe title=\"charts\" srcdoc=\"", "</html>"} {
				if !strings.Contains(string(page), part) {
					t.Errorf("the page has no %s", part)
				}
			}
			if strings.Contains(string(page), `class="miss"`) {
				t.Error("the page of a run that has passed shows something missed")
			}
		})
	}
}

// TestSuitesFail: each suite finds what it is there to find.
func TestSuitesFail(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	root, err := cluster.SourceTree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := start(t.Context(), root, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.end(); err != nil {
			t.Error(err)
		}
	})
	backend := serveTest(t, http.HandlerFunc(upstream))
	// A gateway that lets everybody pass, one that decides by what was true a second
	// ago, one whose answers take long, memory that grows without end; and further
	// below a control plane that says it does what it does not.
	open := backend
	late := serveTest(t, newLate(t, "http://"+f.Gateways[1].Address))
	slow := serveTest(t, newSlow(t, "http://"+f.Gateways[1].Address))
	leak := serveTest(t, newLeak())
	good := "http://" + f.Gateways[0].Address

	var g errgroup.Group
	g.SetLimit(4) // they wait more than they work
	for name, c := range map[string]failing{
		"smoke, open":        {"smoke", "DURATION=2s GATEWAY=" + open, "MISS  refused: invalid_token"},
		"steady, open":       {"steady", "DURATION=2s GATEWAY=" + open, "MISS  refused: missing_credentials"},
		"spike, open":        {"spike", "DURATION=1s QUIET=1s PEAK=200 GATEWAY=" + open, "MISS  refused: invalid_token"},
		"soak, open":         {"soak", "DURATION=2s GATEWAY=" + open, "MISS  refused: invalid_token"},
		"churn, open":        {"churn", "DURATION=4s GATEWAY=" + open, "MISS  just changed: subscription_inactive"},
		"rotation, open":     {"rotation", "DURATION=4s ROUND=2s GATEWAY=" + open, "MISS  removed key: invalid_token"},
		"revocation, open":   {"revocation", "DURATION=2s GATEWAY=" + open, "MISS  revoked by jti: token_revoked"},
		"fleet, open":        {"fleet", "DURATION=4s GATEWAYS=" + good + "," + open, "MISS  paused: subscription_inactive"},
		"smoke, late":        {"smoke", "DURATION=2s GATEWAY=" + late, "MISS  paused: subscription_inactive"},
		"churn, late":        {"churn", "DURATION=4s GATEWAY=" + late, "MISS  just changed: "},
		"rotation, late":     {"rotation", "DURATION=4s ROUND=2s GATEWAY=" + late, "MISS  removed key: invalid_token"},
		"revocation, late":   {"revocation", "DURATION=2s GATEWAY=" + late, "MISS  revoked by client: token_revoked"},
		"fleet, late":        {"fleet", "DURATION=4s GATEWAYS=" + good + "," + late, "MISS  paused: subscription_inactive"},
		"steady, slow":       {"steady", "DURATION=2s P95=250 DROPPED=0.01 GATEWAY=" + slow, "MISS  http_req_duration{scenario:repeated}"},
		"steady, overloaded": {"steady", "DURATION=2s RATE=1000 DROPPED=0.01 GATEWAY=" + slow, "MISS  dropped_iterations"},
		"soak, leak":         {"soak", "DURATION=3s METRICS=" + leak + " GATEWAY=" + good, "MISS  memory_growth"},
		"churn, hollow":      {"churn", "DURATION=2s GATEWAY=" + good + " CONTROL=" + serveTest(t, newHollow(t, f.ControlURLs[0])), "MISS  changes{scenario:change}"},
		"revocation, hollow": {"revocation", "DURATION=2s GATEWAY=" + good + " CONTROL=" + serveTest(t, newHollow(t, f.ControlURLs[0])), "MISS  revoked by hash: token_revoked"},
		"fleet, no return":   {"fleet", "DURATION=4s OPERATOR=" + good + " GATEWAYS=" + good + "," + "http://" + f.Gateways[1].Address, "MISS  stop a node: 200"},
	} {
		g.Go(func() error {
			t.Run(name, func(t *testing.T) { c.run(t, root, append(f.variables(), "UPSTREAM="+backend)) })
			return nil
		})
	}
	_ = g.Wait() // the subtests tell
}

// failing is a suite that must fail.
type failing struct {
	suite     string
	variables string
	finds     string // in what is printed
}

func (c failing) run(t *testing.T, root string, fleet []string) {
	t.Helper()
	environ := slices.Concat(os.Environ(), fleet, []string{"METRICS=", "OPERATOR=", "GATEWAYS="}, patient, strings.Fields(c.variables))
	page := filepath.Join(t.TempDir(), "page.html")
	var stdout, stderr bytes.Buffer
	code, err := runK6(t.Context(), root, c.suite, page, environ, &stdout, &stderr)
	if code != missed || err != nil {
		t.Fatalf("exit code %d, %v, want %d\n%s\n%.2000s", code, err, missed, stdout.String(), stderr.String())
	}
	if !strings.Contains(stdout.String(), c.finds) {
		t.Errorf("no %q in\n%s", c.finds, stdout.String())
	}
	text, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(text), "<title>"+c.suite+": FAILED</title>") {
		t.Errorf("the page does not say that it failed: %v", err)
	}
}

// TestKeysAreWhole: a key that k6 makes is one that the control plane takes.
func TestKeysAreWhole(t *testing.T) {
	if testing.Short() {
		t.Skip("starts k6")
	}
	root, err := cluster.SourceTree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	program, err := tool(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "run", "--no-usage-report", "--quiet", "--address", "", filepath.Join("loadtest", "k6", "testdata", "keys.js"))
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GATEWAY=http://127.0.0.1:1", "CONTROL=http://127.0.0.1:1", "UPSTREAM=http://127.0.0.1:1", "ADMIN_TOKEN=none") // nobody is asked
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRefused: what cannot be run says why, and starts nothing.
func TestRefused(t *testing.T) {
	for args, want := range map[string]string{
		"":                          "which suite?",
		"smok":                      `no suite "smok" (hint: did you mean "smoke"?)`,
		"smoke RATE":                `"RATE" is not of the form NAME=VALUE`,
		"smoke RTE=5":               `RTE: the suite has no such variable (hint: did you mean "RATE"?)`,
		"smoke PEAK=5":              "PEAK: the suite has no such variable (hint: the nearest known one is ",
		"smoke RATE=-1":             "RATE: -1 is not a number above 0",
		"smoke RATE=many":           "RATE: many is not a number above 0",
		"smoke DURATION=5x":         "DURATION: 5x is not a duration (hint: 30s, 5m, 1h30m)",
		"smoke ALG=none":            "ALG: none is not one of ES256, RS256",
		"smoke DROPPED=2":           "DROPPED: 2 is not a share",
		"smoke GATEWAY=127.0.0.1:1": "GATEWAY: not the URL of something on HTTP (hint: http://host:port)",
		"smoke CONTROL=ftp://a":     "CONTROL: not the URL",
		"fleet OPERATOR=a":          "OPERATOR: not the URL",
		"soak A=1 RATE=0":           "A: the suite has no such variable (hint: the nearest known one is \"ALG\"; known here: DURATION, RATE, METRICS, GROWTH, GATEWAYS, GATEWAY, CONTROL, ADMIN_TOKEN, UPSTREAM, ALG, P95, DROPPED)\nRATE: 0 is not",
	} {
		code, err := run(t.Context(), strings.Fields(args), os.Environ(), io.Discard, io.Discard)
		if code != cli.Usage || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: exit code %d, got %v, want %s", args, code, err, want)
		}
	}
	// The environment is another way to give a value.
	if code, err := run(t.Context(), []string{"smoke"}, append(os.Environ(), "DURATION=x"), io.Discard, io.Discard); code != cli.Usage || err == nil {
		t.Errorf("exit code %d, %v", code, err)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for args, want := range map[string]string{
		"help": "  smoke      DURATION=5s RATE=200\n", "--help": "ALG=ES256 P95=250 DROPPED=0.01", "-h": "SUITE [NAME=VALUE…]",
		"version": "k6 runner ", "version -o json": `{"program":"k6 runner"`,
	} {
		var out bytes.Buffer
		if code, err := run(t.Context(), strings.Fields(args), os.Environ(), &out, io.Discard); code != 0 || err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit code %d, %v, no %q in\n%s", args, code, err, want, out.String())
		}
	}
}

// TestVariablesAreDocumented: what a script reads stands in its head, and that of
// all suites in lib/settings.js; and the other way round.
func TestVariablesAreDocumented(t *testing.T) {
	root, err := cluster.SourceTree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile(`(?m)^//   ([A-Z0-9_]{3,}) +\S`)
	common, err := os.ReadFile(filepath.Join("lib", "settings.js"))
	if err != nil {
		t.Fatal(err)
	}
	for _, suite := range suites(root) {
		script, err := os.ReadFile(suite + ".js")
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, m := range documented.FindAllStringSubmatch(string(script)+string(common), -1) {
			want = append(want, m[1])
		}
		known, err := declared(root, suite)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range known {
			if v.name != "GATEWAY" { // in the line of GATEWAYS
				got = append(got, v.name)
			}
		}
		slices.Sort(want)
		want = slices.Compact(want) // a suite may say its own default
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s reads %q, and documents %q", suite, got, want)
		}
		if uses := strings.Count(string(script), "__ENV"); uses > 0 {
			t.Errorf("%s reads __ENV by itself, where its variables are not found", suite)
		}
	}
}

func TestTarget(t *testing.T) {
	known := []variable{{"DURATION", "seconds", []string{"1m"}}, {"GATEWAY", "addresses", nil}, {"METRICS", "addresses", nil}, {"ADMIN_TOKEN", "required", nil}, {"RATE", "number", []string{"200"}}}
	var out strings.Builder
	printTarget(&out, "steady", known, []string{"GATEWAY=http://me:hush@a", "ADMIN_TOKEN=hush", "RATE=5"})
	const want = "suite        steady\nDURATION     1m (default)\nGATEWAY      http://me:xxxxx@a\nADMIN_TOKEN  (set)\nRATE         5\n\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// TestBadVariables: k6 itself ends a run at once that cannot begin, and says why.
func TestBadVariables(t *testing.T) {
	if testing.Short() {
		t.Skip("starts k6")
	}
	root, err := cluster.SourceTree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	control := serveTest(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	full := []string{"GATEWAY=" + control, "CONTROL=" + control, "ADMIN_TOKEN=x", "UPSTREAM=" + control}
	for variable, want := range map[string]string{
		"CONTROL=":    "CONTROL must be set",
		"UPSTREAM=":   "UPSTREAM must be set",
		"GATEWAY=,":   "GATEWAY or GATEWAYS must be set",
		"RATE=-1":     "RATE=-1 is not a number above 0",
		"DURATION=5x": "DURATION=5x is not a duration",
		"DROPPED=2":   "DROPPED=2 is not a share",
		"ALG=none":    "ALG=none is not one of ES256, RS256",
		"P95=":        "prepare failed", // nothing is wrong but the admin token
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			environ := slices.Concat(os.Environ(), full, []string{variable})
			code, err := runK6(t.Context(), root, "smoke", filepath.Join(t.TempDir(), "page.html"), environ, io.Discard, &stderr)
			if code == 0 || err != nil {
				t.Errorf("exit code %d, %v", code, err)
			}
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("no %q in\n%s", want, stderr.String())
			}
		})
	}
}

func TestFirstLines(t *testing.T) {
	var out strings.Builder
	f := &firstLines{w: &out, left: 2}
	for _, text := range []string{"a\nb\nc\n", "d\n"} {
		if n, err := io.WriteString(f, text); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	f.end()
	if got, want := out.String(), "a\nb\nand 2 more lines\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func serveTest(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func proxyTo(t *testing.T, target string) *httputil.ReverseProxy {
	t.Helper()
	address, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(address) }}
}

// newLate is a gateway that gives the same answer for a second.
func newLate(t *testing.T, target string) http.Handler {
	t.Helper()
	type answer struct {
		*httptest.ResponseRecorder
		body  []byte
		since time.Time
	}
	var mu sync.Mutex
	known := map[string]answer{}
	proxy := proxyTo(t, target)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Path + " " + r.Header.Get("Authorization")
		mu.Lock()
		a, ok := known[key]
		mu.Unlock()
		if !ok || time.Since(a.since) > time.Second {
			a = answer{ResponseRecorder: httptest.NewRecorder(), since: time.Now()}
			proxy.ServeHTTP(a, r)
			a.body = a.Body.Bytes()
			mu.Lock()
			known[key] = a
			mu.Unlock()
		}
		w.WriteHeader(a.Code)
		_, _ = w.Write(a.body)
	})
}

// newSlow is a gateway whose answers take three seconds, after the first.
func newSlow(t *testing.T, target string) http.Handler {
	t.Helper()
	proxy := proxyTo(t, target)
	var first sync.Map
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, seen := first.LoadOrStore(r.URL.Path, true); seen {
			time.Sleep(3 * time.Second)
		}
		proxy.ServeHTTP(w, r)
	})
}

// newLeak tells of memory that grows with every question.
func newLeak() http.Handler {
	var mu sync.Mutex
	bytes := 1 << 20
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		bytes += bytes / 50
		_, _ = fmt.Fprintf(w, "process_resident_memory_bytes %d\n", bytes)
	})
}

// newHollow is a control plane that after the preparations says of everything that
// it is in force, and does nothing.
func newHollow(t *testing.T, target string) http.Handler {
	t.Helper()
	const preparations = 2
	proxy := proxyTo(t, target)
	var writes atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && writes.Add(1) > preparations {
			w.Header().Set("Portcullis-Fleet", "in_force; nodes=2")
			_, _ = io.WriteString(w, `{"changes":[]}`)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}
